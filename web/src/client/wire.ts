/**
 * The shapes that cross the network, as the server's payloads define them.
 *
 * Owns: types only. Never: a rule, a default, a field that the server does not send.
 */

export interface Resource {
  readonly type: string;
  readonly id: string;
}

/** One person's copy of a notification, whole. `revision` grows with each change of it. */
export interface Notification {
  readonly id: string;
  readonly type: string;
  readonly title: string;
  readonly message: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly priority: string;
  readonly actor: string | null;
  readonly resource: Resource | null;
  readonly group_key: string | null;
  readonly created_at: string;
  readonly expires_at: string | null;
  readonly read_at: string | null;
  readonly seen_at: string | null;
  readonly archived_at: string | null;
  readonly revision: number;
}

/** A list answer: newest first, with the position of the log at which it was read. */
export interface Page {
  readonly items: readonly Notification[];
  readonly next_cursor: string | null;
  readonly position: string | null;
}

export interface UnreadCount {
  readonly count: number;
  readonly position?: string | null;
}

export interface Deleted {
  readonly id: string;
  readonly revision: number;
}

export interface ServerConfig {
  readonly version: string;
  readonly demo: boolean;
  readonly socket: {
    readonly path: string;
    readonly reconnection_delay: number;
    readonly reconnection_max_delay: number;
  };
}

export interface Person {
  readonly id: string;
  readonly name: string;
  readonly roles: readonly string[];
  readonly teams: readonly string[];
}

/** What an admin sends. An absent field takes the server's default. */
export interface Draft {
  readonly user_ids: readonly string[];
  readonly type: string;
  readonly title: string;
  readonly message: string;
  readonly priority?: string;
}
