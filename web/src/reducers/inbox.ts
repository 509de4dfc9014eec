/**
 * A person's inbox: snapshots and messages in, state out.
 *
 * Owns: what the lists and the count show. Every copy is held once, by id, in its newest revision; the current and
 * the archived list are parts of these, in the server's order, down to where each has been loaded. Pure and
 * idempotent: a state whose revision is not newer than what is held changes nothing, counts are absolute, and an id
 * once deleted never comes back. Messages and snapshots may therefore overlap, repeat and race. Never: the network,
 * the clock, the document.
 */

import type { AlsoRead, Notification, Page, UnreadCount } from "../client/wire";
import { type Entry, isListed, type Place, placed, placeOf, samePlace, sorted, without } from "./list";
import { comparePositions, laterPosition } from "./position";
import { trimmed } from "./trim";

export type { Entry, Place } from "./list";

export type ListName = "current" | "archived";

export interface List {
  /** The newest arrival first. */
  readonly entries: readonly Entry[];
  readonly loaded: boolean;
  /** What to ask for the page below `floor` with; null if nothing follows, and where the list was trimmed. */
  readonly nextCursor: string | null;
  /** Where the loaded part ends; null if nothing follows. */
  readonly floor: Place | null;
  readonly snapshotAt: string | null;
}

export interface Inbox {
  readonly lists: Readonly<Record<ListName, List>>;
  /** What is known of each copy, listed or not. */
  readonly copies: ReadonlyMap<string, Entry>;
  /** Ids that were deleted, the latest of them. */
  readonly deleted: ReadonlySet<string>;
  /** Copies that a page did not name, the latest of them: an earlier page of the other list may still have them. */
  readonly left: ReadonlyMap<string, Left>;
  readonly unread: number;
  /** The latest absolute count, and the position it was counted at. */
  readonly counted: number;
  readonly countedAt: string | null;
  /** What came after that count, by id: the position it came at. A batch is told without a count. */
  readonly uncounted: ReadonlyMap<string, string>;
  /** Everything up to here is read: the position of the latest count of 0. */
  readonly readTo: string | null;
  /** What was read with another, by id, held or not, until a page says the same. */
  readonly readWith: ReadonlyMap<string, Read>;
  /** The latest position seen, to subscribe from. */
  readonly position: string | null;
}

/** What a message about another says of a copy: the revision since it was read, and when. */
interface Read {
  readonly revision: number;
  readonly readAt: string | null;
}

/** The revision that a copy had, and the position of the page that did not name it any more. */
interface Left {
  readonly whole: number;
  readonly asOf: string | null;
}

export type InboxMessage =
  | { readonly kind: "snapshot"; readonly list: ListName; readonly page: Page }
  | { readonly kind: "older"; readonly list: ListName; readonly page: Page; readonly below: Place }
  | { readonly kind: "trim"; readonly list: ListName; readonly floor: Place }
  | {
      readonly kind: "new" | "updated";
      readonly notification: Notification;
      readonly alsoRead?: readonly AlsoRead[];
      readonly position: string | null;
    }
  | { readonly kind: "deleted"; readonly id: string; readonly position: string | null }
  | { readonly kind: "unread-count"; readonly count: UnreadCount["count"]; readonly position: string | null };

const EMPTY_LIST: List = { entries: [], loaded: false, nextCursor: null, floor: null, snapshotAt: null };

export const EMPTY_INBOX: Inbox = {
  lists: { current: EMPTY_LIST, archived: EMPTY_LIST },
  copies: new Map(),
  deleted: new Set(),
  left: new Map(),
  unread: 0,
  counted: 0,
  countedAt: null,
  uncounted: new Map(),
  readTo: null,
  readWith: new Map(),
  position: null,
};

/** A late message or page about an id that left longer ago than this many others is not to be expected. */
export const MAX_DELETED = 2_000;

/** A count of 0, and the answer to reading all, come before the messages that say the same. */
export function isUnread(inbox: Inbox, { notification, asOf, answered }: Entry): boolean {
  if (notification.read_at !== null) return false;
  return notification.archived_at !== null || answered || (comparePositions(asOf, inbox.readTo) ?? 1) > 0;
}

