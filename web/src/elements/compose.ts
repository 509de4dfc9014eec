/**
 * `<cb-compose>`: the form with which an admin sends a notification.
 *
 * Owns: the fields and what is said about them, beside the field that it is about. Fires `cb-send` (`detail` is a
 * Draft). Never: the sending, or a rule of the server's repeated here but for those in `rules.ts`: a refusal is shown
 * in the server's words.
 */

import { html, LitElement, nothing, type PropertyValues } from "lit";
import type { Draft, Person } from "../client/wire";
import { composeStyles } from "./compose-styles";
import type { Outcome } from "./outcome";
import { concerns, edited, type Refusal, replaced } from "./refusal";
import { titleFlaw, typeFlaw } from "./rules";
import { theme } from "./theme";

type Field = "to" | "title" | "message" | "type" | "priority";

/** The server's names of the fields. */
const NAMES: Readonly<Record<Field, readonly string[]>> = {
  to: ["user_id", "user_ids"],
  title: ["title"],
  message: ["message"],
  type: ["type"],
  priority: ["priority"],
};

export class CbCompose extends LitElement {
  static override properties = {
    people: { attribute: false },
    self: { type: String },
    busy: { type: Boolean },
    refusal: { attribute: false },
    sent: { attribute: false },
  };
  static override styles = [theme, composeStyles];

  /** Whom one can choose; with none, ids are typed. */
  declare people: readonly Person[];
  /** The sender's id: offered last. */
  declare self: string;
  declare busy: boolean;
  declare refusal: Refusal | null;
  /** What became of what was sent last. */
  declare sent: Outcome | null;

  /** The refusal that is said: the page's, or what was found here before anything was sent. */
  private told: Refusal | null = null;

  constructor() {
    super();
    this.people = [];
    this.self = "";
    this.busy = false;
    this.refusal = null;
    this.sent = null;
  }

  /** Moves the keyboard focus to the form's heading. */
  override focus(): void {
    this.renderRoot.querySelector<HTMLElement>("h2")?.focus();
  }

