/**
 * The live connection to the namespace `/feed`.
 *
 * Owns: one socket.io-client socket, the token and position it connects with, and the decision to try again
 * after a refusal that a new token may mend. Never: what a message means (reducers), a REST call.
 */

import { io, type Socket } from "socket.io-client";
import type { ConnectionEvent } from "../reducers/connection";
import type { InboxMessage } from "../reducers/inbox";
import type { TokenSource } from "./tokens";
import type { Deleted, Notification, NotificationUpdated, ServerConfig, UnreadCount } from "./wire";

export interface FeedListener {
  connection(event: ConnectionEvent): void;
  message(message: InboxMessage): void;
}

export interface FeedOptions {
  readonly tokens: TokenSource;
  readonly socket: ServerConfig["socket"];
  /** The latest position the page holds, asked at each connect. */
  readonly position: () => string | null;
  readonly listener: FeedListener;
}

/** Refusals that a renewed token can mend, for instance after the server began with another key. */
const RENEWABLE = new Set(["token_expired", "token_invalid", "token_missing"]);
const MAX_RENEWALS = 3;

export class Feed {
  private readonly socket: Socket;
  private renewals = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly options: FeedOptions) {
    this.socket = io("/feed", {
      path: options.socket.path,
      // One round trip instead of four; polling remains for networks that stop WebSocket.
      transports: ["websocket", "polling"],
      tryAllTransports: true,
      reconnectionDelay: options.socket.reconnection_delay,
      reconnectionDelayMax: options.socket.reconnection_max_delay,
      // Another user of the same page must never share this connection.
      forceNew: true,
      autoConnect: false,
      auth: (give) => void this.credentials(give),
    });
    this.listen();
  }

  open(): void {
    this.renewals = 0;
    this.options.listener.connection({ kind: "opening" });
    this.socket.connect();
  }

  close(): void {
    clearTimeout(this.timer);
    this.socket.removeAllListeners();
    this.socket.disconnect();
  }

  private async credentials(give: (auth: object) => void): Promise<void> {
    try {
      const token = await this.options.tokens.get();
      const position = this.options.position();
      give(position === null ? { token } : { token, position });
    } catch {
      // No token now: end this transport and let the client's own backoff come again.
      this.socket.io.engine.close();
    }
  }

  private listen(): void {
    const { listener } = this.options;
    this.socket.on("connect", () => {
      this.renewals = 0;
      listener.connection({ kind: "connected", recovered: this.socket.recovered });
    });
    this.socket.on("disconnect", (reason) =>
      listener.connection({ kind: "lost", reason, retrying: this.socket.active }),
    );
    this.socket.on("connect_error", (error) => this.refused(error));
    this.socket.on("notification:new", (notification: Notification, position?: string) =>
      listener.message({ kind: "new", notification, position: position ?? null }),
    );
    this.socket.on("notification:updated", ({ also_read, ...notification }: NotificationUpdated, position?: string) =>
      listener.message({ kind: "updated", notification, alsoRead: also_read ?? [], position: position ?? null }),
    );
    this.socket.on("notification:deleted", ({ id }: Deleted, position?: string) =>
      listener.message({ kind: "deleted", id, position: position ?? null }),
    );
    this.socket.on("notification:unread-count", ({ count, position }: UnreadCount) =>
      listener.message({ kind: "unread-count", count, position: position ?? null }),
    );
  }

  private refused(error: Error & { data?: { code?: string } }): void {
    const code = error.data?.code ?? null;
    const renew =
      !this.socket.active &&
      code !== null &&
      RENEWABLE.has(code) &&
      this.options.tokens.renewable &&
      this.renewals < MAX_RENEWALS;
    this.options.listener.connection({
      kind: "failed",
      message: error.message,
      code,
      retrying: this.socket.active || renew,
    });
    if (!renew) return;
    this.renewals += 1;
    this.options.tokens.discard();
    this.timer = setTimeout(() => this.socket.connect(), this.options.socket.reconnection_delay);
  }
}
