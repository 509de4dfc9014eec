/**
 * Old snapshot + messages == new snapshot, for any interleaving.
 *
 * A small server with a log that numbers behind its commits, as ours does, and a client whose requests and messages
 * overtake each other. Each seed is a course of its own; a failure names it.
 */

import { expect, it } from "vitest";
import { sample } from "../client/samples";
import type { Notification, Page } from "../client/wire";
import { EMPTY_INBOX, type Inbox, type InboxMessage, isUnread, type ListName, reduceInbox } from "./inbox";
import { placeOf } from "./list";

const SEEDS = 400;
const STEPS = 120;
const LISTS = ["current", "archived"] as const;
const PAGE = 4;

type Random = (below: number) => number;

/** Mulberry32: the same numbers for the same seed on every machine. */
function random(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below | 0;
  };
}

/** Committed copies, the log, and what is committed but not numbered yet. */
class Server {
  readonly copies = new Map<string, Notification>();
  readonly log: InboxMessage[] = [];
  private readonly outbox: ((position: string) => InboxMessage)[] = [];
  private time = 0;

  constructor(private readonly random: Random) {}

  position(seq = this.log.length): string {
    return `e.${seq}`;
  }

  act(): void {
    const one = [...this.copies.values()][this.random(this.copies.size + 2)];
    if (one === undefined) this.create();
    else if (this.random(10) === 0) this.readAll();
    else [this.grow, this.read, this.archive, this.archive, this.remove, this.see][this.random(6)]?.call(this, one);
  }

  number(most: number): void {
    for (const make of this.outbox.splice(0, most)) this.log.push(make(this.position(this.log.length + 1)));
  }

  page(list: ListName, cursor: string | null, limit = PAGE): Page {
    const all = this.list(list).filter((item) => cursor === null || key(item) < cursor);
    const items = all.slice(0, limit);
    const last = items.at(-1);
    return {
      items,
      next_cursor: all.length > limit && last !== undefined ? key(last) : null,
      position: this.position(),
    };
  }

  list(list: ListName): Notification[] {
    const listed = [...this.copies.values()].filter((item) => (item.archived_at !== null) === (list === "archived"));
    return listed.sort((a, b) => (key(a) > key(b) ? -1 : 1));
  }

  unread(): InboxMessage {
    const count = this.list("current").filter((item) => item.read_at === null).length;
    return { kind: "unread-count", count, position: this.position() };
  }

  private create(): void {
    const id = `n${String(this.copies.size)}${String((this.time += 1)).padStart(4, "0")}`;
    this.put("new", { ...BLANK, id, created_at: this.now(), arrived_at: this.now() });
  }

  private grow(one: Notification): void {
    this.time += 1;
    const title = `${one.title}+`;
    this.put("updated", { ...one, title, arrived_at: this.now(), revision: one.revision + 2 });
  }

  private read(one: Notification): void {
    this.change(one, { read_at: one.read_at === null ? this.now() : null });
  }

  /** A message for the newest alone, which names the others. */
  private readAll(): void {
    const unread = this.list("current").filter((item) => item.read_at === null);
    const read = unread.map((item) => {
      const [read_at, revision] = [this.now(), item.revision + 1];
      return { ...item, read_at, seen_at: item.seen_at ?? read_at, revision };
    });
    for (const item of read) this.copies.set(item.id, item);
    const [notification, ...alsoRead] = read;
    if (notification === undefined) return;
    this.outbox.push((position) => ({ kind: "updated", notification, alsoRead, position }));
  }

  private archive(one: Notification): void {
    this.change(one, { archived_at: one.archived_at === null ? this.now() : null });
  }

  private see(one: Notification): void {
    this.change(one, { seen_at: this.now() });
  }

  private change(one: Notification, change: Partial<Notification>): void {
    this.put("updated", { ...one, ...change, revision: one.revision + 1 });
  }

  private remove({ id }: Notification): void {
    this.copies.delete(id);
    this.outbox.push((position) => ({ kind: "deleted", id, position }));
  }

  private put(kind: "new" | "updated", notification: Notification): void {
    this.copies.set(notification.id, notification);
    this.outbox.push((position) => ({ kind, notification, position }));
  }

  private now(): string {
    return `2025-01-01T10:00:00.${String(this.time).padStart(6, "0")}Z`;
  }
}

const BLANK = sample({ id: "", title: "T", created_at: "", arrived_at: "" });

const key = ({ arrived_at, id }: Pick<Notification, "arrived_at" | "id">): string => `${arrived_at} ${id}`;

/** Messages come in order, some of them again; answers come when they come. */
class Client {
  inbox: Inbox = EMPTY_INBOX;
  private heard = 0;
  private answers: InboxMessage[] = [];

