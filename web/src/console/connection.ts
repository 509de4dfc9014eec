/**
 * `<cb-connection phase="live">`: a dot and a word for the state of the connection.
 *
 * Owns: that wording. Never: the state itself.
 */

import { css, html, LitElement } from "lit";
import { theme } from "../elements/theme";
import type { Phase } from "../reducers/connection";

const WORDS: Readonly<Record<Phase, string>> = {
  connecting: "Connecting",
  live: "Live",
  reconnecting: "Reconnecting",
  refused: "Refused",
  closed: "Disconnected",
};

export class CbConnection extends LitElement {
  static override properties = { phase: { type: String, reflect: true } };
  static override styles = [
    theme,
    css`
      :host {
        display: inline-flex;
        align-items: center;
        gap: 0.4375rem;
        color: var(--muted);
        font-size: 0.8125rem;
      }
      .dot {
        width: 0.5rem;
        height: 0.5rem;
        border-radius: 50%;
        background: var(--edge);
      }
      :host([phase="live"]) .dot {
        background: var(--good);
      }
      :host([phase="reconnecting"]) .dot {
        background: var(--warn);
        animation: wait 1.2s ease-in-out infinite alternate;
      }
      :host([phase="refused"]) .dot,
      :host([phase="closed"]) .dot {
        background: var(--bad);
      }
      @keyframes wait {
        to {
          opacity: 0.3;
        }
      }
    `,
  ];

  declare phase: Phase;

  constructor() {
    super();
    this.phase = "connecting";
  }

  protected override render(): unknown {
    return html`<span class="dot"></span><span role="status">${WORDS[this.phase]}</span>`;
  }
}

customElements.define("cb-connection", CbConnection);
