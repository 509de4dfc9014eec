/**
 * `<cb-inbox>`: the list of notifications, or that of the archived ones.
 *
 * Owns: markup and keyboard focus of the list. Fires `cb-change` (`detail.id`, `detail.change`), `cb-delete` and
 * `cb-explain` (`detail.id`), `cb-seen` (`detail.ids`), `cb-mute` (`detail.type`, `detail.muted`), `cb-list`
 * (`detail.list`), `cb-trim` (`detail.list`, `detail.floor`), `cb-read-all`, `cb-older` and `cb-preferences`. Never: a
 * change of the inbox; the page gives a new one.
 */

import { html, LitElement, nothing, type PropertyValues, svg } from "lit";
import { guard } from "lit/directives/guard.js";
import { repeat } from "lit/directives/repeat.js";
import type { Change } from "../client/wire";
import { EMPTY_INBOX, type Entry, type Inbox, isUnread, type ListName } from "../reducers/inbox";
import { CutTexts } from "./cut";
import { type RowActions, row } from "./inbox-row";
import { inboxStyles } from "./inbox-styles";
import { relativeTime } from "./relative-time";
import { RowsInView } from "./seen";
import { theme } from "./theme";
import { deepestRow, trimAt } from "./trim";

const SLIDERS = svg`<path d="M4 7.5h9m4 0h3M4 16.5h3m4 0h9"/><circle cx="15" cy="7.5" r="2"/><circle cx="9" cy="16.5" r="2"/>`;

/** What was asked for of a row, until it is so. */
interface Asked {
  readonly at: number;
  readonly id: string;
  readonly title: string;
  readonly action: Change | "delete";
}

const DONE: Readonly<Record<Asked["action"], string>> = {
  read: "Marked read",
  unread: "Marked unread",
  archive: "Archived",
  unarchive: "Moved to the inbox",
  delete: "Deleted",
};

export class CbInbox extends LitElement {
  static override properties = {
    inbox: { attribute: false },
    list: { type: String },
    names: { attribute: false },
    explanations: { attribute: false },
    muted: { attribute: false },
    preferences: { type: Boolean },
    now: { type: Number },
  };
  static override styles = [theme, inboxStyles];

  declare inbox: Inbox;
  /** Which list is shown. */
  declare list: ListName;
  /** Names of people by id, for the actor. */
  declare names: ReadonlyMap<string, string>;
  /** Why some came, by id. */
  declare explanations: ReadonlyMap<string, string>;
  /** The muted types. */
  declare muted: readonly string[];
  /** Whether the preferences are open. */
  declare preferences: boolean;
  /** Milliseconds since 1970, for relative times. */
  declare now: number;

  private readonly explained = new Set<string>();
  /** Those of which the whole text is shown. */
  private readonly unfolded = new Set<string>();
  private readonly cut = new CutTexts(this);
  private asked: Asked | null = null;
  private askedAll = false;
  private said = "";

  constructor() {
    super();
    this.inbox = EMPTY_INBOX;
    this.list = "current";
    this.names = new Map();
    this.explanations = new Map();
    this.muted = [];
    this.preferences = false;
    this.now = Date.now();
    new RowsInView(this, (ids) => this.seen(ids));
  }

  /** Moves the keyboard focus to the list's heading. */
  override focus(): void {
    this.renderRoot.querySelector<HTMLElement>("h2")?.focus();
  }

  /** Moves it to the button that opens the preferences. */
  focusPreferences(): void {
    this.renderRoot.querySelector<HTMLElement>("#preferences")?.focus();
  }

  protected override render(): unknown {
    return html`
      <header>
        <h2 id="heading" tabindex="-1">Notifications</h2>
        <button
          type="button"
          class="quiet"
          aria-disabled=${this.inbox.unread === 0}
          @click=${() => this.askAll()}
        >
          Mark all read
        </button>
        <button
          type="button"
          class="icon"
          id="preferences"
          title="Preferences"
          aria-label="Preferences"
          aria-expanded=${this.preferences}
          @click=${() => this.fire("cb-preferences")}
        >
          <svg viewBox="0 0 24 24" aria-hidden="true">${SLIDERS}</svg>
        </button>
      </header>
      <div class="lists" role="group" aria-label="Show">${this.choice("current", "Inbox")} ${this.choice("archived", "Archived")}</div>
      ${this.body()}
      <p class="hidden" role="status">${this.said}</p>
    `;
  }

  private choice(list: ListName, words: string): unknown {
    return html`
      <button type="button" aria-pressed=${this.list === list} @click=${() => this.fire("cb-list", { list })}>
        ${words}
      </button>
    `;
  }

