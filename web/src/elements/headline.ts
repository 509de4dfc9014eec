/**
 * What a notification is called in a list.
 *
 * Owns: the words for a group. Never: markup.
 */

import type { Notification } from "../client/wire";

/** As many as the server counts. */
const MOST_ACTORS = 100;

/** The title; of a group of several after who is behind it: "Mira Okafor and 12 others: Episode 4 updated". */
export function headline({ title, group }: Notification, names: ReadonlyMap<string, string>): string {
  const actor = group?.latest.actor ?? null;
  if (group === null || group.count === 1 || actor === null) return title;
  const name = names.get(actor) ?? actor;
  const others = group.actors - 1;
  if (others < 1) return `${name}: ${title}`;
  const number = group.actors < MOST_ACTORS ? String(others) : `${others} or more`;
  return `${name} and ${number} ${others === 1 ? "other" : "others"}: ${title}`;
}
