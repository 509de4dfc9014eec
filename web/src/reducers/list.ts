/**
 * The order of a list of notifications, which is the server's: by arrival and id, the latest first.
 *
 * Owns: that order, and which copies belong to which list. Never: which copies there are.
 */

import type { Notification } from "../client/wire";

export interface Entry {
  readonly notification: Notification;
  /** The revision that came whole; since then it may have been read with another. */
  readonly whole: number;
  /** The position of the message that brought it to the top; null when a list answer did. */
  readonly arrived: string | null;
  /** A position at which it was there, in this state or one before. */
  readonly asOf: string | null;
  /** Whether this state was the answer to an action, which names no position, and no message of it came yet. */
  readonly answered: boolean;
}

/** A place in a list: of a copy that was there when the list was asked for. */
export interface Place {
  readonly arrived_at: string;
  readonly id: string;
}

/** Whether it belongs to the list, above `floor` or at it; with none, wherever it is. */
export function isListed({ notification }: Entry, list: "current" | "archived", floor: Place | null): boolean {
  const { arrived_at, archived_at, id } = notification;
  if (arrived_at === null || (archived_at !== null) !== (list === "archived")) return false;
  return floor === null || order({ arrived_at, id }, floor) <= 0;
}

export function sorted(entries: Iterable<Entry>, list: "current" | "archived", floor: Place | null): Entry[] {
  return [...entries].filter((entry) => isListed(entry, list, floor)).sort((a, b) => order(place(a), place(b)));
}

/** The entries with one more at its place. */
export function placed(entries: readonly Entry[], entry: Entry): Entry[] {
  const found = entries.findIndex((other) => order(place(other), place(entry)) > 0);
  return entries.toSpliced(found === -1 ? entries.length : found, 0, entry);
}

/** The entries without one; the very same if it is not among them. */
export function without(entries: readonly Entry[], id: string): readonly Entry[] {
  const found = entries.findIndex(({ notification }) => notification.id === id);
  return found === -1 ? entries : entries.toSpliced(found, 1);
}

export function placeOf({ arrived_at, id }: Notification): Place {
  return { arrived_at: arrived_at ?? "", id };
}

export function samePlace(a: Place, b: Place | null): boolean {
  return b !== null && order(a, b) === 0;
}

export function isBelow(one: Place, other: Place): boolean {
  return order(one, other) > 0;
}

function place({ notification }: Entry): Place {
  return placeOf(notification);
}

/** Negative if `a` comes first. Both parts are text that sorts as what it stands for. */
function order(a: Place, b: Place): number {
  if (a.arrived_at !== b.arrived_at) return a.arrived_at > b.arrived_at ? -1 : 1;
  if (a.id === b.id) return 0;
  return a.id > b.id ? -1 : 1;
}
