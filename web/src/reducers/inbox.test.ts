import { describe, expect, it } from "vitest";
import { arrivalOf, sample } from "../client/samples";
import type { Notification, Page } from "../client/wire";
import {
  EMPTY_INBOX,
  type Inbox,
  type InboxMessage,
  isUnread,
  type ListName,
  MAX_DELETED,
  type Place,
  reduceInbox,
} from "./inbox";

function notification(id: string, revision = 1, change: Partial<Notification> = {}): Notification {
  return sample({ id, title: `Title of ${id}`, arrived_at: arrivalOf(id), revision, ...change });
}

function page(ids: readonly (string | Notification)[], position: string, next: string | null = null): Page {
  const items = ids.map((one) => (typeof one === "string" ? notification(one) : one));
  return { items, next_cursor: next, position };
}

function snapshot(ids: readonly (string | Notification)[], position: string, unread = 0): InboxMessage[] {
  return [
    { kind: "snapshot", list: "current", page: page(ids, position) },
    { kind: "unread-count", count: unread, position },
  ];
}

function arrival(one: Notification, position: string | null): InboxMessage {
  return { kind: "new", notification: one, position };
}

function updated(one: Notification, position: string | null): InboxMessage {
  return { kind: "updated", notification: one, position };
}

const place = (id: string): Place => ({ arrived_at: arrivalOf(id), id });

function deletion(id: string, position: string | null = null): InboxMessage {
  return { kind: "deleted", id, position };
}

type Said = InboxMessage | readonly InboxMessage[];

const more = (inbox: Inbox, ...said: Said[]): Inbox => said.flat().reduce(reduceInbox, inbox);
const run = (...said: Said[]): Inbox => more(EMPTY_INBOX, ...said);
const ids = (inbox: Inbox, list: ListName = "current"): string[] =>
  inbox.lists[list].entries.map((entry) => entry.notification.id);
const first = (inbox: Inbox): Notification | undefined => inbox.lists.current.entries[0]?.notification;

describe("notification:new", () => {
  it("comes first and moves the position on", () => {
    const inbox = run(snapshot(["a"], "e.1"), arrival(notification("b"), "e.2"));
    expect(ids(inbox)).toEqual(["b", "a"]);
    expect(inbox.position).toBe("e.2");
  });

  it("said twice is one entry and the very same state", () => {
    const once = run(arrival(notification("a"), "e.2"));
    expect(reduceInbox(once, arrival(notification("a"), "e.2"))).toBe(once);
  });

  it("does not undo a newer state that is held", () => {
    const read = notification("a", 2, { read_at: "2025-01-01T11:00:00.000Z" });
    const inbox = run(snapshot([read], "e.3"), arrival(notification("a", 1), "e.2"));
    expect(first(inbox)).toEqual(read);
  });

  it("does not bring back what was deleted, however late it comes", () => {
    expect(ids(run(deletion("a", "e.2"), arrival(notification("a", 9), "e.3")))).toEqual([]);
  });
});

describe("notification:updated", () => {
  it("changes the entry where it is", () => {
    const change = notification("a", 2, { title: "New title" });
    const inbox = run(snapshot(["b", "a"], "e.1"), { kind: "updated", notification: change, position: "e.2" });
    expect(ids(inbox)).toEqual(["b", "a"]);
    expect(inbox.lists.current.entries[1]?.notification.title).toBe("New title");
  });

  it("as the answer to an action changes what is held and brings nothing back", () => {
    const read = notification("a", 2, { read_at: "2025-01-01T11:00:00.000Z" });
    expect(first(run(snapshot(["a"], "e.1"), updated(read, null)))).toEqual(read);
    expect(ids(run(snapshot([], "e.1"), updated(read, null)))).toEqual([]);
  });

  it("with a revision that is not newer changes nothing", () => {
    const change = notification("a", 1, { title: "Old title" });
    const held = run(snapshot(["a"], "e.1"));
    expect(reduceInbox(held, { kind: "updated", notification: change, position: null })).toBe(held);
  });

  it("to archived takes it off the list, and back puts it at its place", () => {
    const archived = notification("b", 2, { archived_at: "2025-01-01T11:00:00.000Z" });
    const away = run(snapshot(["c", "b", "a"], "e.1"), updated(archived, "e.2"));
    expect(ids(away)).toEqual(["c", "a"]);
    expect(ids(away, "archived")).toEqual(["b"]);
    expect(ids(reduceInbox(away, arrival(notification("b", 1), "e.1")))).toEqual(["c", "a"]);
    const back = reduceInbox(away, updated(notification("b", 3), "e.3"));
    expect(ids(back)).toEqual(["c", "b", "a"]);
    expect(ids(back, "archived")).toEqual([]);
  });
});

