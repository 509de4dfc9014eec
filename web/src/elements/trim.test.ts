import { expect, it } from "vitest";
import type { Entry } from "../reducers/inbox";
import { KEPT, ROOM, trimAt } from "./trim";

/** So many entries, of which only the place matters; the id of each is its index. */
function entries(count: number): Entry[] {
  const one = (_: unknown, index: number): Entry =>
    ({ notification: { id: String(index), arrived_at: "2025-01-01T10:00:00.000000Z" } }) as Entry;
  return Array.from({ length: count }, one);
}

const last = (count: number, deepest: number): string | undefined => trimAt(entries(count), () => deepest)?.id;

it("trims to the newest once there is no more room for others", () => {
  expect(last(KEPT + ROOM, 5)).toBeUndefined();
  expect(last(KEPT + ROOM + 1, 5)).toBe(String(KEPT - 1));
  expect(last(2_000, -1)).toBe(String(KEPT - 1));
});

it("keeps what is needed, and rows below it", () => {
  expect(last(2_000, 1_000)).toBe(String(1_000 + ROOM));
  expect(last(2_000, 1_999 - 2 * ROOM)).toBeUndefined();
  expect(last(2_000, 1_999)).toBeUndefined();
});

it("does not look for what is needed while the list is short", () => {
  const never = (): number => {
    throw new Error("looked");
  };
  expect(trimAt(entries(KEPT + ROOM), never)).toBeNull();
});
