/**
 * Preferences as a form holds them, beside those that are stored.
 *
 * Owns: whether they differ, and what becomes of the form when others are stored meanwhile. Pure. Never: the form.
 */

import type { Preferences, PreferencesUpdate, QuietHours } from "../client/wire";

type Stored = Pick<Preferences, "muted_types" | "quiet_hours">;

/** Whether something was chosen that is not stored. */
export function isUnsaved(stored: Stored, chosen: Pick<PreferencesUpdate, "muted_types" | "quiet_hours">): boolean {
  const { muted_types: types = [], quiet_hours: hours = null } = chosen;
  return !sameOf(stored.muted_types, types) || !sameHours(stored.quiet_hours, hours);
}

export function sameHours(a: QuietHours | null, b: QuietHours | null): boolean {
  if (a === null || b === null) return a === b;
  return a.start === b.start && a.end === b.end && a.timezone === b.timezone && sameOf(a.days, b.days);
}

/** What was added and taken away here, done to what is stored now: another tab, or a row's "Mute", may have chosen. */
export function rebased(mine: readonly string[], before: readonly string[], after: readonly string[]): string[] {
  const kept = after.filter((type) => mine.includes(type) || !before.includes(type));
  const added = mine.filter((type) => !before.includes(type) && !after.includes(type));
  return [...kept, ...added];
}

/** Whether the same are in both, in whatever order. */
function sameOf(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((each) => b.includes(each));
}