describe("a group that has grown", () => {
  const grown = notification("a", 3, { arrived_at: arrivalOf("x") });

  it("comes to the top", () => {
    const inbox = run(snapshot(["c", "b", "a"], "e.1"), updated(grown, "e.2"));
    expect(ids(inbox)).toEqual(["a", "c", "b"]);
    expect(inbox.lists.current.entries.map(({ arrived }) => arrived)).toEqual(["e.2", null, null]);
  });

  it("comes to the top from where the list was not loaded", () => {
    const start: InboxMessage = { kind: "snapshot", list: "current", page: page(["c", "b"], "e.1", "k") };
    expect(ids(run(start, updated(grown, "e.2")))).toEqual(["a", "c", "b"]);
  });
});

describe("below the loaded part", () => {
  const start: InboxMessage = { kind: "snapshot", list: "current", page: page(["d", "c"], "e.1", "k") };
  const older = (items: readonly (string | Notification)[], position: string): InboxMessage => ({
    kind: "older",
    list: "current",
    below: place("c"),
    page: page(items, position),
  });

  it("an update is not listed out of order, and is what counts when its place is loaded", () => {
    const change = notification("a", 2, { title: "Changed" });
    const inbox = run(start, updated(change, "e.3"));
    expect(ids(inbox)).toEqual(["d", "c"]);
    const loaded = reduceInbox(inbox, older(["b", "a"], "e.2"));
    expect(ids(loaded)).toEqual(["d", "c", "b", "a"]);
    expect(loaded.lists.current.entries[3]?.notification.title).toBe("Changed");
  });

  it("one that was brought back after the answer was read is listed, one archived before it is not", () => {
    expect(ids(run(start, updated(notification("b", 3), "e.3"), older(["a"], "e.2")))).toEqual(["d", "c", "b", "a"]);
    expect(ids(run(start, updated(notification("b", 3), "e.3"), older(["a"], "e.4")))).toEqual(["d", "c", "a"]);
  });

  it("an update is listed where the whole list is loaded", () => {
    expect(ids(run(snapshot(["d", "c"], "e.1"), updated(notification("a", 2), "e.2")))).toEqual(["d", "c", "a"]);
  });

  it("the end stays where it was when the last one leaves", () => {
    const archived = notification("c", 2, { archived_at: "2025-01-01T11:00:00.000Z" });
    const inbox = run(start, updated(archived, "e.2"), updated(notification("c", 3), "e.3"));
    expect(ids(inbox)).toEqual(["d", "c"]);
    expect(ids(reduceInbox(inbox, updated(notification("b", 2), "e.4")))).toEqual(["d", "c"]);
  });
});

describe("notification:deleted", () => {
  it("takes the entry away, once", () => {
    const inbox = run(snapshot(["b", "a"], "e.1"), deletion("b"));
    expect(ids(inbox)).toEqual(["a"]);
    expect(reduceInbox(inbox, deletion("b"))).toBe(inbox);
  });

  it("remembers a bounded number of ids, the latest", () => {
    const all = Array.from({ length: MAX_DELETED + 1 }, (_, index) => deletion(`n${index}`));
    const { deleted } = run(...all);
    expect(deleted.size).toBe(MAX_DELETED);
    expect(deleted.has("n0")).toBe(false);
    expect(deleted.has(`n${MAX_DELETED}`)).toBe(true);
  });
});

describe("notification:unread-count", () => {
  it("sets the count: it is absolute", () => {
    const inbox = run(
      { kind: "unread-count", count: 3, position: "e.1" },
      { kind: "unread-count", count: 2, position: "e.2" },
      { kind: "unread-count", count: 2, position: "e.2" },
    );
    expect(inbox.unread).toBe(2);
  });

  it("counted at an earlier position than the one held is ignored", () => {
    const inbox = run(snapshot([], "e.9", 4), { kind: "unread-count", count: 1, position: "e.8" });
    expect(inbox.unread).toBe(4);
  });

  it("of a log that began anew is taken", () => {
    const inbox = run(snapshot([], "e.9", 4), { kind: "unread-count", count: 1, position: "f.1" });
    expect(inbox.unread).toBe(1);
  });
});