export function reduceInbox(inbox: Inbox, message: InboxMessage): Inbox {
  switch (message.kind) {
    case "snapshot":
      return snapshot(inbox, message.list, message.page);
    case "older":
      return older(inbox, message.list, message.page, message.below);
    case "trim":
      return trimmed(inbox, message.list, message.floor);
    case "new":
    case "updated":
      return alsoRead(changed(advance(inbox, message.position), message), message);
    case "deleted":
      return remove(advance(inbox, message.position), message.id);
    case "unread-count":
      return count(inbox, message.count, message.position);
  }
}

function advance(inbox: Inbox, position: string | null): Inbox {
  const later = laterPosition(inbox.position, position);
  return later === inbox.position ? inbox : { ...inbox, position: later };
}

function changed(inbox: Inbox, message: InboxMessage & { readonly kind: "new" | "updated" }): Inbox {
  const { kind, notification, position } = message;
  if (inbox.deleted.has(notification.id)) return inbox;
  const held = inbox.copies.get(notification.id);
  // The answer to an action may come so late that it is gone: the messages say what there is.
  if (held === undefined && position === null) return inbox;
  const entry = read(newest(held, notification, position, position), inbox.readWith.get(notification.id));
  if (entry === held) return inbox;
  const { current, archived } = inbox.lists;
  const next: Inbox = {
    ...inbox,
    copies: new Map(inbox.copies).set(notification.id, entry),
    lists: { current: relist(current, "current", entry), archived: relist(archived, "archived", entry) },
  };
  return kind === "new" && held === undefined ? uncounted(next, entry) : next;
}

/** Reading very many at once tells of the newest by a message each, and in these of the others. */
function alsoRead(inbox: Inbox, message: InboxMessage & { readonly kind: "new" | "updated" }): Inbox {
  const { notification, alsoRead: others = [] } = message;
  if (others.length === 0) return inbox;
  const copies = new Map(inbox.copies);
  const readWith = new Map(inbox.readWith);
  for (const { id, revision } of others) {
    const told: Read = { revision, readAt: notification.read_at };
    const held = copies.get(id);
    if (held !== undefined) copies.set(id, read(held, told));
    readWith.set(id, told);
  }
  const { current, archived } = inbox.lists;
  const lists = { current: renewed(current, copies), archived: renewed(archived, copies) };
  return { ...inbox, copies, readWith, lists };
}

/** `whole` and `asOf` stay: what is held may lack a change from before it was read, which a page brings. */
function read(entry: Entry, told: Read | undefined): Entry {
  const { notification } = entry;
  if (told === undefined || told.revision <= notification.revision) return entry;
  const seen_at = notification.seen_at ?? told.readAt;
  return { ...entry, notification: { ...notification, read_at: told.readAt, seen_at, revision: told.revision } };
}

/** The same entries, as they are now. */
function renewed(list: List, copies: ReadonlyMap<string, Entry>): List {
  return { ...list, entries: list.entries.map((entry) => copies.get(entry.notification.id) ?? entry) };
}

function relist(list: List, name: ListName, entry: Entry): List {
  const entries = without(list.entries, entry.notification.id);
  if (isListed(entry, name, list.floor)) return { ...list, entries: placed(entries, entry) };
  return entries === list.entries ? list : { ...list, entries };
}

/** A list answer is the whole list down to its end: what it does not name is not in the list any more. */
function snapshot(inbox: Inbox, name: ListName, page: Page): Inbox {
  const order = comparePositions(page.position, inbox.lists[name].snapshotAt);
  if (order !== null && order < 0) return inbox; // The answers of two requests overtook each other.
  const next = merged(inbox, name, page, null);
  const list: List = { ...next.lists[name], loaded: true, snapshotAt: page.position };
  return {
    ...next,
    position: laterPosition(inbox.position, page.position),
    lists: { ...next.lists, [name]: list },
  };
}

/** The page goes on where the list ended at `below`, or begins above that. */
function older(inbox: Inbox, name: ListName, page: Page, below: Place): Inbox {
  const list = inbox.lists[name];
  // The list ends elsewhere now, or a snapshot began it anew meanwhile.
  if (!samePlace(below, list.floor) || (comparePositions(page.position, list.snapshotAt) ?? 0) < 0) return inbox;
  return merged(inbox, name, page, list.floor);
}

