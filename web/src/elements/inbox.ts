/**
 * `<cb-inbox>`: the list of notifications.
 *
 * Owns: markup and keyboard focus of the list. Fires `cb-read` and `cb-delete` (`detail.id`), `cb-read-all`,
 * `cb-older`. Never: a change of the inbox; the page gives a new one.
 */

import { html, LitElement, nothing, svg, type PropertyValues } from "lit";
import { repeat } from "lit/directives/repeat.js";
import type { Notification } from "../client/wire";
import { EMPTY_INBOX, type Entry, type Inbox, isUnread } from "../reducers/inbox";
import { inboxStyles } from "./inbox-styles";
import { relativeTime, wholeTime } from "./relative-time";
import { theme } from "./theme";

const CHECK = svg`<path d="m5 12.5 4.5 4.5L19 7.5"/>`;
const BIN = svg`<path d="M5 7h14M10 7V4.5h4V7m-7.5 0 .8 12.5h9.4L17.5 7M10.5 11v5M13.5 11v5"/>`;

export class CbInbox extends LitElement {
  static override properties = {
    inbox: { attribute: false },
    names: { attribute: false },
    now: { type: Number },
  };
  static override styles = [theme, inboxStyles];

  declare inbox: Inbox;
  /** Names of people by id, for the actor. */
  declare names: ReadonlyMap<string, string>;
  /** Milliseconds since 1970, for relative times. */
  declare now: number;

  /** Where the focus was in the list when the button under it went away. */
  private focusAt: number | null = null;

  constructor() {
    super();
    this.inbox = EMPTY_INBOX;
    this.names = new Map();
    this.now = Date.now();
  }

  /** Moves the keyboard focus to the list's heading. */
  override focus(): void {
    this.renderRoot.querySelector<HTMLElement>("h2")?.focus();
  }

  protected override render(): unknown {
    return html`
      <header>
        <h2 id="heading" tabindex="-1">Notifications</h2>
        <button
          type="button"
          class="quiet"
          ?disabled=${this.inbox.unread === 0}
          @click=${() => this.fire("cb-read-all")}
        >
          Mark all read
        </button>
      </header>
      ${this.body()}
    `;
  }

  private body(): unknown {
    const { entries, loaded, nextCursor } = this.inbox;
    if (!loaded) return html`<p class="waiting" role="status">Loading notifications…</p>`;
    if (entries.length === 0) return empty;
    return html`
      <ul role="list" aria-labelledby="heading">
        ${repeat(
          entries,
          (entry) => entry.notification.id,
          (entry, index) => this.item(entry, index),
        )}
      </ul>
      ${nextCursor !== null
        ? html`<button type="button" class="quiet more" @click=${() => this.fire("cb-older")}>Show older</button>`
        : nothing}
    `;
  }

  private item(entry: Entry, index: number): unknown {
    const { notification, arrived } = entry;
    const { id, title, message, created_at: created } = notification;
    const unread = isUnread(this.inbox, entry);
    return html`
      <li class=${`${unread ? "unread" : "read"} ${arrived === null ? "" : "arrived"}`} data-id=${id}>
        <span class="mark">${unread ? html`<span class="hidden">Unread</span>` : nothing}</span>
        <div class="text">
          <h3>${title}</h3>
          ${message ? html`<p class="message">${message}</p>` : nothing}
          <p class="meta">${this.meta(notification)}</p>
        </div>
        <div class="side">
          <time datetime=${created} title=${wholeTime(created)}>${relativeTime(created, this.now)}</time>
          <div class="actions">
            ${unread ? this.action("Mark read", title, CHECK, "cb-read", id, index) : nothing}
            ${this.action("Delete", title, BIN, "cb-delete", id, index)}
          </div>
        </div>
      </li>
    `;
  }

  private meta({ priority, type, actor, resource }: Notification): unknown {
    return html`
      ${priority && priority !== "normal" ? html`<span class="priority ${priority}">${priority}</span>` : nothing}
      <span class="type">${type}</span>
      ${resource ? html`<span>${resource.type} ${resource.id}</span>` : nothing}
      ${actor ? html`<span>from ${this.names.get(actor) ?? actor}</span>` : nothing}
    `;
  }

  private action(label: string, title: string, icon: unknown, event: string, id: string, index: number): unknown {
    return html`
      <button type="button" class="icon" aria-label="${label}: ${title}" title=${label} @click=${() => {
        this.focusAt = index;
        this.fire(event, { id });
      }}>
        <svg viewBox="0 0 24 24" aria-hidden="true">${icon}</svg>
      </button>
    `;
  }

  protected override updated(changed: PropertyValues<this>): void {
    if (this.focusAt === null || !changed.has("inbox")) return;
    // The pressed button is gone with its row or its state: keep a keyboard user at the same place.
    if (document.activeElement === document.body) {
      const rows = this.renderRoot.querySelectorAll("li");
      const row = rows[Math.min(this.focusAt, rows.length - 1)];
      (row?.querySelector<HTMLElement>("button") ?? this).focus();
    }
    this.focusAt = null;
  }

  private fire(name: string, detail: object = {}): void {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }
}

const empty = html`
  <div class="empty">
    <svg viewBox="0 0 64 48" aria-hidden="true">
      <rect x="5" y="4" width="54" height="40" rx="6" />
      <path d="M17 18h30M17 28h18" />
    </svg>
    <p class="lead">Nothing on the board</p>
    <p>New notifications appear here the moment they are sent.</p>
  </div>
`;

customElements.define("cb-inbox", CbInbox);