describe("what comes after a count", () => {
  const three: InboxMessage = { kind: "unread-count", count: 3, position: "e.5" };

  it("is counted by id, since a batch is told without a count", () => {
    const inbox = run(three, arrival(notification("a"), "e.6"), arrival(notification("b"), "e.7"));
    expect(inbox.unread).toBe(5);
    expect(reduceInbox(inbox, arrival(notification("b"), "e.7")).unread).toBe(5);
  });

  it("is in the next count if that was counted at its position or later", () => {
    const inbox = run(three, arrival(notification("a"), "e.6"), arrival(notification("b"), "e.9"));
    expect(reduceInbox(inbox, { kind: "unread-count", count: 4, position: "e.6" }).unread).toBe(5);
    expect(reduceInbox(inbox, { kind: "unread-count", count: 1, position: "e.9" }).unread).toBe(1);
  });

  it("and was there before it is not counted again", () => {
    expect(run(three, arrival(notification("a"), "e.5")).unread).toBe(3);
    expect(run(snapshot(["a"], "e.5", 3), arrival(notification("a"), "e.6")).unread).toBe(3);
    expect(run(three, updated(notification("a", 2), "e.6")).unread).toBe(3);
  });
});

describe("a count of 0", () => {
  const unread = (inbox: Inbox): string[] =>
    inbox.lists.current.entries.filter((entry) => isUnread(inbox, entry)).map((entry) => entry.notification.id);
  const none: InboxMessage = { kind: "unread-count", count: 0, position: "e.5" };

  it("reads everything up to its position, of which not every change is told", () => {
    expect(unread(run(snapshot(["b", "a"], "e.1", 2)))).toEqual(["b", "a"]);
    expect(unread(run(snapshot(["b", "a"], "e.1", 2), none))).toEqual([]);
    expect(unread(run(snapshot(["a"], "e.1", 1), none, arrival(notification("b"), "e.4")))).toEqual([]);
  });

  it("does not read what comes later, nor what was marked unread again", () => {
    expect(unread(run(none, arrival(notification("b"), "e.6")))).toEqual(["b"]);
    const again: InboxMessage = { kind: "updated", notification: notification("a", 3), position: "e.7" };
    expect(unread(run(snapshot(["a"], "e.1", 1), none, again))).toEqual(["a"]);
  });

  it("holds for older ones loaded before it and not for a later snapshot", () => {
    const start: InboxMessage = { kind: "snapshot", list: "current", page: page(["b"], "e.1", "k") };
    const older: InboxMessage = { kind: "older", list: "current", below: place("b"), page: page(["a"], "e.2") };
    expect(unread(run(start, older, none))).toEqual([]);
    expect(unread(run(start, older, none, snapshot(["b", "a"], "e.8", 2)))).toEqual(["b", "a"]);
  });
});

describe("what was read together with another", () => {
  const read = "2025-01-01T11:00:00.000Z";
  const all = (position: string, ...others: { id: string; revision: number }[]): InboxMessage => ({
    kind: "updated",
    notification: notification("c", 2, { read_at: read, seen_at: read }),
    alsoRead: others,
    position,
  });
  const state = (inbox: Inbox): (string | number | null)[][] =>
    inbox.lists.current.entries.map(({ notification: { id, read_at, revision } }) => [id, read_at, revision]);

  it("is read, while what came meanwhile is not", () => {
    const inbox = run(snapshot(["c", "b", "a"], "e.1", 3), arrival(notification("d"), "e.2"), all("e.3", { id: "a", revision: 2 }));
    expect(state(inbox)).toEqual([["d", null, 1], ["c", read, 2], ["b", null, 1], ["a", read, 2]]);
  });

  it("is read when a page from before it is loaded after it", () => {
    const start: InboxMessage = { kind: "snapshot", list: "current", page: page(["c", "b"], "e.1", "k") };
    const older: InboxMessage = { kind: "older", list: "current", below: place("b"), page: page(["a"], "e.2") };
    expect(state(run(start, all("e.3", { id: "a", revision: 2 }), older)).at(-1)).toEqual(["a", read, 2]);
  });

  it("is what its highest revision says, and stays away once deleted", () => {
    const again = notification("b", 3);
    const late = all("e.3", { id: "b", revision: 2 }, { id: "a", revision: 2 });
    const inbox = run(snapshot(["c", again, "a"], "e.2", 2), deletion("a", "e.4"), late, snapshot(["c", again, "a"], "e.2"));
    expect(state(inbox)).toEqual([["c", read, 2], ["b", null, 3]]);
  });
});

