/**
 * One principal's inbox, kept live.
 *
 * Owns: the order of things: connect, take snapshots at every connect that did not recover, feed answers and
 * messages through the reducers, tell the page. Never: markup, the address bar, a rule about what a message
 * means.
 */

import { type Connection, type ConnectionEvent, INITIAL_CONNECTION, reduceConnection } from "../reducers/connection";
import { EMPTY_INBOX, type Inbox, type InboxMessage, type ListName, type Place, reduceInbox } from "../reducers/inbox";
import { comparePositions } from "../reducers/position";
import { Feed } from "./feed";
import { Lists } from "./lists";
import { Rest, RestError } from "./rest";
import { SeenReports } from "./seen";
import type { TokenSource } from "./tokens";
import type { Became, Change, Draft, Preferences, PreferencesUpdate, ServerConfig } from "./wire";

const RETRY_SECONDS = 2;
/** A count this young may hold what has committed and is told of only now. */
const YOUNG_COUNT_MS = 10_000;
/** How long a count that was reckoned may wait for the server's; a batch must not make all ask at once. */
const RECKONED_MS = 1_000;
const RECKONED_SPREAD_MS = 2_000;

export class Session {
  inbox: Inbox = EMPTY_INBOX;
  connection: Connection = INITIAL_CONNECTION;
  /** Why the list could not be fetched, in words for a person; null when it could, or when that was mended. */
  problem: string | null = null;
  /** What the person asked for last and was not done, and why; null when it was done. */
  failure: string | null = null;
  /** Null until they were asked for. */
  preferences: Preferences | null = null;

