import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { isUnread } from "../reducers/inbox";
import type { FeedListener, FeedOptions } from "./feed";
import { sample } from "./samples";
import { Session } from "./session";
import type { TokenSource } from "./tokens";
import type { Notification, ServerConfig } from "./wire";

/** The listener of the feed that the session made last. */
let listener: FeedListener;

vi.mock("./feed", () => ({
  Feed: class {
    constructor(options: FeedOptions) {
      listener = options.listener;
    }
    open(): void {}
    close(): void {}
  },
}));

const tokens: TokenSource = { renewable: false, get: () => Promise.resolve("t"), discard: () => {} };
const config: ServerConfig = {
  version: "1",
  demo: false,
  socket: { path: "/socket.io/", reconnection_delay: 1000, reconnection_max_delay: 5000 },
};

const unread = sample({ created_at: "2026-01-31T09:30:00.000Z", arrived_at: "2026-01-31T09:30:00.000000Z" });
const read = sample({ ...unread, read_at: "2026-01-31T09:31:00.000Z", revision: 2 });

/** A server with one notification. */
const answers = async (path: string): Promise<Response> => {
  if (path.endsWith("/n1/read")) return Response.json(read);
  if (path.endsWith("/unread-count")) return Response.json({ count: 1, position: "e.1" });
  return Response.json({ items: [unread], next_cursor: "older", position: "e.1" });
};
const offline = (): Promise<Response> => Promise.reject(new TypeError("no network"));

let session: Session;
let changes = 0;

beforeEach(async () => {
  vi.stubGlobal("fetch", answers);
  session = new Session(tokens, config, () => {
    changes += 1;
  });
  listener.connection({ kind: "connected", recovered: false });
  await vi.waitUntil(() => session.inbox.lists.current.loaded);
  vi.stubGlobal("fetch", offline);
  listener.connection({ kind: "lost", reason: "transport close", retrying: true });
});

afterEach(() => {
  session.stop();
  vi.unstubAllGlobals();
});

it.each([
  ["Could not mark it read.", () => session.change("n1", "read")],
  ["Could not mark all read.", () => session.readAll()],
  ["Could not mark it unread.", () => session.change("n1", "unread")],
  ["Could not archive it.", () => session.change("n1", "archive")],
  ["Could not move it to the inbox.", () => session.change("n1", "unarchive")],
  ["Could not show them.", () => session.show("archived")],
  ["Could not show the preferences.", () => session.loadPreferences()],
  ["Could not mute note.", () => session.mute("note", true)],
  ["Could not delete it.", () => session.remove("n1")],
  ["Could not show older ones.", () => session.older("current")],
])("says of what is done offline: %s", async (words, action) => {
  const [inbox, before] = [session.inbox, changes];
  await action();
  expect(session.failure).toBe(`${words} The server cannot be reached.`);
  expect(session.problem).toBeNull();
  expect(session.inbox).toBe(inbox);
  expect(changes).toBeGreaterThan(before);
});

it("keeps saying so when the connection is back, until something is done or it is dismissed", async () => {
  await session.change("n1", "read");
  const fetched = vi.fn(answers);
  vi.stubGlobal("fetch", fetched);
  listener.connection({ kind: "connected", recovered: true });
  expect(session.failure).not.toBeNull();
  listener.connection({ kind: "connected", recovered: false });
  await vi.waitUntil(() => fetched.mock.calls.length === 2);
  expect(session.failure).not.toBeNull();
  await session.change("n1", "read");
  expect(session.failure).toBeNull();
  expect(session.inbox.lists.current.entries[0]?.notification).toEqual(read);

  vi.stubGlobal("fetch", offline);
  await session.change("n1", "read");
  session.dismiss();
  expect(session.failure).toBeNull();
});

it("says no more that the server cannot be reached once it is back", async () => {
  await session.change("n1", "read");
  listener.connection({ kind: "connected", recovered: true });
  expect(session.failure).toBe("Could not mark it read. The server was away.");

  vi.stubGlobal("fetch", () => Promise.resolve(Response.json({ detail: "No such thing." }, { status: 404 })));
  await session.change("n1", "read");
  listener.connection({ kind: "connected", recovered: true });
  expect(session.failure).toBe("Could not mark it read. No such thing.");
});

it("says no more of what was not done once something was sent", async () => {
  await session.change("n1", "read");
  vi.stubGlobal("fetch", () => Promise.resolve(Response.json({ created: 1 }, { status: 201 })));
  await session.send({ user_ids: ["u1"], type: "note", title: "Hello", message: "" });
  expect(session.failure).toBeNull();
});