describe("snapshot", () => {
  it("is the list, and what it does not hold is gone", () => {
    const inbox = run(arrival(notification("x"), "e.1"), snapshot(["b", "a"], "e.2", 2));
    expect(ids(inbox)).toEqual(["b", "a"]);
    expect(inbox).toMatchObject({ unread: 2, position: "e.2", lists: { current: { loaded: true } } });
  });

  it("keeps what came live after the moment it was read at", () => {
    expect(ids(run(arrival(notification("x"), "e.5"), snapshot(["a"], "e.4")))).toEqual(["x", "a"]);
  });

  it("that already holds what comes again as a message shows it once", () => {
    expect(ids(run(snapshot(["b", "a"], "e.1"), arrival(notification("b"), "e.2")))).toEqual(["b", "a"]);
  });

  it("read before a deletion that was already heard of does not bring the entry back", () => {
    expect(ids(run(snapshot(["a"], "e.1"), deletion("a", "e.3"), snapshot(["a"], "e.2")))).toEqual([]);
  });

  it("read before a change that was already heard of does not undo it", () => {
    const changed = notification("a", 2, { title: "Changed" });
    const inbox = run(
      snapshot(["a"], "e.1"),
      { kind: "updated", notification: changed, position: "e.3" },
      snapshot(["a"], "e.2"),
    );
    expect(first(inbox)?.title).toBe("Changed");
  });

  it("overtaken by a later one is ignored", () => {
    const later = run(snapshot(["b", "a"], "e.5", 2));
    expect(more(later, snapshot(["a"], "e.4", 1))).toBe(later);
  });

  it("of the other list, read before, does not bring back what left this one", () => {
    const archived: InboxMessage = {
      kind: "snapshot",
      list: "archived",
      page: page([notification("a", 2, { archived_at: "2025-01-01T11:00:00.000Z" })], "e.2"),
    };
    const inbox = run(snapshot([notification("a", 3)], "e.3"), snapshot([], "e.5"), archived);
    expect([ids(inbox), ids(inbox, "archived")]).toEqual([[], []]);
    expect(ids(more(inbox, snapshot([notification("a", 3)], "e.6")))).toEqual(["a"]);
  });

  it("of another epoch replaces everything, since positions mean nothing across", () => {
    const inbox = run(snapshot(["a"], "e.90"), arrival(notification("x"), "e.91"), snapshot(["n"], "f.1", 1));
    expect(ids(inbox)).toEqual(["n"]);
    expect(inbox).toMatchObject({ position: "f.1", unread: 1 });
  });

  it("and messages in any overlap give what a fresh snapshot gives", () => {
    const messages = [arrival(notification("b"), "e.2"), deletion("a", "e.3"), arrival(notification("c"), "e.4")];
    const states = [["a"], ["b", "a"], ["b"], ["c", "b"]];
    for (const [at, state] of states.entries()) {
      const taken = snapshot(state, `e.${at + 1}`);
      for (let heard = 0; heard <= messages.length; heard += 1) {
        const inbox = run(snapshot(["a"], "e.1"), ...messages.slice(0, heard), taken, ...messages.slice(at));
        expect(ids(inbox), `snapshot ${at} after ${heard} messages`).toEqual(["c", "b"]);
      }
    }
  });
});

describe("older", () => {
  const start: InboxMessage = { kind: "snapshot", list: "current", page: page(["d", "c"], "e.1", "k1") };

  it("goes below, without what is listed or deleted", () => {
    const inbox = run(start, deletion("b"), { kind: "older", list: "current", below: place("c"), page: page(["c", "b", "a"], "e.1") });
    expect(ids(inbox)).toEqual(["d", "c", "a"]);
    expect(inbox.lists.current.nextCursor).toBeNull();
  });

  it("read before the snapshot is ignored, even if the list ends at the same place", () => {
    const inbox = run(start, { ...start, page: page(["d", "c"], "e.5", "k1") });
    expect(more(inbox, { kind: "older", list: "current", below: place("c"), page: page(["a"], "e.4") })).toBe(inbox);
  });

  it("that answers a question of the list before this one is ignored", () => {
    const inbox = run(start);
    expect(reduceInbox(inbox, { kind: "older", list: "current", below: place("d"), page: page(["a"], "e.1") })).toBe(inbox);
  });
});

it("never changes the state it was given", () => {
  const before = run(snapshot(["b", "a"], "e.1", 2));
  const copy = structuredClone(before);
  for (const message of [
    arrival(notification("c"), "e.2"),
    deletion("a", "e.3"),
    ...snapshot(["c"], "e.4"),
    { kind: "updated", notification: notification("b", 2), position: null } as const,
    { kind: "updated", notification: notification("b", 2), alsoRead: [{ id: "a", revision: 2 }], position: "e.5" } as const,
  ]) {
    reduceInbox(before, message);
  }
  expect(before).toEqual(copy);
});
