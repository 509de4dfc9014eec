/**
 * `<cb-bell count="3">`: a bell with the number of unread notifications.
 *
 * Owns: showing and announcing the count. Fires `cb-bell` when pressed. Never: where the count comes from.
 */

import { css, html, LitElement, nothing, svg } from "lit";
import { theme } from "./theme";

const BELL = svg`<path d="M12 3.5a5.5 5.5 0 0 0-5.5 5.5c0 5-2 6.5-2 7.5h15c0-1-2-2.5-2-7.5A5.5 5.5 0 0 0 12 3.5Z"/><path d="M10 19.5a2 2 0 0 0 4 0"/>`;

export class CbBell extends LitElement {
  static override properties = { count: { type: Number } };
  static override styles = [
    theme,
    css`
      :host {
        display: inline-block;
      }
      button {
        position: relative;
        display: grid;
        place-content: center;
        padding: 0.4375rem;
      }
      button:hover {
        background: var(--hover);
      }
      svg {
        width: 1.5rem;
        height: 1.5rem;
        fill: none;
        stroke: currentColor;
        stroke-width: 1.6;
        stroke-linecap: round;
        stroke-linejoin: round;
      }
      .count {
        position: absolute;
        top: 0;
        left: 1.25rem;
        min-width: 1.125rem;
        padding: 0 0.3125rem;
        border-radius: 1rem;
        background: var(--bad);
        color: var(--surface);
        box-shadow: 0 0 0 2px var(--surface);
        font-size: 0.6875rem;
        font-weight: 700;
        line-height: 1.125rem;
        text-align: center;
      }
    `,
  ];

  declare count: number;

  constructor() {
    super();
    this.count = 0;
  }

  protected override render(): unknown {
    const words = this.count === 1 ? "1 unread notification" : `${this.count} unread notifications`;
    return html`
      <button type="button" aria-label="Notifications, ${this.count} unread" title=${words} @click=${this.press}>
        <svg viewBox="0 0 24 24" aria-hidden="true">${BELL}</svg>
        ${this.count > 0
          ? html`<span class="count" aria-hidden="true">${this.count > 99 ? "99+" : this.count}</span>`
          : nothing}
      </button>
      <span class="hidden" role="status" aria-live="polite">${words}</span>
    `;
  }

  private press(): void {
    this.dispatchEvent(new CustomEvent("cb-bell", { bubbles: true, composed: true }));
  }
}

customElements.define("cb-bell", CbBell);