  /** Empties what belongs to one notification; the recipients stay for the next. */
  clear(): void {
    for (const id of ["title", "message"]) this.field(id).value = "";
    this.field("title").focus();
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("refusal")) this.told = replaced(this.told, changed.get("refusal"), this.refusal);
  }

  protected override updated(changed: PropertyValues<this>): void {
    if (changed.has("refusal") && this.refusal !== null) this.toRefused();
  }

  protected override render(): unknown {
    const elsewhere = this.told !== null && !Object.keys(NAMES).some((field) => this.isRefused(field as Field));
    return html`
      <h2 id="heading" tabindex="-1">Send a notification</h2>
      <form aria-labelledby="heading" novalidate @submit=${this.submit} @keydown=${this.keys} @input=${this.edited}>
        ${this.people.length > 0 ? this.choices() : this.ids()}
        <div>
          <label for="title">Title</label>
          <input
            id="title"
            aria-required="true"
            autocomplete="off"
            aria-invalid=${this.invalid("title")}
            aria-describedby="title-error"
          />
          ${this.error("title")}
        </div>
        <div>
          <label for="message">Message <i>optional</i></label>
          <textarea id="message" aria-invalid=${this.invalid("message")} aria-describedby="message-error"></textarea>
          ${this.error("message")}
        </div>
        <div class="pair">${this.type()} ${this.priority()}</div>
        <div class="end">
          <button class="primary" aria-disabled=${this.busy}>${this.busy ? "Sending…" : "Send"}</button>
          <span class="sent ${this.sent?.delivered === false ? "not" : ""}" role="status">
            ${this.told === null ? this.sent?.words : nothing}
          </span>
          ${elsewhere ? html`<span class="refusal" role="alert">${this.told?.message}</span>` : nothing}
        </div>
      </form>
    `;
  }

  private type(): unknown {
    return html`
      <div>
        <label for="type">Type</label>
        <input
          id="type"
          aria-required="true"
          value="note"
          autocomplete="off"
          autocapitalize="none"
          spellcheck="false"
          aria-invalid=${this.invalid("type")}
          aria-describedby="type-error"
        />
        ${this.error("type")}
      </div>
    `;
  }

  private priority(): unknown {
    return html`
      <div>
        <label for="priority">Priority</label>
        <select id="priority" aria-invalid=${this.invalid("priority")} aria-describedby="priority-error">
          <option value="low">Low</option>
          <option value="normal" selected>Normal</option>
          <option value="high">High</option>
          <option value="urgent">Urgent</option>
        </select>
        ${this.error("priority")}
      </div>
    `;
  }

  private choices(): unknown {
    const others = this.people.filter(({ id }) => id !== this.self);
    const all = [...others, ...this.people.filter(({ id }) => id === this.self)];
    return html`
      <fieldset aria-describedby="to-error">
        <legend>To</legend>
        <div class="people">
          ${all.map(
            ({ id, name }) => html`
              <label>
                <input
                  type="checkbox"
                  name="to"
                  value=${id}
                  ?checked=${id === others[0]?.id}
                  aria-invalid=${this.invalid("to")}
                />
                ${id === this.self ? "Myself" : name}
              </label>
            `,
          )}
        </div>
        ${this.error("to")}
      </fieldset>
    `;
  }

  private ids(): unknown {
    return html`
      <div>
        <label for="to">To <i>user ids, separated by commas</i></label>
        <input
          id="to"
          aria-required="true"
          autocomplete="off"
          spellcheck="false"
          aria-invalid=${this.invalid("to")}
          aria-describedby="to-error"
        />
        ${this.error("to")}
      </div>
    `;
  }

  private recipients(): string[] {
    if (this.people.length > 0) {
      const chosen = this.renderRoot.querySelectorAll<HTMLInputElement>('input[name="to"]:checked');
      return [...chosen].map(({ value }) => value);
    }
    return this.field("to").value.split(",").map((id) => id.trim()).filter((id) => id !== "");
  }

  private submit(event: Event): void {
    event.preventDefault();
    if (this.busy) return;
    const draft = this.draft();
    this.told = flawOf(draft);
    this.requestUpdate();
    if (this.told !== null) void this.updateComplete.then(() => this.toRefused());
    else this.dispatchEvent(new CustomEvent("cb-send", { detail: draft, bubbles: true, composed: true }));
  }

  private draft(): Draft {
    return {
      user_ids: [...new Set(this.recipients())],
      type: this.field("type").value.trim(),
      title: this.field("title").value,
      message: this.field("message").value,
      priority: this.field("priority").value,
    };
  }

  private readonly edited = ({ target }: Event): void => {
    const { id, name } = target as HTMLInputElement;
    this.told = edited(this.told, NAMES[(name || id) as Field]);
    this.requestUpdate();
  };

  /** Moves the keyboard focus to the field that is refused, if it is one of these. */
  private toRefused(): void {
    this.renderRoot.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }

  private keys(event: KeyboardEvent): void {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    this.renderRoot.querySelector("form")?.requestSubmit();
  }

  private error(field: Field): unknown {
    return this.isRefused(field)
      ? html`<p class="error" id="${field}-error" role="alert">${this.told?.message}</p>`
      : nothing;
  }

  private isRefused(field: Field): boolean {
    return NAMES[field].some((name) => concerns(this.told, name));
  }

  private invalid(field: Field): "true" | "false" {
    return this.isRefused(field) ? "true" : "false";
  }

  private field(id: string): HTMLInputElement {
    return this.renderRoot.querySelector<HTMLInputElement>(`#${id}`) as HTMLInputElement;
  }
}

/** What can be told of it before it is sent. */
function flawOf({ user_ids, title, type }: Draft): Refusal | null {
  if (user_ids.length === 0) return { message: "Choose who gets it.", field: "user_ids" };
  const blank = titleFlaw(title);
  if (blank !== null) return { message: blank, field: "title" };
  const wrong = typeFlaw(type);
  return wrong === null ? null : { message: wrong, field: "type" };
}

customElements.define("cb-compose", CbCompose);
