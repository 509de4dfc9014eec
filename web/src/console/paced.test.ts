import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { FRAME_MS, Paced } from "./paced";

let calls = 0;
let paced: Paced;

beforeEach(() => {
  vi.useFakeTimers();
  calls = 0;
  paced = new Paced(() => {
    calls += 1;
  }, Date.now);
});
afterEach(() => void vi.useRealTimers());

it("calls at once when it has not for a frame", () => {
  paced.ask();
  expect(calls).toBe(1);
  vi.advanceTimersByTime(FRAME_MS);
  paced.ask();
  expect(calls).toBe(2);
});

it("calls once for what asks within a frame, and not after it", () => {
  for (let asked = 0; asked < 500; asked++) paced.ask();
  expect(calls).toBe(1);
  vi.advanceTimersByTime(FRAME_MS);
  expect(calls).toBe(2);
  vi.advanceTimersByTime(10 * FRAME_MS);
  expect(calls).toBe(2);
});

it("does not call once it is stopped, until it is asked again", () => {
  paced.ask();
  paced.ask();
  paced.stop();
  vi.advanceTimersByTime(10 * FRAME_MS);
  expect(calls).toBe(1);
  paced.ask();
  expect(calls).toBe(2);
});
