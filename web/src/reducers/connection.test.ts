import { expect, it } from "vitest";
import { type Connection, type ConnectionEvent, INITIAL_CONNECTION, reduceConnection } from "./connection";

const run = (...events: ConnectionEvent[]): Connection => events.reduce(reduceConnection, INITIAL_CONNECTION);
const connected: ConnectionEvent = { kind: "connected", recovered: false };
const lost: ConnectionEvent = { kind: "lost", reason: "transport close", retrying: true };
const failed: ConnectionEvent = { kind: "failed", message: "websocket error", code: null, retrying: true };

it("is live once connected, and again after a loss", () => {
  expect(run(connected).phase).toBe("live");
  expect(run(connected, lost).phase).toBe("reconnecting");
  expect(run(connected, lost, failed).phase).toBe("reconnecting");
  expect(run(connected, lost, failed, connected)).toEqual({ phase: "live", message: null, code: null });
});

it("calls a first try that failed connecting still, with the reason", () => {
  expect(run(failed)).toEqual({ phase: "connecting", message: "websocket error", code: null });
});

it("is refused when the client will not try again", () => {
  const refusal: ConnectionEvent = { kind: "failed", message: "No", code: "token_invalid", retrying: false };
  expect(run(refusal)).toEqual({ phase: "refused", message: "No", code: "token_invalid" });
  expect(run(refusal, { kind: "opening" }).phase).toBe("connecting");
});

it("is closed when the server ended it for good", () => {
  expect(run(connected, { kind: "lost", reason: "io server disconnect", retrying: false }).phase).toBe("closed");
});
