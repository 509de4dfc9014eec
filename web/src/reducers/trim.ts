/**
 * Letting go of the end of a list that has become too long.
 *
 * Owns: what is no longer known then. Pure. Never: when, and where; that depends on what a person looks at (elements).
 */

import type { Inbox, List, ListName } from "./inbox";
import { isListed, type Place } from "./list";

/**
 * The list ends at `floor`, as if it had been loaded down to there. No answer said where that is, so it has no cursor.
 *
 * What is known below is forgotten. So no page may be under way: one from before a change that was forgotten would
 * bring back what was so before.
 */
export function trimmed(inbox: Inbox, name: ListName, floor: Place): Inbox {
  const list = inbox.lists[name];
  const entries = list.entries.filter((entry) => isListed(entry, name, floor));
  if (entries.length === list.entries.length) return inbox;
  const copies = new Map(inbox.copies);
  for (const [id, entry] of inbox.copies) {
    if (isListed(entry, name, null) && !isListed(entry, name, floor)) copies.delete(id);
  }
  const shorter: List = { ...list, entries, floor, nextCursor: null };
  return { ...inbox, copies, lists: { ...inbox.lists, [name]: shorter } };
}