  constructor(
    private readonly server: Server,
    private readonly random: Random,
  ) {
    this.connect();
  }

  /** What was said while it was away is not said again; both lists are asked for anew. */
  private connect(): void {
    this.heard = this.server.log.length;
    for (const list of LISTS) this.answers.push({ kind: "snapshot", list, page: this.server.page(list, null) });
  }

  act(): void {
    const list = LISTS[this.random(2)] ?? "current";
    switch (this.random(7)) {
      case 0:
        this.answers.push({ kind: "snapshot", list, page: this.server.page(list, null) });
        break;
      case 1:
        this.askOlder(list);
        break;
      case 2:
        this.change();
        break;
      case 3:
        this.answer(this.random(this.answers.length));
        break;
      case 4:
        if (this.random(3) === 0) this.connect();
        else this.heard = Math.max(0, this.heard - this.random(3)); // recovery repeats
        break;
      case 5:
        this.trim(list);
        break;
      default:
        this.hear(this.random(4));
    }
  }

  /** Everything that is still under way arrives, in any order. */
  arrive(): void {
    while (this.answers.length > 0 || this.heard < this.server.log.length) {
      if (this.random(2) === 0) this.answer(this.random(this.answers.length));
      else this.hear(this.random(8));
    }
    this.apply(this.server.unread());
  }

  /** Loads the rest of the lists. */
  load(): void {
    for (const list of LISTS) {
      while (this.inbox.lists[list].floor !== null) {
        this.askOlder(list);
        this.answer(0);
      }
    }
  }

  private askOlder(list: ListName): void {
    const { floor, nextCursor } = this.inbox.lists[list];
    if (floor === null) return;
    let page = this.server.page(list, nextCursor);
    // A list that was trimmed has no cursor for its end.
    while (nextCursor === null && page.next_cursor !== null && page.next_cursor >= key(floor)) {
      page = this.server.page(list, page.next_cursor);
    }
    this.answers.push({ kind: "older", list, below: floor, page });
  }

  /** Not while an answer is under way. */
  private trim(list: ListName): void {
    while (this.answers.length > 0) this.answer(this.random(this.answers.length));
    const { entries } = this.inbox.lists[list];
    const last = entries[this.random(entries.length)];
    if (last !== undefined) this.apply({ kind: "trim", list, floor: placeOf(last.notification) });
  }

  /** The answer to an action names no position. */
  private change(): void {
    const held = [...this.inbox.copies.keys()];
    const now = this.server.copies.get(held[this.random(held.length)] ?? "");
    if (now !== undefined) this.answers.push({ kind: "updated", notification: now, position: null });
  }

  private answer(at: number): void {
    for (const message of this.answers.splice(at, 1)) this.apply(message);
  }

  private hear(most: number): void {
    for (const message of this.server.log.slice(this.heard, this.heard + most)) {
      this.apply(message);
      this.heard += 1;
    }
  }

  private apply(message: InboxMessage): void {
    this.inbox = reduceInbox(this.inbox, message);
    for (const list of LISTS) {
      const keys = this.inbox.lists[list].entries.map(({ notification }) => key(notification));
      expect(keys, "in the server's order, each once").toEqual([...new Set(keys)].sort().reverse());
    }
  }
}

function course(seed: number): void {
  const next = random(seed);
  const server = new Server(next);
  for (let before = next(12); before > 0; before -= 1) server.act();
  server.number(next(20));
  const client = new Client(server, next);
  for (let step = 0; step < STEPS; step += 1) {
    const who = next(5);
    if (who < 2) server.act();
    else if (who === 2) server.number(next(4));
    else client.act();
  }
  server.number(Number.POSITIVE_INFINITY);
  client.arrive();
  for (const list of LISTS) {
    const { entries, floor } = client.inbox.lists[list];
    const loaded = server.list(list).filter((item) => floor === null || key(item) >= key(floor));
    expect(entries.map(({ notification }) => notification)).toEqual(loaded);
  }
  client.load();
  for (const list of LISTS) {
    expect(client.inbox.lists[list].entries.map(({ notification }) => notification)).toEqual(server.list(list));
  }
  const unread = client.inbox.lists.current.entries.filter((entry) => isUnread(client.inbox, entry));
  expect(unread.length).toBe(client.inbox.unread);
  expect(server.unread()).toMatchObject({ count: client.inbox.unread });
}

it.each(Array.from({ length: SEEDS / 20 }, (_, part) => part * 20))("20 courses from seed %i on", (from) => {
  for (let seed = from; seed < from + 20; seed += 1) {
    try {
      course(seed);
    } catch (cause) {
      throw new Error(`seed ${seed}: ${cause instanceof Error ? cause.message : cause}`, { cause });
    }
  }
});