  private body(): unknown {
    const { entries, loaded, floor } = this.inbox.lists[this.list];
    if (!loaded) return html`<p class="waiting" role="status">Loading notifications…</p>`;
    const more =
      floor === null
        ? nothing
        : html`<button type="button" class="quiet more" @click=${() => this.fire("cb-older")}>Show older</button>`;
    if (entries.length === 0) return html`${this.list === "current" ? empty : emptyArchive} ${more}`;
    return html`
      <ul role="list" aria-labelledby="heading">
        ${repeat(
          entries,
          (entry) => entry.notification.id,
          (entry) => this.row(entry),
        )}
      </ul>
      ${more}
    `;
  }

  /** Made anew only if it would be another: of a thousand rows a message changes one. */
  private row(entry: Entry): unknown {
    const { id, type, arrived_at, created_at } = entry.notification;
    const state = {
      unread: isUnread(this.inbox, entry),
      archived: this.list === "archived",
      names: this.names,
      age: relativeTime(arrived_at ?? created_at, this.now),
      whole: this.unfolded.has(id) ? true : this.cut.has(id) ? false : null,
      why: this.explained.has(id) ? (this.explanations.get(id) ?? "") : null,
      muted: this.muted.includes(type),
    };
    return guard([entry, ...Object.values(state)], () => row(entry, state, this.actions));
  }

  private readonly actions: RowActions = {
    change: (change, entry) => this.ask(entry, change),
    remove: (entry) => this.ask(entry, "delete"),
    why: ({ notification: { id } }) => this.toggle(id),
    fold: ({ notification: { id } }) => this.fold(id),
    mute: (type, muted) => this.fire("cb-mute", { type, muted }),
  };

  private ask({ notification: { id, title } }: Entry, action: Asked["action"]): void {
    const at = this.inbox.lists[this.list].entries.findIndex(({ notification }) => notification.id === id);
    this.asked = { at, id, title, action };
    this.askedAll = false;
    if (action === "delete") this.fire("cb-delete", { id });
    else this.fire("cb-change", { id, change: action });
  }

  private askAll(): void {
    if (this.inbox.unread === 0) return;
    this.asked = null;
    this.askedAll = true;
    this.said = "";
    this.requestUpdate();
    this.fire("cb-read-all");
  }

  private toggle(id: string): void {
    if (!this.explained.delete(id)) {
      this.explained.add(id);
      this.fire("cb-explain", { id });
    }
    this.requestUpdate();
  }

  private fold(id: string): void {
    if (!this.unfolded.delete(id)) this.unfolded.add(id);
    this.requestUpdate();
  }

  private seen(ids: Iterable<string>): void {
    const { copies } = this.inbox;
    const fresh = [...ids].filter((id) => copies.get(id)?.notification.seen_at === null);
    if (fresh.length > 0) this.fire("cb-seen", { ids: fresh });
  }

  protected override willUpdate(): void {
    if (this.askedAll && this.inbox.unread === 0) {
      this.askedAll = false;
      this.said = "All marked read";
    }
    if (this.asked === null) return;
    const { action, title } = this.asked;
    this.said = this.isDone(this.asked) ? `${DONE[action]}: ${title}` : "";
  }

  private isDone({ id, action }: Asked): boolean {
    const copy = this.inbox.copies.get(id)?.notification;
    if (copy === undefined) return true;
    if (action === "read" || action === "unread") return (copy.read_at !== null) === (action === "read");
    return action !== "delete" && (copy.archived_at !== null) === (action === "archive");
  }

  protected override updated(changed: PropertyValues<this>): void {
    this.refocus(changed);
    for (const list of ["current", "archived"] as const) {
      const floor = trimAt(this.inbox.lists[list].entries, () => (list === this.list ? this.deepest() : -1));
      if (floor !== null) this.fire("cb-trim", { list, floor });
    }
  }

  private deepest(): number {
    return deepestRow(this.renderRoot, this.asked?.id ?? null);
  }

  private refocus(changed: PropertyValues<this>): void {
    const { asked } = this;
    if (asked === null || this.said === "" || !changed.has("inbox")) return;
    this.asked = null;
    // The pressed button is gone with its row or its state: keep a keyboard user at the same place.
    if (document.activeElement !== document.body) return;
    const rows = this.renderRoot.querySelectorAll("li");
    const row = rows[Math.min(asked.at, rows.length - 1)];
    (row?.querySelector<HTMLElement>(".actions button") ?? this).focus();
  }

  private fire(name: string, detail: object = {}): void {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }
}

const BOARD = svg`<rect x="5" y="4" width="54" height="40" rx="6" /><path d="M17 18h30M17 28h18" />`;

const empty = html`
  <div class="empty">
    <svg viewBox="0 0 64 48" aria-hidden="true">${BOARD}</svg>
    <p class="lead">Nothing on the board</p>
    <p>New notifications appear here the moment they are sent.</p>
  </div>
`;

const emptyArchive = html`
  <div class="empty">
    <svg viewBox="0 0 64 48" aria-hidden="true">${BOARD}</svg>
    <p class="lead">Nothing archived</p>
    <p>What you archive leaves the inbox and is kept here.</p>
  </div>
`;

customElements.define("cb-inbox", CbInbox);
