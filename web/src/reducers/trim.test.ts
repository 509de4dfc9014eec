import { describe, expect, it } from "vitest";
import { arrivalOf, sample } from "../client/samples";
import type { Notification, Page } from "../client/wire";
import { EMPTY_INBOX, type Inbox, type InboxMessage, type ListName, reduceInbox } from "./inbox";
import { type Place, placeOf } from "./list";

/** Later ones have later letters. */
function copy(id: string, change: Partial<Notification> = {}): Notification {
  return sample({ id, title: `Title of ${id}`, arrived_at: arrivalOf(id), ...change });
}

const AWAY = { archived_at: "2025-01-01T11:00:00.000Z", revision: 2 };
const place = (id: string): Place => placeOf(copy(id));
const page = (ids: string, position: string, next: string | null = null): Page => ({
  items: [...ids].map((id) => copy(id)),
  next_cursor: next,
  position,
});
const trim = (id: string, list: ListName = "current"): InboxMessage => ({ kind: "trim", list, floor: place(id) });
const older = (below: string, ids: string, position: string): InboxMessage => ({
  kind: "older",
  list: "current",
  below: place(below),
  page: page(ids, position),
});
const arrival = (id: string, position: string): InboxMessage => ({ kind: "new", notification: copy(id), position });
const updated = (notification: Notification, position: string): InboxMessage => ({
  kind: "updated",
  notification,
  position,
});

const more = (inbox: Inbox, ...messages: InboxMessage[]): Inbox => messages.reduce(reduceInbox, inbox);
const ids = (inbox: Inbox, list: ListName = "current"): string =>
  inbox.lists[list].entries.map(({ notification }) => notification.id).join("");

const whole: InboxMessage = { kind: "snapshot", list: "current", page: page("fedcba", "e.1") };
const start = more(EMPTY_INBOX, whole, { kind: "unread-count", count: 6, position: "e.1" });
const short = more(start, trim("d"));

describe("a list that is trimmed", () => {
  it("ends there, and knows that more follows but not how to ask for it", () => {
    expect(ids(short)).toBe("fed");
    expect(short.lists.current).toMatchObject({ floor: place("d"), nextCursor: null, loaded: true });
    expect([...short.copies.keys()].join("")).toBe("fed");
  });

  it("leaves the count and the other list alone", () => {
    const archive = { ...page("", "e.2"), items: [copy("b", AWAY)] };
    const inbox = more(start, { kind: "snapshot", list: "archived", page: archive }, trim("d"));
    expect([ids(inbox), ids(inbox, "archived"), inbox.unread]).toEqual(["fed", "b", 6]);
  });

  it("is the very same if it ends there already or above", () => {
    expect(more(short, trim("d"))).toBe(short);
    expect(more(short, trim("b"))).toBe(short);
  });

  it("goes on growing at the top, not at its end", () => {
    expect(ids(more(short, arrival("g", "e.2"), updated(copy("a", { revision: 2 }), "e.3")))).toBe("gfed");
  });

  it("takes what comes to the top from below", () => {
    const grown = copy("a", { arrived_at: place("x").arrived_at, revision: 2 });
    expect(ids(more(short, updated(grown, "e.2")))).toBe("afed");
  });

  it("is whole again with a page that begins above its end", () => {
    const inbox = more(short, arrival("g", "e.2"), older("d", "edcba", "e.2"));
    expect(ids(inbox)).toBe("gfedcba");
    expect(inbox.lists.current.floor).toBeNull();
  });

  it("does not take from such a page what has left it since, nor lose what the page has no more", () => {
    const inbox = more(short, updated(copy("e", AWAY), "e.3"), older("d", "edcba", "e.2"));
    expect([ids(inbox), ids(inbox, "archived")]).toEqual(["fdcba", "e"]);
    expect(ids(more(short, arrival("g", "e.3"), older("d", "cba", "e.2")))).toBe("gfedcba");
  });

  it("does not take a page for an end that it has no more: between them something would be missing", () => {
    const shorter = more(short, trim("e"));
    expect(more(shorter, older("d", "cba", "e.2"))).toBe(shorter);
  });

  it("begins anew with a snapshot", () => {
    const anew = more(short, { kind: "snapshot", list: "current", page: page("fe", "e.2", "k") });
    expect(anew.lists.current).toMatchObject({ floor: place("e"), nextCursor: "k" });
  });
});
