import { describe, expect, it } from "vitest";
import type { Notification, Page } from "../client/wire";
import { EMPTY_INBOX, type Inbox, type InboxMessage, isUnread, MAX_GONE, reduceInbox } from "./inbox";

function notification(id: string, revision = 1, change: Partial<Notification> = {}): Notification {
  return {
    id,
    type: "note",
    title: `Title of ${id}`,
    message: "",
    data: {},
    priority: "normal",
    actor: null,
    resource: null,
    group_key: null,
    created_at: "2025-01-01T10:00:00.000Z",
    expires_at: null,
    read_at: null,
    seen_at: null,
    archived_at: null,
    revision,
    ...change,
  };
}

function page(ids: readonly (string | Notification)[], position: string, next: string | null = null): Page {
  const items = ids.map((one) => (typeof one === "string" ? notification(one) : one));
  return { items, next_cursor: next, position };
}

function snapshot(ids: readonly (string | Notification)[], position: string, unread = 0): InboxMessage {
  return { kind: "snapshot", page: page(ids, position), unread: { count: unread, position } };
}

function arrival(one: Notification, position: string | null): InboxMessage {
  return { kind: "new", notification: one, position };
}

function deletion(id: string, position: string | null = null): InboxMessage {
  return { kind: "deleted", id, revision: 2, position };
}

const run = (...messages: InboxMessage[]): Inbox => messages.reduce(reduceInbox, EMPTY_INBOX);
const ids = (inbox: Inbox): string[] => inbox.entries.map((entry) => entry.notification.id);

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
    expect(inbox.entries[0]?.notification).toEqual(read);
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
    expect(inbox.entries[1]?.notification.title).toBe("New title");
  });

  it("with a revision that is not newer changes nothing", () => {
    const change = notification("a", 1, { title: "Old title" });
    const held = run(snapshot(["a"], "e.1"));
    expect(reduceInbox(held, { kind: "updated", notification: change, position: null })).toBe(held);
  });

  it("of one that the list has not loaded yet does not list it out of order", () => {
    const inbox = run(snapshot(["b"], "e.1"), { kind: "updated", notification: notification("a", 2), position: null });
    expect(ids(inbox)).toEqual(["b"]);
  });

  it("to archived takes it off the list, and back puts it at its place", () => {
    const archived = notification("b", 2, { archived_at: "2025-01-01T11:00:00.000Z" });
    const away = run(snapshot(["c", "b", "a"], "e.1"), { kind: "updated", notification: archived, position: "e.2" });
    expect(ids(away)).toEqual(["c", "a"]);
    expect(ids(reduceInbox(away, arrival(notification("b", 1), "e.1")))).toEqual(["c", "a"]);
    const back: InboxMessage = { kind: "updated", notification: notification("b", 3), position: "e.3" };
    expect(ids(reduceInbox(away, back))).toEqual(["c", "b", "a"]);
  });
});

describe("notification:deleted", () => {
  it("takes the entry away, once", () => {
    const inbox = run(snapshot(["b", "a"], "e.1"), deletion("b"));
    expect(ids(inbox)).toEqual(["a"]);
    expect(reduceInbox(inbox, deletion("b"))).toBe(inbox);
  });

  it("remembers a bounded number of ids, the latest", () => {
    const all = Array.from({ length: MAX_GONE + 1 }, (_, index) => deletion(`n${index}`));
    const { gone } = run(...all);
    expect(gone.size).toBe(MAX_GONE);
    expect(gone.has("n0")).toBe(false);
    expect(gone.has(`n${MAX_GONE}`)).toBe(true);
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

describe("a count of 0", () => {
  const unread = (inbox: Inbox): string[] =>
    inbox.entries.filter((entry) => isUnread(inbox, entry)).map((entry) => entry.notification.id);
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
    const first: InboxMessage = { kind: "snapshot", page: page(["b"], "e.1", "k"), unread: { count: 2 } };
    const older: InboxMessage = { kind: "older", cursor: "k", page: page(["a"], "e.2") };
    expect(unread(run(first, older, none))).toEqual([]);
    expect(unread(run(first, older, none, snapshot(["b", "a"], "e.8", 2)))).toEqual(["b", "a"]);
  });
});

describe("snapshot", () => {
  it("is the list, and what it does not hold is gone", () => {
    const inbox = run(arrival(notification("x"), "e.1"), snapshot(["b", "a"], "e.2", 2));
    expect(ids(inbox)).toEqual(["b", "a"]);
    expect(inbox).toMatchObject({ unread: 2, loaded: true, position: "e.2" });
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
    expect(inbox.entries[0]?.notification.title).toBe("Changed");
  });

  it("overtaken by a later one is ignored", () => {
    const later = run(snapshot(["b", "a"], "e.5", 2));
    expect(reduceInbox(later, snapshot(["a"], "e.4", 1))).toBe(later);
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
  const first: InboxMessage = { kind: "snapshot", page: page(["d", "c"], "e.1", "k1"), unread: { count: 0 } };

  it("goes below, without what is listed or deleted", () => {
    const inbox = run(first, deletion("b"), { kind: "older", cursor: "k1", page: page(["c", "b", "a"], "e.1") });
    expect(ids(inbox)).toEqual(["d", "c", "a"]);
    expect(inbox.nextCursor).toBeNull();
  });

  it("that answers a question of the list before this one is ignored", () => {
    const inbox = run(first);
    expect(reduceInbox(inbox, { kind: "older", cursor: "k0", page: page(["a"], "e.1") })).toBe(inbox);
  });
});

it("never changes the state it was given", () => {
  const before = run(snapshot(["b", "a"], "e.1", 2));
  const copy = structuredClone(before);
  for (const message of [
    arrival(notification("c"), "e.2"),
    deletion("a", "e.3"),
    snapshot(["c"], "e.4"),
    { kind: "updated", notification: notification("b", 2), position: null } as const,
  ]) {
    reduceInbox(before, message);
  }
  expect(before).toEqual(copy);
});
