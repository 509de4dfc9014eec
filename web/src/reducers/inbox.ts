/**
 * A person's inbox: snapshot and messages in, state out.
 *
 * Owns: what the list and the count show. Pure and idempotent: a message with a revision that is not newer
 * than what is held changes nothing, counts are absolute, and an id once deleted never comes back. Messages
 * and snapshots may therefore overlap, repeat and race. Never: the network, the clock, the document.
 */

import type { Notification, Page, UnreadCount } from "../client/wire";
import { comparePositions, laterPosition } from "./position";

export interface Entry {
  readonly notification: Notification;
  /** The position of the message that brought it; null when a list answer did. */
  readonly arrived: string | null;
  /** The position at which this state of it was true; null for an answer that names none. */
  readonly asOf: string | null;
}

export interface Inbox {
  /** In order of arrival, the newest first. */
  readonly entries: readonly Entry[];
  readonly unread: number;
  readonly unreadAt: string | null;
  /** Everything up to here is read: the position of the latest count of 0. */
  readonly readTo: string | null;
  readonly nextCursor: string | null;
  readonly loaded: boolean;
  /** The latest position seen, to subscribe from. */
  readonly position: string | null;
  readonly snapshotAt: string | null;
  /** Ids taken away, with the revision that did it; infinite for a deleted one. */
  readonly gone: ReadonlyMap<string, number>;
}

export type InboxMessage =
  | { readonly kind: "snapshot"; readonly page: Page; readonly unread: UnreadCount }
  | { readonly kind: "older"; readonly page: Page; readonly cursor: string }
  | { readonly kind: "new" | "updated"; readonly notification: Notification; readonly position: string | null }
  | { readonly kind: "deleted"; readonly id: string; readonly revision: number; readonly position: string | null }
  | { readonly kind: "unread-count"; readonly count: number; readonly position: string | null };

export const EMPTY_INBOX: Inbox = {
  entries: [],
  unread: 0,
  unreadAt: null,
  readTo: null,
  nextCursor: null,
  loaded: false,
  position: null,
  snapshotAt: null,
  gone: new Map(),
};

/** A late message about an id taken away longer ago than this many others is not to be expected. */
export const MAX_GONE = 2_000;

/** Reading all tells of the newest by a message each, and of the rest by the count of 0 alone. */
export function isUnread(inbox: Inbox, { notification, asOf }: Entry): boolean {
  const order = comparePositions(asOf, inbox.readTo);
  return notification.read_at === null && (order === null || order > 0);
}

export function reduceInbox(inbox: Inbox, message: InboxMessage): Inbox {
  switch (message.kind) {
    case "snapshot":
      return snapshot(inbox, message.page, message.unread);
    case "older":
      return older(inbox, message.page, message.cursor);
    case "new":
    case "updated":
      return changed(advance(inbox, message.position), message);
    case "deleted":
      return remove(advance(inbox, message.position), message.id, Number.POSITIVE_INFINITY);
    case "unread-count":
      return count(inbox, message.count, message.position);
  }
}

function advance(inbox: Inbox, position: string | null): Inbox {
  const later = laterPosition(inbox.position, position);
  return later === inbox.position ? inbox : { ...inbox, position: later };
}

function snapshot(inbox: Inbox, page: Page, unread: UnreadCount): Inbox {
  const order = comparePositions(page.position, inbox.snapshotAt);
  if (order !== null && order < 0) return inbox; // The answers of two requests overtook each other.
  const held = new Map(inbox.entries.map((entry) => [entry.notification.id, entry]));
  const listed = new Set(page.items.map((item) => item.id));
  // What a later message brought is not in this answer yet. All else that it does not list is gone from it.
  const ahead = inbox.entries.filter(
    ({ notification, arrived }) =>
      !listed.has(notification.id) && (comparePositions(arrived, page.position) ?? 0) > 0,
  );
  const merged: Inbox = {
    ...inbox,
    entries: [
      ...ahead,
      ...page.items.filter((item) => isNews(inbox.gone, item)).map((item) => newer(held, item, page.position)),
    ],
    nextCursor: page.next_cursor,
    loaded: true,
    position: laterPosition(inbox.position, page.position),
    snapshotAt: page.position,
  };
  return count(merged, unread.count, unread.position ?? page.position);
}

function older(inbox: Inbox, page: Page, cursor: string): Inbox {
  if (cursor !== inbox.nextCursor) return inbox; // A snapshot began the list anew meanwhile.
  const held = new Set(inbox.entries.map((entry) => entry.notification.id));
  const more = page.items.filter((item) => !held.has(item.id) && isNews(inbox.gone, item));
  return {
    ...inbox,
    entries: [...inbox.entries, ...more.map((notification) => ({ notification, arrived: null, asOf: page.position }))],
    nextCursor: page.next_cursor,
  };
}

function changed(inbox: Inbox, message: InboxMessage & { readonly kind: "new" | "updated" }): Inbox {
  const { kind, notification, position } = message;
  if (!isNews(inbox.gone, notification)) return inbox;
  const at = inbox.entries.findIndex((entry) => entry.notification.id === notification.id);
  const held = inbox.entries[at];
  if (held !== undefined && held.notification.revision >= notification.revision) return inbox;
  if (notification.archived_at) return remove(inbox, notification.id, notification.revision);
  if (held !== undefined) return { ...inbox, entries: inbox.entries.with(at, { ...held, notification, asOf: position }) };
  if (kind === "new") {
    return { ...inbox, entries: [{ notification, arrived: position, asOf: position }, ...inbox.entries] };
  }
  // An update of one that is not listed: further down than the list is loaded, or brought back just now.
  return inbox.gone.has(notification.id) ? insert(inbox, notification, position) : inbox;
}

/** Puts one back that was taken away earlier, before the first that is older. */
function insert(inbox: Inbox, notification: Notification, position: string | null): Inbox {
  const found = inbox.entries.findIndex((entry) => entry.notification.id < notification.id);
  const at = found === -1 ? inbox.entries.length : found;
  return { ...inbox, entries: inbox.entries.toSpliced(at, 0, { notification, arrived: null, asOf: position }) };
}

function remove(inbox: Inbox, id: string, revision: number): Inbox {
  if ((inbox.gone.get(id) ?? -1) >= revision) return inbox;
  const gone = new Map(inbox.gone).set(id, revision);
  for (const oldest of gone.keys()) {
    if (gone.size <= MAX_GONE) break;
    gone.delete(oldest);
  }
  return { ...inbox, gone, entries: inbox.entries.filter((entry) => entry.notification.id !== id) };
}

function count(inbox: Inbox, unread: number, position: string | null): Inbox {
  const order = comparePositions(position, inbox.unreadAt);
  if (order !== null && order < 0) return inbox;
  return {
    ...inbox,
    unread,
    unreadAt: laterPosition(inbox.unreadAt, position),
    readTo: unread === 0 ? laterPosition(inbox.readTo, position) : inbox.readTo,
  };
}

function isNews(gone: ReadonlyMap<string, number>, notification: Notification): boolean {
  return (gone.get(notification.id) ?? -1) < notification.revision;
}

function newer(held: ReadonlyMap<string, Entry>, item: Notification, position: string | null): Entry {
  const entry = held.get(item.id);
  if (entry !== undefined && entry.notification.revision > item.revision) return entry;
  return { notification: item, arrived: entry?.arrived ?? null, asOf: laterPosition(entry?.asOf ?? null, position) };
}
