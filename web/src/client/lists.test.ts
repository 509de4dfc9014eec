import { expect, it } from "vitest";
import type { Place } from "../reducers/inbox";
import { Lists } from "./lists";
import type { Rest } from "./rest";
import type { Notification, Page } from "./wire";

const AT = "2025-01-01T10:00:00.000000Z";
const place = (number: number): Place => ({ arrived_at: AT, id: String(number).padStart(4, "0") });

/** A server with the ids 0999 to 0000, whose cursors are the ids of the last ones. */
class Server {
  readonly asked: string[] = [];

  async list(cursor: string | null, archived: boolean, limit: number): Promise<Page> {
    this.asked.push(`${archived ? "archived" : "current"} ${limit} ${cursor ?? "top"}`);
    const first = cursor === null ? 999 : Number(cursor) - 1;
    const count = Math.min(limit, first + 1);
    const items = Array.from({ length: count }, (_, index) => place(first - index) as Notification);
    return { items, next_cursor: first - count >= 0 ? (items.at(-1)?.id ?? null) : null, position: "e.1" };
  }
}

function asking(): { server: Server; lists: Lists } {
  const server = new Server();
  return { server, lists: new Lists(server as unknown as Rest) };
}

it("asks for what follows with the cursor, if there is one", async () => {
  const { server, lists } = asking();
  await lists.below("archived", place(970), "0970", ({ items }) => expect(items[0]?.id).toBe("0969"));
  expect(server.asked).toEqual(["archived 30 0970"]);
});

it("finds what follows from the top without one", async () => {
  const { server, lists } = asking();
  const taken: Page[] = [];
  await lists.below("current", place(750), null, (page) => taken.push(page));
  expect(server.asked).toEqual(["current 100 top", "current 100 0900", "current 100 0800"]);
  expect(taken.map(({ items }) => [items[0]?.id, items.at(-1)?.id])).toEqual([["0799", "0700"]]);
});

it("goes on if a page ends just where the list does, and stops where nothing follows", async () => {
  const { lists } = asking();
  await lists.below("current", place(800), null, ({ items }) => expect(items[0]?.id).toBe("0799"));
  await lists.below("current", place(0), null, ({ items, next_cursor }) => {
    expect([items[0]?.id, next_cursor]).toEqual(["0099", null]);
  });
});

it("is asking until the page has been taken, or could not be had", async () => {
  const { lists } = asking();
  const during: boolean[] = [];
  const done = lists.first("current", () => during.push(lists.asking));
  expect(lists.asking).toBe(true);
  await done;
  expect([during, lists.asking]).toEqual([[true], false]);

  const broken = new Lists({ list: () => Promise.reject(new Error("offline")) } as unknown as Rest);
  await expect(broken.first("current", () => {})).rejects.toThrow("offline");
  expect(broken.asking).toBe(false);
});
