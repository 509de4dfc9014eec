/**
 * `<cb-compose>`: the form with which an admin sends a notification.
 *
 * Owns: the fields and what is said about them. Fires `cb-send` (`detail` is a Draft). Never: the sending, or
 * a rule of the server's repeated here: a refusal is shown in the server's words.
 */

import { css, html, LitElement, nothing } from "lit";
import type { Draft, Person } from "../client/wire";
import { theme } from "./theme";

export interface Refusal {
  readonly message: string;
  /** The name of the field that was refused, where the server named one. */
  readonly field: string | null;
}

export class CbCompose extends LitElement {
  static override properties = {
    people: { attribute: false },
    self: { type: String },
    busy: { type: Boolean },
    refusal: { attribute: false },
    sent: { type: String },
  };
  static override styles = [
    theme,
    css`
      :host {
        display: block;
        padding: 0.8125rem 1.25rem 1.25rem;
        background: var(--surface);
        border: 1px solid var(--line);
        border-radius: 0.75rem;
      }
      form {
        display: grid;
        gap: 0.875rem;
        margin-top: 0.875rem;
      }
      label,
      legend {
        display: block;
        margin-bottom: 0.25rem;
        padding: 0;
        font-size: 0.8125rem;
        font-weight: 600;
      }
      label i {
        color: var(--muted);
        font-style: normal;
        font-weight: 400;
      }
      fieldset {
        min-width: 0;
      }
      .people {
        display: flex;
        flex-wrap: wrap;
        gap: 0.375rem;
      }
      .people label {
        display: flex;
        align-items: center;
        gap: 0.4375rem;
        margin: 0;
        padding: 0.25rem 0.75rem 0.25rem 0.625rem;
        border: 1px solid var(--line);
        border-radius: 2rem;
        font-size: 0.875rem;
        font-weight: 450;
        cursor: pointer;
      }
      .people label:hover {
        background: var(--hover);
      }
      .people label:has(:checked) {
        border-color: var(--accent);
        background: var(--tint);
      }
      .people label:has(:focus-visible) {
        outline: 2px solid var(--accent);
        outline-offset: 2px;
      }
      .people input {
        width: auto;
        min-height: 0;
        margin: 0;
        outline: none;
        accent-color: var(--accent);
      }
      .pair {
        display: grid;
        grid-template-columns: 1fr 1fr;
        gap: 0.75rem;
      }
      textarea {
        display: block;
        min-height: 4.75rem;
        resize: vertical;
      }
      #type {
        font-family: var(--mono);
        font-size: 0.8125rem;
      }
      .end {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 0.5rem 0.875rem;
      }
      .sent,
      .refusal {
        flex: 1 1 8rem;
        font-size: 0.875rem;
      }
      .sent {
        color: var(--good);
      }
      .refusal {
        color: var(--bad);
      }
    `,
  ];

  /** Whom one can choose; with none, ids are typed. */
  declare people: readonly Person[];
  /** The sender's id: offered last. */
  declare self: string;
  declare busy: boolean;
  declare refusal: Refusal | null;
  /** What was sent last, in words. */
  declare sent: string;

  constructor() {
    super();
    this.people = [];
    this.self = "";
    this.busy = false;
    this.refusal = null;
    this.sent = "";
  }

  /** Empties what belongs to one notification; the recipients stay for the next. */
  clear(): void {
    for (const id of ["title", "message"]) this.field(id).value = "";
    this.field("title").focus();
  }

  protected override render(): unknown {
    return html`
      <h2 id="heading">Send a notification</h2>
      <form aria-labelledby="heading" @submit=${this.submit} @keydown=${this.keys}>
        ${this.people.length > 0 ? this.choices() : this.ids()}
        <div>
          <label for="title">Title</label>
          <input id="title" required autocomplete="off" aria-invalid=${this.invalid("title")} />
        </div>
        <div>
          <label for="message">Message <i>optional</i></label>
          <textarea id="message" aria-invalid=${this.invalid("message")}></textarea>
        </div>
        <div class="pair">
          <div>
            <label for="type">Type</label>
            <input id="type" required value="note" autocomplete="off" spellcheck="false" aria-invalid=${this.invalid("type")} />
          </div>
          <div>
            <label for="priority">Priority</label>
            <select id="priority">
              <option value="low">Low</option>
              <option value="normal" selected>Normal</option>
              <option value="high">High</option>
              <option value="urgent">Urgent</option>
            </select>
          </div>
        </div>
        <div class="end">
          <button class="primary" ?disabled=${this.busy}>${this.busy ? "Sending…" : "Send"}</button>
          <span class="sent" role="status">${this.refusal === null ? this.sent : nothing}</span>
          ${this.refusal === null ? nothing : html`<span class="refusal" role="alert">${this.refusal.message}</span>`}
        </div>
      </form>
    `;
  }

  private choices(): unknown {
    const others = this.people.filter(({ id }) => id !== this.self);
    const all = [...others, ...this.people.filter(({ id }) => id === this.self)];
    return html`
      <fieldset>
        <legend>To</legend>
        <div class="people">
          ${all.map(
            ({ id, name }) => html`
              <label>
                <input type="checkbox" name="to" value=${id} ?checked=${id === others[0]?.id} />
                ${id === this.self ? "Myself" : name}
              </label>
            `,
          )}
        </div>
      </fieldset>
    `;
  }

  private ids(): unknown {
    return html`
      <div>
        <label for="to">To <i>user ids, separated by commas</i></label>
        <input id="to" required autocomplete="off" spellcheck="false" aria-invalid=${this.invalid("user_ids")} />
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
    const recipients = this.recipients();
    if (recipients.length === 0) {
      this.refusal = { message: "Choose who gets it.", field: "user_ids" };
      return;
    }
    const detail: Draft = {
      user_ids: recipients,
      type: this.field("type").value.trim(),
      title: this.field("title").value,
      message: this.field("message").value,
      priority: this.field("priority").value,
    };
    this.dispatchEvent(new CustomEvent("cb-send", { detail, bubbles: true, composed: true }));
  }

  private keys(event: KeyboardEvent): void {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    this.renderRoot.querySelector("form")?.requestSubmit();
  }

  private invalid(name: string): "true" | "false" {
    return this.refusal?.field === name ? "true" : "false";
  }

  private field(id: string): HTMLInputElement {
    return this.renderRoot.querySelector<HTMLInputElement>(`#${id}`) as HTMLInputElement;
  }
}

customElements.define("cb-compose", CbCompose);
