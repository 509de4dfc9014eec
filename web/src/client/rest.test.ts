import { afterEach, expect, it, vi } from "vitest";
import { PATIENCE, Rest, RestError } from "./rest";
import type { TokenSource } from "./tokens";

function source(renewable: boolean): TokenSource {
  let number = 1;
  return {
    renewable,
    get: () => Promise.resolve(`t${number}`),
    discard: () => {
      number += 1;
    },
  };
}

function problem(status: number, body: object, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { "Content-Type": "application/problem+json", ...headers },
  });
}

const serve = (answer: (token: string) => Response): string[] => {
  const calls: string[] = [];
  vi.stubGlobal("fetch", async (path: string, init: RequestInit) => {
    const token = new Headers(init.headers).get("Authorization") ?? "";
    calls.push(`${init.method} ${path} ${token}`);
    return answer(token);
  });
  return calls;
};

const refusal = (call: Promise<unknown>): Promise<RestError> =>
  call.then(
    () => Promise.reject(new Error("it was not refused")),
    (error: RestError) => error,
  );

afterEach(() => vi.unstubAllGlobals());

it("gives up on a server that does not answer", async () => {
  const stopped = AbortSignal.abort();
  const patience = vi.spyOn(AbortSignal, "timeout").mockReturnValue(stopped);
  vi.stubGlobal("fetch", async (_path: string, init: RequestInit) => {
    expect(init.signal).toBe(stopped);
    throw new DOMException("", "TimeoutError");
  });
  expect(await refusal(new Rest(source(true)).unreadCount())).toMatchObject({
    message: "The server does not answer.",
    status: 0,
  });
  expect(patience).toHaveBeenCalledWith(PATIENCE);
  patience.mockRestore();
});

it("sends the token in the header and nowhere else", async () => {
  const calls = serve(() => Response.json({ count: 2, position: "e.1" }));
  expect(await new Rest(source(true)).unreadCount()).toEqual({ count: 2, position: "e.1" });
  expect(calls).toEqual(["GET /api/v1/notifications/unread-count Bearer t1"]);
});

it("asks again once with a renewed token", async () => {
  const calls = serve((token) =>
    token === "Bearer t2" ? new Response(null, { status: 204 }) : problem(401, { detail: "Expired." }),
  );
  await new Rest(source(true)).remove("a/b");
  expect(calls).toEqual([
    "DELETE /api/v1/notifications/a%2Fb Bearer t1",
    "DELETE /api/v1/notifications/a%2Fb Bearer t2",
  ]);
});

it("names one recipient alone, and several together", async () => {
  const bodies: unknown[] = [];
  vi.stubGlobal("fetch", async (_: string, init: RequestInit) => {
    bodies.push(JSON.parse(String(init.body)));
    return Response.json({}, { status: 201 });
  });
  const rest = new Rest(source(true));
  await rest.send({ user_ids: ["u1"], type: "note", title: "t", message: "" });
  await rest.send({ user_ids: ["u1", "u2"], type: "note", title: "t", message: "" });
  expect(bodies).toEqual([
    { user_id: "u1", type: "note", title: "t", message: "" },
    { user_ids: ["u1", "u2"], type: "note", title: "t", message: "" },
  ]);
});

it("does not ask again with a token that it cannot renew", async () => {
  const calls = serve(() => problem(401, { detail: "Expired.", code: "token_expired" }));
  expect(await refusal(new Rest(source(false)).list())).toMatchObject({ message: "Expired.", code: "token_expired" });
  expect(calls).toHaveLength(1);
});

it("carries the server's detail, code, field and Retry-After", async () => {
  serve(() => problem(422, { detail: "title is empty", code: "invalid", field: "title" }, { "Retry-After": "3" }));
  const draft = { user_ids: ["u1"], type: "note", title: "", message: "" };
  expect(await refusal(new Rest(source(true)).send(draft))).toMatchObject({
    message: "title is empty",
    status: 422,
    code: "invalid",
    field: "title",
    retryAfter: 3,
  });
});

it("has words for an answer that is no problem document, and for none", async () => {
  serve(() => new Response("<h1>Bad gateway</h1>", { status: 502 }));
  expect(await refusal(new Rest(source(true)).list())).toMatchObject({ message: "The server answered 502.", status: 502 });
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("no network")));
  expect(await refusal(new Rest(source(true)).list())).toMatchObject({ status: 0, retryAfter: null });
});
