import { afterEach, expect, it, vi } from "vitest";
import { DemoTokens, personOf } from "./tokens";

const NOW = Date.parse("2025-06-15T12:00:00.000Z");

/** A server that hands out t1, t2, … each good for a minute after `NOW`. */
function demoServer(): ReturnType<typeof vi.fn> {
  let given = 0;
  const answer = vi.fn(async () => {
    given += 1;
    return Response.json({ token: `t${given}`, expires_at: new Date(NOW + given * 60_000).toISOString() });
  });
  vi.stubGlobal("fetch", answer);
  return answer;
}

afterEach(() => vi.unstubAllGlobals());

it("keeps a demo token, and calls made together share one request", async () => {
  const server = demoServer();
  const tokens = new DemoTokens("u1", () => NOW);
  expect(await Promise.all([tokens.get(), tokens.get()])).toEqual(["t1", "t1"]);
  expect(await tokens.get()).toBe("t1");
  expect(server).toHaveBeenCalledTimes(1);
});

it("renews a demo token shortly before its end", async () => {
  demoServer();
  let now = NOW;
  const tokens = new DemoTokens("u1", () => now);
  expect(await tokens.get()).toBe("t1");
  now += 31_000;
  expect(await tokens.get()).toBe("t2");
});

it("asks for another demo token after a refusal", async () => {
  demoServer();
  const tokens = new DemoTokens("u1", () => NOW);
  await tokens.get();
  tokens.discard();
  expect(await tokens.get()).toBe("t2");
});

it("does not keep a failure", async () => {
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("no network")));
  const tokens = new DemoTokens("u1", () => NOW);
  await expect(tokens.get()).rejects.toThrow("cannot be reached");
  demoServer();
  expect(await tokens.get()).toBe("t1");
});

it("reads who a token is for, in any script", () => {
  const claims = new TextEncoder().encode(JSON.stringify({ sub: "u9", name: "Zoë 山田", roles: ["admin"] }));
  const part = btoa(String.fromCharCode(...claims)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  expect(personOf(`h.${part}.s`)).toEqual({ id: "u9", name: "Zoë 山田", roles: ["admin"], teams: [] });
});

it("takes nothing else for a token", () => {
  for (const text of ["", "abc", "a.b", "a.b.c", `a.${btoa("{}")}.c`, `a.${btoa("null")}.c`]) {
    expect(personOf(text), text).toBeNull();
  }
});
