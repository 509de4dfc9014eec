import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { FeedListener, FeedOptions } from "./feed";
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

const unread: Notification = {
  id: "n1",
  type: "note",
  title: "Hello",
  message: "",
  data: {},
  priority: "normal",
  actor: null,
  resource: null,
  group_key: null,
  created_at: "2026-01-31T09:30:00.000Z",
  expires_at: null,
  read_at: null,
  seen_at: null,
  archived_at: null,
  revision: 1,
};
const read: Notification = { ...unread, read_at: "2026-01-31T09:31:00.000Z", revision: 2 };

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
  await vi.waitUntil(() => session.inbox.loaded);
  vi.stubGlobal("fetch", offline);
  listener.connection({ kind: "lost", reason: "transport close", retrying: true });
});

afterEach(() => {
  session.stop();
  vi.unstubAllGlobals();
});

it.each([
  ["Could not mark it read.", () => session.read("n1")],
  ["Could not mark all read.", () => session.readAll()],
  ["Could not delete it.", () => session.remove("n1")],
  ["Could not show older ones.", () => session.older()],
])("says of what is done offline: %s", async (words, action) => {
  const [inbox, before] = [session.inbox, changes];
  await action();
  expect(session.failure).toBe(`${words} The server cannot be reached.`);
  expect(session.problem).toBeNull();
  expect(session.inbox).toBe(inbox);
  expect(changes).toBeGreaterThan(before);
});

it("keeps saying so when the connection is back, until something is done or it is dismissed", async () => {
  await session.read("n1");
  const fetched = vi.fn(answers);
  vi.stubGlobal("fetch", fetched);
  listener.connection({ kind: "connected", recovered: true });
  expect(session.failure).not.toBeNull();
  listener.connection({ kind: "connected", recovered: false });
  await vi.waitUntil(() => fetched.mock.calls.length === 2);
  expect(session.failure).not.toBeNull();
  await session.read("n1");
  expect(session.failure).toBeNull();
  expect(session.inbox.entries[0]?.notification).toEqual(read);

  vi.stubGlobal("fetch", offline);
  await session.read("n1");
  session.dismiss();
  expect(session.failure).toBeNull();
});

it("says of a list that cannot be fetched why", async () => {
  listener.connection({ kind: "connected", recovered: false });
  await vi.waitUntil(() => session.problem !== null);
  expect(session.problem).toBe("The server cannot be reached.");
  expect(session.failure).toBeNull();
});