  /** What of `failure` stays true once the server that was not reached is back. */
  private unreached: string | null = null;
  private readonly rest: Rest;
  private readonly lists: Lists;
  private readonly feed: Feed;
  private readonly seenReports: SeenReports;
  private refreshing = false;
  private stale = false;
  private stopped = false;
  private countedAt = 0;
  private refreshTimer: ReturnType<typeof setTimeout> | undefined;
  private countTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    tokens: TokenSource,
    config: ServerConfig,
    private readonly changed: () => void,
  ) {
    this.rest = new Rest(tokens);
    this.lists = new Lists(this.rest);
    this.seenReports = new SeenReports((ids) => this.rest.markSeen(ids));
    this.feed = new Feed({
      tokens,
      socket: config.socket,
      position: () => this.inbox.position,
      listener: {
        connection: (event) => this.connectionChanged(event),
        message: (message) => this.heard(message),
      },
    });
  }

  start(): void {
    this.feed.open();
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.refreshTimer);
    clearTimeout(this.countTimer);
    this.seenReports.stop();
    this.feed.close();
  }

  /** Whether it was done; if not, `failure` says why. */
  change(id: string, change: Change): Promise<boolean> {
    return this.attempt(FAILED[change], async () => {
      const notification = await this.rest.change(id, change);
      this.apply({ kind: "updated", notification, position: null });
    });
  }

  readAll(): Promise<boolean> {
    return this.attempt("Could not mark all read.", async () => {
      const { position } = await this.rest.markAllRead();
      // What the list shows stays and turns read at once, without waiting for a message each.
      this.applyCount({ count: 0, position });
    });
  }

  remove(id: string): Promise<boolean> {
    return this.attempt("Could not delete it.", async () => {
      await this.rest.remove(id).catch((error: unknown) => {
        // Another tab was first: what the person wanted is so.
        if (!(error instanceof RestError) || error.status !== 404) throw error;
      });
      this.apply({ kind: "deleted", id, position: null });
    });
  }

  async older(list: ListName): Promise<void> {
    const { floor, nextCursor } = this.inbox.lists[list];
    if (floor === null) return;
    await this.attempt("Could not show older ones.", () =>
      this.lists.below(list, floor, nextCursor, (page) => this.apply({ kind: "older", list, below: floor, page })),
    );
  }

  /** Lets go of what a list has below `floor`. Not while a page is under way: the list asks again soon. */
  trim(list: ListName, floor: Place): void {
    if (!this.lists.asking) this.apply({ kind: "trim", list, floor });
  }

  /** Asks for a list that was not loaded yet. */
  async show(list: ListName): Promise<void> {
    if (this.inbox.lists[list].loaded) return;
    await this.attempt("Could not show them.", () => this.load(list));
  }

  /** It is on the screen. */
  seen(id: string): void {
    const entry = this.inbox.copies.get(id);
    if (entry?.notification.seen_at === null) this.seenReports.add(id, entry.notification.arrived_at ?? "");
  }

  /** Why it came as it did, as a sentence; the reason for not knowing if it cannot be told. */
  async explain(id: string): Promise<string> {
    try {
      return (await this.rest.explain(id)).summary;
    } catch (error) {
      return `It cannot be told why: ${sentence(error)}`;
    }
  }

  async loadPreferences(): Promise<void> {
    await this.attempt("Could not show the preferences.", async () => {
      this.preferences = await this.rest.preferences();
    });
  }

  /** As they are now: what another tab chose meanwhile is for the form to take over before it saves. Throws RestError. */
  async renewPreferences(): Promise<void> {
    this.preferences = await this.rest.preferences();
    this.changed();
  }

  /** Throws RestError: the form shows it beside the field. */
  async savePreferences(update: PreferencesUpdate): Promise<void> {
    this.preferences = await this.rest.savePreferences(update);
    this.changed();
  }

  /** Whether it was done. Asks first, so that what another tab chose meanwhile stays. */
  mute(type: string, muted: boolean): Promise<boolean> {
    return this.attempt(`Could not ${muted ? "mute" : "unmute"} ${type}.`, async () => {
      const { muted_types: before } = await this.rest.preferences();
      const others = before.filter((one) => one !== type);
      this.preferences = await this.rest.savePreferences({ muted_types: muted ? [...others, type] : others });
    });
  }

  /** Throws RestError: the form shows it beside the field. */
  async send(draft: Draft): Promise<Became> {
    const became = await this.rest.send(draft);
    this.failure = null;
    return became;
  }

  dismiss(): void {
    this.problem = null;
    this.failure = null;
    this.changed();
  }

  private connectionChanged(event: ConnectionEvent): void {
    this.connection = reduceConnection(this.connection, event);
    // Without a socket (a network that stops both transports) the list is still worth showing.
    const needed =
      event.kind === "connected" ? !event.recovered : event.kind === "failed" && !this.inbox.lists.current.loaded;
    if (needed) void this.refresh();
    if (event.kind === "connected") this.back();
    this.changed();
  }

  /** What was not done is not tried again unasked; that the server is away is no more so. */
  private back(): void {
    if (this.failure !== null && this.unreached !== null) this.failure = `${this.unreached} The server was away.`;
    this.unreached = null;
    void this.seenReports.flush();
  }

  private heard(message: InboxMessage): void {
    this.apply(message);
    if (message.kind === "new") this.checkCount(message.position);
  }

  /**
   * What was committed when the count was made and told of afterwards is counted twice, unless a count follows. One
   * follows for what concerns one person, and none for a batch: ask for it, if the count is so young.
   */
  private checkCount(position: string | null): void {
    if (performance.now() - this.countedAt > YOUNG_COUNT_MS) return;
    clearTimeout(this.countTimer);
    const wait = RECKONED_MS + Math.random() * RECKONED_SPREAD_MS;
    this.countTimer = setTimeout(() => {
      if ((comparePositions(this.inbox.countedAt, position) ?? -1) < 0) void this.refreshCount();
    }, wait);
  }

  private async refreshCount(): Promise<void> {
    try {
      this.applyCount(await this.rest.unreadCount());
    } catch (error) {
      this.later(error);
    }
  }

  private applyCount({ count, position }: { count: number; position?: string | null }): void {
    this.apply({ kind: "unread-count", count, position: position ?? null });
  }

  private apply(message: InboxMessage): void {
    if (this.stopped) return;
    if (message.kind === "unread-count") this.countedAt = performance.now();
    const next = reduceInbox(this.inbox, message);
    if (next === this.inbox) return;
    this.inbox = next;
    this.changed();
  }

  /** What an action changes is shown once the server has done it: one that fails leaves the page as it was. */
  private async attempt(failed: string, action: () => Promise<void>): Promise<boolean> {
    let done = true;
    try {
      await action();
      this.failure = null;
    } catch (error) {
      this.failure = `${failed} ${sentence(error)}`;
      this.unreached = error instanceof RestError && error.status === 0 ? failed : null;
      done = false;
    }
    if (!this.stopped) this.changed();
    return done;
  }

  private load(list: ListName): Promise<void> {
    return this.lists.first(list, (page) => this.apply({ kind: "snapshot", list, page }));
  }

  /** One at a time; asked for during one, it runs once more, since the first may have read before the cause. */
  private async refresh(): Promise<void> {
    this.stale = true;
    if (this.refreshing) return;
    this.refreshing = true;
    clearTimeout(this.refreshTimer);
    try {
      while (this.stale && !this.stopped) {
        this.stale = false;
        const { archived } = this.inbox.lists;
        const [, , unread] = await Promise.all([
          this.load("current"),
          archived.loaded ? this.load("archived") : undefined,
          this.rest.unreadCount(),
        ]);
        this.applyCount(unread);
      }
      this.problem = null;
    } catch (error) {
      this.later(error);
    } finally {
      this.refreshing = false;
    }
    if (!this.stopped) this.changed();
  }

  private later(error: unknown): void {
    this.problem = sentence(error);
    const passing = error instanceof RestError && (error.status === 0 || error.status >= 500);
    if (!passing || this.stopped) return;
    clearTimeout(this.refreshTimer);
    this.refreshTimer = setTimeout(() => void this.refresh(), (error.retryAfter ?? RETRY_SECONDS) * 1000);
  }
}

const FAILED: Readonly<Record<Change, string>> = {
  read: "Could not mark it read.",
  unread: "Could not mark it unread.",
  archive: "Could not archive it.",
  unarchive: "Could not move it to the inbox.",
};

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
