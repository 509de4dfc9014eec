import { expect, it } from "vitest";
import { comparePositions, laterPosition } from "./position";

it("orders positions of one epoch by number, not by letter", () => {
  expect(comparePositions("e.10", "e.9")).toBeGreaterThan(0);
  expect(comparePositions("e.9", "e.10")).toBeLessThan(0);
  expect(comparePositions("e.9", "e.9")).toBe(0);
});

it("takes the last dot as the divider", () => {
  expect(comparePositions("a.b.2", "a.b.1")).toBeGreaterThan(0);
});

it("does not order across epochs or without a position", () => {
  expect(comparePositions("e.1", "f.2")).toBeNull();
  expect(comparePositions(null, "f.2")).toBeNull();
});

it("keeps the later, and follows to a new epoch", () => {
  expect(laterPosition("e.5", "e.4")).toBe("e.5");
  expect(laterPosition("e.5", "e.6")).toBe("e.6");
  expect(laterPosition("e.5", "f.1")).toBe("f.1");
  expect(laterPosition("e.5", null)).toBe("e.5");
  expect(laterPosition(null, "e.1")).toBe("e.1");
});
