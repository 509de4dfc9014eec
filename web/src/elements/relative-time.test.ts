import { expect, it } from "vitest";
import { futureTime, relativeTime } from "./relative-time";

const NOW = Date.parse("2025-06-15T12:00:00.000Z");
const ago = (milliseconds: number): string => relativeTime(new Date(NOW - milliseconds).toISOString(), NOW);

it("says how long ago in the largest whole unit", () => {
  expect(ago(59_000)).toBe("now");
  expect(ago(60_000)).toBe("1 min ago");
  expect(ago(59 * 60_000)).toBe("59 min ago");
  expect(ago(23 * 3_600_000)).toBe("23 hr ago");
  expect(ago(6 * 86_400_000)).toBe("6 days ago");
});

it("gives a date after a week, with the year when it is another", () => {
  expect(ago(8 * 86_400_000)).toBe("Jun 7");
  expect(ago(365 * 86_400_000)).toBe("Jun 15, 2024");
});

it("says now for a time a little ahead: the server's clock is not this one", () => {
  expect(ago(-5_000)).toBe("now");
});

it("says when something will be, with the day if that is another", () => {
  expect(futureTime("2025-06-15T17:05:00.000Z", NOW)).toBe("17:05");
  expect(futureTime("2025-06-16T00:30:00.000Z", NOW)).toBe("Jun 16, 00:30");
});