it("keeps the older ones that were shown when all is read, and asks for nothing again", async () => {
  const old: Notification = { ...unread, id: "n0", arrived_at: "2026-01-30T09:30:00.000000Z" };
  vi.stubGlobal("fetch", async () => Response.json({ items: [old], next_cursor: null, position: "e.2" }));
  await session.older("current");
  const asked: string[] = [];
  vi.stubGlobal("fetch", async (path: string) => {
    asked.push(path);
    return Response.json({ updated: 2, position: "e.3" });
  });
  expect(await session.readAll()).toBe(true);
  const { entries } = session.inbox.lists.current;
  expect(entries.map(({ notification }) => notification.id)).toEqual(["n1", "n0"]);
  expect(entries.some((entry) => isUnread(session.inbox, entry))).toBe(false);
  expect(session.inbox.unread).toBe(0);
  expect(asked).toEqual(["/api/v1/notifications/read-all"]);
});

it("does not trim a list while a page is under way, which may know less than is forgotten", async () => {
  const newer: Notification = { ...unread, id: "n2", arrived_at: "2026-01-31T09:32:00.000000Z" };
  listener.message({ kind: "new", notification: newer, position: "e.2" });
  const ids = (): string[] => session.inbox.lists.current.entries.map(({ notification }) => notification.id);
  const floor = { arrived_at: newer.arrived_at ?? "", id: newer.id };
  vi.stubGlobal("fetch", answers);
  const older = session.older("current");
  session.trim("current", floor);
  expect(ids()).toEqual(["n2", "n1"]);
  await older;
  session.trim("current", floor);
  expect(ids()).toEqual(["n2"]);
});

it("says of a list that cannot be fetched why", async () => {
  listener.connection({ kind: "connected", recovered: false });
  await vi.waitUntil(() => session.problem !== null);
  expect(session.problem).toBe("The server cannot be reached.");
  expect(session.failure).toBeNull();
});

describe("a count that was reckoned", () => {
  const another: Notification = { ...unread, id: "n2", arrived_at: "2026-01-31T09:32:00.000000Z" };
  let asked: string[];

  beforeEach(() => {
    vi.useFakeTimers();
    asked = [];
    vi.stubGlobal("fetch", (path: string) => {
      asked.push(path);
      return Promise.resolve(Response.json({ count: 1, position: "e.3" }));
    });
    listener.message({ kind: "unread-count", count: 1, position: "e.1" });
  });
  afterEach(() => void vi.useRealTimers());

  it("soon after the server's is asked for: that may have held it already", async () => {
    listener.message({ kind: "new", notification: another, position: "e.2" });
    expect(session.inbox.unread).toBe(2);
    await vi.runAllTimersAsync();
    expect(asked).toEqual(["/api/v1/notifications/unread-count"]);
    expect(session.inbox.unread).toBe(1);
  });

  it("is not asked for once the server's has come", async () => {
    listener.message({ kind: "new", notification: another, position: "e.2" });
    listener.message({ kind: "unread-count", count: 2, position: "e.2" });
    await vi.runAllTimersAsync();
    expect(asked).toEqual([]);
  });

  it("is not asked for long after the server's, so that a batch does not make all ask", async () => {
    vi.advanceTimersByTime(11_000);
    listener.message({ kind: "new", notification: another, position: "e.2" });
    await vi.runAllTimersAsync();
    expect(asked).toEqual([]);
    expect(session.inbox.unread).toBe(2);
  });
});

it("says why it cannot tell why one came", async () => {
  expect(await session.explain("n1")).toBe("It cannot be told why: The server cannot be reached.");
});

it("keeps what others chose when it mutes a type", async () => {
  const bodies: unknown[] = [];
  vi.stubGlobal("fetch", (_: string, init: RequestInit) => {
    if (init.body !== undefined) bodies.push(JSON.parse(String(init.body)));
    return Promise.resolve(Response.json({ muted_types: ["a"], quiet_hours: null }));
  });
  expect(await session.mute("note", true)).toBe(true);
  expect(await session.mute("a", false)).toBe(true);
  expect(bodies).toEqual([{ muted_types: ["a", "note"] }, { muted_types: [] }]);
});

it("loads the archive once, and then with each snapshot", async () => {
  const asked: string[] = [];
  vi.stubGlobal("fetch", (path: string) => {
    asked.push(path);
    return answers(path);
  });
  await session.show("archived");
  await session.show("archived");
  expect(asked).toEqual(["/api/v1/notifications?limit=30&archived=true"]);
  listener.connection({ kind: "connected", recovered: false });
  await vi.waitUntil(() => asked.length === 4);
  expect(asked.filter((path) => path.includes("archived"))).toHaveLength(2);
});
