/**
 * How long ago, in a few words.
 *
 * Owns: the wording of times. Never: the clock; the caller says what time it is.
 */

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "short" });
const SAME_YEAR = new Intl.DateTimeFormat("en", { day: "numeric", month: "short" });
const OTHER_YEAR = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", year: "numeric" });
const CLOCK = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const WHOLE = new Intl.DateTimeFormat("en", { dateStyle: "full", timeStyle: "medium" });

/** "now" within a minute (also for a clock that runs behind the server's), then minutes, hours, days, a date. */
export function relativeTime(iso: string, now: number): string {
  const then = Date.parse(iso);
  const age = now - then;
  if (age < MINUTE) return "now";
  if (age < HOUR) return past(age / MINUTE, "minute");
  if (age < DAY) return past(age / HOUR, "hour");
  if (age < 7 * DAY) return past(age / DAY, "day");
  const sameYear = new Date(then).getFullYear() === new Date(now).getFullYear();
  return (sameYear ? SAME_YEAR : OTHER_YEAR).format(then);
}

function past(amount: number, unit: "minute" | "hour" | "day"): string {
  return RELATIVE.format(-Math.floor(amount), unit).replace(".", "");
}

/** When something will be: "07:00", and on another day than today "Jun 16, 07:00". */
export function futureTime(iso: string, now: number): string {
  const then = Date.parse(iso);
  const today = new Date(then).toDateString() === new Date(now).toDateString();
  return today ? CLOCK.format(then) : `${SAME_YEAR.format(then)}, ${CLOCK.format(then)}`;
}

/** The whole time, for a tooltip. */
export function wholeTime(iso: string): string {
  return WHOLE.format(Date.parse(iso));
}
