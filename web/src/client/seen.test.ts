import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { SeenReports } from "./seen";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function reports(answer: () => Promise<void> = () => Promise.resolve()): [SeenReports, (readonly string[])[]] {
  const sent: (readonly string[])[] = [];
  const seen = new SeenReports((ids) => {
    sent.push(ids);
    return answer();
  });
  return [seen, sent];
}

it("tells of several in one request, and of each once", async () => {
  const [seen, sent] = reports();
  for (const id of ["a", "b", "a"]) seen.add(id, "1");
  await vi.runAllTimersAsync();
  seen.add("b", "1");
  await vi.runAllTimersAsync();
  expect(sent).toEqual([["a", "b"]]);
});

it("tells again of one that has arrived anew", async () => {
  const [seen, sent] = reports();
  seen.add("a", "1");
  await vi.runAllTimersAsync();
  seen.add("a", "2");
  await vi.runAllTimersAsync();
  expect(sent).toEqual([["a"], ["a"]]);
});

it("tells of at most 100 in one request", async () => {
  const [seen, sent] = reports();
  for (let number = 0; number < 130; number += 1) seen.add(`n${number}`, "1");
  await vi.runAllTimersAsync();
  expect(sent.map((ids) => ids.length)).toEqual([100, 30]);
});

it("keeps what could not be told for the next time", async () => {
  let online = false;
  const [seen, sent] = reports(() => (online ? Promise.resolve() : Promise.reject(new Error("offline"))));
  seen.add("a", "1");
  await vi.runAllTimersAsync();
  online = true;
  await seen.flush();
  await seen.flush();
  expect(sent).toEqual([["a"], ["a"]]);
});

it("tells nothing once it was stopped", async () => {
  const [seen, sent] = reports();
  seen.add("a", "1");
  seen.stop();
  await vi.runAllTimersAsync();
  expect(sent).toEqual([]);
});
