/**
 * Preferences as a form holds them, beside those that are stored.
 *
 * Owns: whether they differ, and what becomes of the form when others are stored meanwhile. Pure. Never: the form.
 */

import type { Preferences, QuietHours, Resource, TypeSettings } from "../client/wire";

/** What a person chose, without when. */
export type Choices = Omit<Preferences, "updated_at">;

type Settings = Choices["types"];
type Hours = QuietHours | null;

/** Whether something was chosen that is not stored. */
export function isUnsaved(stored: Choices, chosen: Choices): boolean {
  return !(
    sameOf(stored.muted_types, chosen.muted_types) &&
    sameOf(stored.muted_resources.map(resourceText), chosen.muted_resources.map(resourceText)) &&
    sameHours(stored.quiet_hours, chosen.quiet_hours) &&
    sameOf(Object.keys(stored.types), Object.keys(chosen.types)) &&
    Object.entries(stored.types).every(([type, settings]) => sameSettings(settings, of(chosen.types, type)))
  );
}

/** A resource as people read it; no type has a space in it. */
export function resourceText({ type, id }: Resource): string {
  return `${type} ${id}`;
}

export function resourceOf(text: string): Resource {
  const space = text.indexOf(" ");
  return { type: text.slice(0, space), id: text.slice(space + 1) };
}

export function sameHours(a: Hours, b: Hours): boolean {
  if (a === null || b === null) return a === b;
  return a.start === b.start && a.end === b.end && a.timezone === b.timezone && sameOf(a.days, b.days);
}

/** What was added and taken away here, done to what is stored now: another tab, or a row's "Mute", may have chosen. */
export function rebased(mine: readonly string[], before: readonly string[], after: readonly string[]): string[] {
  const kept = after.filter((each) => mine.includes(each) || !before.includes(each));
  const added = mine.filter((each) => !before.includes(each) && !after.includes(each));
  return [...kept, ...added];
}

/** The same for the settings of types: of one that was changed here, what is here stays. */
export function rebasedSettings(mine: Settings, before: Settings, after: Settings): Settings {
  const settings: Record<string, TypeSettings> = {};
  for (const type of [...Object.keys(after), ...Object.keys(mine)]) {
    const now = of(sameSettings(of(mine, type), of(before, type)) ? after : mine, type);
    if (now !== undefined) settings[type] = now;
  }
  return settings;
}

/** The same for quiet hours, which are one choice: of those that were changed here and elsewhere, those here stay. */
export function rebasedHours(mine: Hours, before: Hours, after: Hours): Hours {
  return sameHours(mine, before) ? after : mine;
}

/** A type may be called "constructor". */
function of(settings: Settings, type: string): TypeSettings | undefined {
  return Object.hasOwn(settings, type) ? settings[type] : undefined;
}

function sameSettings(a: TypeSettings | undefined, b: TypeSettings | undefined): boolean {
  return a?.muted === b?.muted && a?.quiet_hours === b?.quiet_hours && a?.attention === b?.attention;
}

/** Whether the same are in both, in whatever order. */
function sameOf(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((each) => b.includes(each));
}