/** Takes the answer's items, and drops from below `above` what it does not name and no later message told of. */
function merged(inbox: Inbox, name: ListName, page: Page, above: Place | null): Inbox {
  const copies = new Map<string, Entry>();
  const left = new Map(inbox.left);
  for (const [id, entry] of inbox.copies) {
    const elsewhere = !isListed(entry, name, null) || (above !== null && isListed(entry, name, above));
    if (elsewhere || (comparePositions(entry.asOf, page.position) ?? 0) > 0) copies.set(id, entry);
    else left.set(id, { whole: entry.whole, asOf: page.position });
  }
  bound(left);
  const readWith = new Map(inbox.readWith);
  for (const item of page.items) {
    const told = readWith.get(item.id);
    const entry = read(newest(inbox.copies.get(item.id), item, page.position, null), told);
    if (told !== undefined && entry.whole >= told.revision) readWith.delete(item.id);
    if (!inbox.deleted.has(item.id) && !hadLeft(item, page, left.get(item.id))) copies.set(item.id, entry);
  }
  const last = page.next_cursor === null ? undefined : page.items.at(-1);
  const floor = last === undefined ? null : placeOf(last);
  const lists: Record<ListName, List> = {
    ...inbox.lists,
    [name]: { ...inbox.lists[name], nextCursor: page.next_cursor, floor },
  };
  // An answer can hold news of a copy that the other list shows.
  for (const each of ["current", "archived"] as const) {
    lists[each] = { ...lists[each], entries: sorted(copies.values(), each, lists[each].floor) };
  }
  return { ...inbox, copies, left, readWith, lists };
}

function hadLeft({ revision }: Notification, { position }: Page, left: Left | undefined): boolean {
  return left !== undefined && revision < left.whole && (comparePositions(position, left.asOf) ?? 0) < 0;
}

function bound(latest: Map<string, unknown> | Set<string>): void {
  for (const oldest of latest.keys()) {
    if (latest.size <= MAX_DELETED) break;
    latest.delete(oldest);
  }
}

function remove(inbox: Inbox, id: string): Inbox {
  if (inbox.deleted.has(id)) return inbox;
  const deleted = new Set(inbox.deleted).add(id);
  bound(deleted);
  const copies = new Map(inbox.copies);
  copies.delete(id);
  const { current, archived } = inbox.lists;
  return {
    ...inbox,
    copies,
    deleted,
    lists: {
      current: { ...current, entries: without(current.entries, id) },
      archived: { ...archived, entries: without(archived.entries, id) },
    },
  };
}

function uncounted(inbox: Inbox, { notification, asOf }: Entry): Inbox {
  if (asOf === null || notification.read_at !== null) return inbox;
  if ((comparePositions(asOf, inbox.countedAt) ?? 1) <= 0) return inbox;
  const since = new Map(inbox.uncounted).set(notification.id, asOf);
  return { ...inbox, uncounted: since, unread: inbox.counted + since.size };
}

function count(inbox: Inbox, counted: number, position: string | null): Inbox {
  const order = comparePositions(position, inbox.countedAt);
  if (order !== null && order < 0) return inbox;
  const later = [...inbox.uncounted].filter(([, at]) => (comparePositions(at, position) ?? 0) > 0);
  return {
    ...inbox,
    unread: counted + later.length,
    counted,
    countedAt: laterPosition(inbox.countedAt, position),
    uncounted: new Map(later),
    readTo: counted === 0 ? laterPosition(inbox.readTo, position) : inbox.readTo,
  };
}

/** The newer of what is held and what came. `arrived`: the position to mark it with if it came to the top. */
function newest(held: Entry | undefined, came: Notification, asOf: string | null, arrived: string | null): Entry {
  const whole = came.revision;
  const answered = asOf === null;
  if (held === undefined) return { notification: came, whole, arrived, asOf, answered };
  // Still so then, or newer: a snapshot from before must not take it for gone.
  const later = laterPosition(held.asOf, asOf);
  if (held.whole >= whole) return later === held.asOf ? held : { ...held, asOf: later, answered: false };
  const grown = (came.arrived_at ?? "") > (held.notification.arrived_at ?? "");
  return { notification: came, whole, arrived: grown ? (arrived ?? held.arrived) : held.arrived, asOf: later, answered };
}
