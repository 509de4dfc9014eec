/**
 * `<cb-who>`: which example user this window is.
 *
 * Owns: the choice among the people given. Fires `cb-who` (`detail.id`). Never: a token.
 */

import { css, html, LitElement } from "lit";
import type { Person } from "../client/wire";
import { theme } from "./theme";

export class CbWho extends LitElement {
  static override properties = { people: { attribute: false }, selected: { type: String } };
  static override styles = [
    theme,
    css`
      :host {
        display: block;
        min-width: 0;
      }
      select {
        min-height: 2.125rem;
        padding-block: 0.25rem;
        border-color: var(--line);
        text-overflow: ellipsis;
        cursor: pointer;
      }
      @media (pointer: coarse) {
        select {
          min-height: 2.5rem;
        }
      }
    `,
  ];

  declare people: readonly Person[];
  declare selected: string;

  constructor() {
    super();
    this.people = [];
    this.selected = "";
  }

  protected override render(): unknown {
    return html`
      <label class="hidden" for="who">You are</label>
      <select id="who" @change=${this.pick}>
        ${this.people.map(
          ({ id, name, roles }) => html`
            <option value=${id} .selected=${id === this.selected}>
              ${name}${roles.includes("admin") ? " (admin)" : ""}
            </option>
          `,
        )}
      </select>
    `;
  }

  private pick(event: Event): void {
    const { value } = event.target as HTMLSelectElement;
    this.dispatchEvent(new CustomEvent("cb-who", { detail: { id: value }, bubbles: true, composed: true }));
  }
}

customElements.define("cb-who", CbWho);
