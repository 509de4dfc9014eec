/**
 * One principal's inbox, kept live.
 *
 * Owns: the order of things: connect, take a snapshot at every connect that did not recover, feed answers and
 * messages through the reducers, tell the page. Never: markup, the address bar, a rule about what a message
 * means.
 */

import { type Connection, type ConnectionEvent, INITIAL_CONNECTION, reduceConnection } from "../reducers/connection";
import { EMPTY_INBOX, type Inbox, type InboxMessage, reduceInbox } from "../reducers/inbox";
import { Feed } from "./feed";
import { Rest, RestError } from "./rest";
import type { TokenSource } from "./tokens";
import type { Draft, ServerConfig } from "./wire";

const RETRY_SECONDS = 2;

export class Session {
  inbox: Inbox = EMPTY_INBOX;
  connection: Connection = INITIAL_CONNECTION;
  /** Why the list could not be fetched, in words for a person; null when it could, or when that was mended. */
  problem: string | null = null;
  /** What the person asked for last and was not done, and why; null when it was done. */
  failure: string | null = null;

  private readonly rest: Rest;
  private readonly feed: Feed;
  private refreshing = false;
  private stale = false;
  private stopped = false;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    tokens: TokenSource,
    config: ServerConfig,
    private readonly changed: () => void,
  ) {
    this.rest = new Rest(tokens);
    this.feed = new Feed({
      tokens,
      socket: config.socket,
      position: () => this.inbox.position,
      listener: {
        connection: (event) => this.connectionChanged(event),
        message: (message) => this.apply(message),
      },
    });
  }

  start(): void {
    this.feed.open();
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    this.feed.close();
  }

  async read(id: string): Promise<void> {
    await this.attempt("Could not mark it read.", async () => {
      const notification = await this.rest.markRead(id);
      this.apply({ kind: "updated", notification, position: null });
    });
  }

  async readAll(): Promise<void> {
    await this.attempt("Could not mark all read.", async () => {
      await this.rest.markAllRead();
      await this.refresh();
    });
  }

  async remove(id: string): Promise<void> {
    await this.attempt("Could not delete it.", async () => {
      await this.rest.remove(id).catch((error: unknown) => {
        // Another tab was first: what the person wanted is so.
        if (!(error instanceof RestError) || error.status !== 404) throw error;
      });
      this.apply({ kind: "deleted", id, revision: Number.POSITIVE_INFINITY, position: null });
    });
  }

  async older(): Promise<void> {
    const cursor = this.inbox.nextCursor;
    if (cursor === null) return;
    await this.attempt("Could not show older ones.", async () =>
      this.apply({ kind: "older", cursor, page: await this.rest.list(cursor) }),
    );
  }

  /** Throws RestError: the form shows it beside the field. */
  send(draft: Draft): Promise<void> {
    return this.rest.send(draft);
  }

  dismiss(): void {
    this.problem = null;
    this.failure = null;
    this.changed();
  }

  private connectionChanged(event: ConnectionEvent): void {
    this.connection = reduceConnection(this.connection, event);
    // Without a socket (a network that stops both transports) the list is still worth showing.
    const needed = event.kind === "connected" ? !event.recovered : event.kind === "failed" && !this.inbox.loaded;
    if (needed) void this.refresh();
    this.changed();
  }

  private apply(message: InboxMessage): void {
    if (this.stopped) return;
    const next = reduceInbox(this.inbox, message);
    if (next === this.inbox) return;
    this.inbox = next;
    this.changed();
  }

  /** What an action changes is shown once the server has done it: one that fails leaves the page as it was. */
  private async attempt(failed: string, action: () => Promise<void>): Promise<void> {
    try {
      await action();
      this.failure = null;
    } catch (error) {
      this.failure = `${failed} ${sentence(error)}`;
    }
    if (!this.stopped) this.changed();
  }

  /** One at a time; asked for during one, it runs once more, since the first may have read before the cause. */
  private async refresh(): Promise<void> {
    this.stale = true;
    if (this.refreshing) return;
    this.refreshing = true;
    clearTimeout(this.timer);
    try {
      while (this.stale && !this.stopped) {
        this.stale = false;
        const [page, unread] = await Promise.all([this.rest.list(), this.rest.unreadCount()]);
        this.apply({ kind: "snapshot", page, unread });
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
    this.timer = setTimeout(() => void this.refresh(), (error.retryAfter ?? RETRY_SECONDS) * 1000);
  }
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
