/**
 * The shapes that cross the network, as the server's payloads define them.
 *
 * Owns: types only. Never: a rule, a default, a field that the server does not send.
 */

export interface Resource {
  readonly type: string;
  readonly id: string;
}

/** One of those that were folded into a group. */
export interface GroupMember {
  readonly id: string;
  readonly title: string;
  readonly actor: string | null;
  /** As it was known when it was sent. */
  readonly actor_name: string | null;
  readonly created_at: string;
}

/** Several notifications in one. `actors` counts people, up to 100. */
export interface Group {
  readonly count: number;
  readonly actors: number;
  readonly first: GroupMember;
  readonly latest: GroupMember;
}

/**
 * One person's copy of a notification, whole. `revision` grows with each change of it. A group has the id, type
 * and `created_at` of its first, and for the rest shows its latest.
 */
export interface Notification {
  readonly id: string;
  readonly type: string;
  readonly title: string;
  readonly message: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly priority: string;
  readonly actor: string | null;
  /** As it was known when it was sent. */
  readonly actor_name: string | null;
  readonly resource: Resource | null;
  readonly group_key: string | null;
  readonly group: Group | null;
  readonly created_at: string;
  /** The order of the list: UTC with microseconds, so that text sorts as time; null while it is not in it. */
  readonly arrived_at: string | null;
  readonly expires_at: string | null;
  readonly read_at: string | null;
  readonly seen_at: string | null;
  readonly archived_at: string | null;
  readonly revision: number;
}

/** Another copy that was read. `revision`: the one that it has since. */
export interface AlsoRead {
  readonly id: string;
  readonly revision: number;
}

/** The message `notification:updated`. `also_read`: others that were read with it and get no message of their own. */
export interface NotificationUpdated extends Notification {
  readonly also_read?: readonly AlsoRead[];
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

/** Read is all that had arrived at the position. */
export interface ReadAll {
  readonly updated: number;
  readonly position: string;
}

export interface Deleted {
  readonly id: string;
  readonly revision: number;
}

/** What one can do to a notification of one's own; each answers it as it is then. */
export type Change = "read" | "unread" | "archive" | "unarchive";

export type Day = "mon" | "tue" | "wed" | "thu" | "fri" | "sat" | "sun";

/** From `start` to `end` ("HH:MM") on the days on which that begins; past midnight if `end` is not later. */
export interface QuietHours {
  readonly start: string;
  readonly end: string;
  /** An IANA name. */
  readonly timezone: string;
  readonly days: readonly Day[];
}

export interface TypeSettings {
  readonly muted: boolean;
  readonly quiet_hours: boolean;
  readonly attention: boolean;
}

export interface Preferences {
  readonly muted_types: readonly string[];
  readonly muted_resources: readonly Resource[];
  readonly quiet_hours: QuietHours | null;
  readonly types: Readonly<Record<string, TypeSettings>>;
  readonly updated_at: string;
}

/** What is absent stays as it is. */
export type PreferencesUpdate = Partial<Omit<Preferences, "updated_at">>;

/** Why a notification came as it did; `summary` is a sentence. */
export interface Explanation {
  readonly notification_id: string;
  readonly outcome: string;
  readonly rule: string | null;
  readonly summary: string;
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

/** What became of a notification for one person, and by which rule. */
export interface Decision {
  readonly outcome: "now" | "held" | "folded" | "suppressed";
  readonly rule: string | null;
  /** Null for a hold that ends when the person changes something. */
  readonly held_until: string | null;
}

/** What became of it for several people: how many of each. */
export interface Counted {
  readonly created: number;
  readonly held: number;
  readonly folded: number;
  readonly suppressed: { readonly muted: number; readonly rate_limited: number };
}

/** What became of a draft: by its decision where one person gets it. */
export type Became = { readonly decision: Decision } | Counted;
