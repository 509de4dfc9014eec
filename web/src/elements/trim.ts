/**
 * Where a list that has become too long may end.
 *
 * Each row costs at every frame in which one arrives, wherever it is: a page that is left open must not grow for ever.
 *
 * Owns: how many rows stay, and that those stay which a person looks at or works in. Never: the trimming.
 */

import type { Entry, Place } from "../reducers/inbox";
import { placeOf } from "../reducers/list";

/** The newest that stay in any case. */
export const KEPT = 200;
/** How many more there may be below that, so that not each arrival trims; and how many stay below what is needed. */
export const ROOM = 100;

/** The place of the last row to keep, or null if the list is not too long. `deepest`: the last row that is needed. */
export function trimAt(entries: readonly Entry[], deepest: () => number): Place | null {
  if (entries.length <= KEPT + ROOM) return null;
  const kept = Math.max(KEPT, deepest() + 1 + ROOM);
  const last = entries[kept - 1];
  return last === undefined || entries.length <= kept + ROOM ? null : placeOf(last.notification);
}

/**
 * The index of the last row in view, with the keyboard focus or with the id `asked`; -1 if there is none.
 *
 * Measured, not observed: in a page in the background observers are not told how rows move.
 */
export function deepestRow(root: HTMLElement | DocumentFragment, asked: string | null): number {
  const rows = [...root.querySelectorAll<HTMLElement>("li[data-id]")];
  return rows.findLastIndex(
    (row) =>
      row.getBoundingClientRect().top < window.innerHeight ||
      row.matches(":focus-within") ||
      row.dataset["id"] === asked,
  );
}
