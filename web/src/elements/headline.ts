/**
 * What a notification is called in a list.
 *
 * Owns: the words for a group and for who did it. Never: markup.
 */

import type { Notification } from "../client/wire";

/** As many as the server counts. */
const MOST_ACTORS = 100;

/** The title; of a group of several after who is behind it: "Mira Okafor and 12 others: Episode 4 updated". */
export function headline({ title, group }: Notification, names: ReadonlyMap<string, string>): string {
  if (group === null || group.count === 1 || group.latest.actor === null) return title;
  const name = nameOf(group.latest, names);
  const others = group.actors - 1;
  if (others < 1) return `${name}: ${title}`;
  const number = group.actors < MOST_ACTORS ? String(others) : `${others} or more`;
  return `${name} and ${number} ${others === 1 ? "other" : "others"}: ${title}`;
}

/** The name of who did it: as the page knows it, else as it was known then, else the id; null if nobody did. */
export function nameOf(
  { actor, actor_name: known }: Pick<Notification, "actor" | "actor_name">,
  names: ReadonlyMap<string, string>,
): string | null {
  return actor === null ? null : (names.get(actor) ?? known ?? actor);
}
