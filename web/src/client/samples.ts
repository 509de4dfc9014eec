/** What tests begin with. Owns: whole notifications. Never: a part of the page, which does not import it. */

import type { Notification } from "./wire";

/** An unread one that says little, changed as told. */
export function sample(change: Partial<Notification> = {}): Notification {
  return {
    id: "n1",
    type: "note",
    title: "Hello",
    message: "",
    data: {},
    priority: "normal",
    actor: null,
    actor_name: null,
    resource: null,
    group_key: null,
    group: null,
    created_at: "2025-01-01T10:00:00.000Z",
    arrived_at: "2025-01-01T10:00:00.000000Z",
    expires_at: null,
    read_at: null,
    seen_at: null,
    archived_at: null,
    revision: 1,
    ...change,
  };
}

/** One after another, by the first letter of their ids. */
export function arrivalOf(id: string): string {
  return `2025-01-01T10:00:00.${String(id.charCodeAt(0)).padStart(6, "0")}Z`;
}
