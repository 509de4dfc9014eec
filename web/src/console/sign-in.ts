/**
 * `<cb-sign-in>`: the page before it knows who one is.
 *
 * Owns: the choice of an example user, or the field for a token. Fires `cb-who` (`detail.id`) or `cb-token`
 * (`detail.token`). Never: keeping either.
 */

import { css, html, LitElement, nothing } from "lit";
import { personOf } from "../client/tokens";
import type { Person } from "../client/wire";
import { theme } from "../elements/theme";

export class CbSignIn extends LitElement {
  static override properties = {
    people: { attribute: false },
    demo: { type: Boolean },
    problem: { type: String },
  };
  static override styles = [
    theme,
    css`
      :host {
        display: block;
        max-width: 27rem;
        margin: 8vh auto 0;
        padding: 1.5rem;
        background: var(--surface);
        border: 1px solid var(--line);
        border-radius: 0.75rem;
      }
      p {
        margin-top: 0.375rem;
        color: var(--muted);
      }
      ul {
        display: grid;
        gap: 0.5rem;
        margin-top: 1.125rem;
        list-style: none;
      }
      li button {
        display: flex;
        align-items: center;
        gap: 0.75rem;
        width: 100%;
        padding: 0.625rem 0.75rem;
        text-align: left;
      }
      .initials {
        display: grid;
        place-items: center;
        width: 2.25rem;
        height: 2.25rem;
        border-radius: 50%;
        background: var(--tint);
        color: var(--accent);
        font-size: 0.8125rem;
        font-weight: 650;
      }
      small {
        display: block;
        color: var(--muted);
        font-size: 0.8125rem;
        font-weight: 400;
      }
      form {
        display: grid;
        gap: 0.375rem;
        margin-top: 1.125rem;
      }
      label {
        font-size: 0.8125rem;
        font-weight: 600;
      }
      textarea {
        min-height: 6rem;
        font-family: var(--mono);
        font-size: 0.8125rem;
        word-break: break-all;
      }
      button.primary {
        justify-self: start;
        margin-top: 0.5rem;
      }
      code {
        font-family: var(--mono);
        font-size: 0.8125rem;
        color: var(--ink);
      }
      .problem {
        color: var(--bad);
      }
    `,
  ];

  declare people: readonly Person[];
  declare demo: boolean;
  declare problem: string;

  constructor() {
    super();
    this.people = [];
    this.demo = false;
    this.problem = "";
  }

  protected override render(): unknown {
    return this.demo ? this.chooser() : this.tokenForm();
  }

  private chooser(): unknown {
    return html`
      <h2>Who are you?</h2>
      <p>These are example users. Open the page in two windows to be two of them.</p>
      ${this.said()}
      <ul role="list">
        ${this.people.map(
          ({ id, name, roles, teams }) => html`
            <li>
              <button type="button" class="plain" @click=${() => this.fire("cb-who", { id })}>
                <span class="initials" aria-hidden="true">${initials(name)}</span>
                <span>${name}<small>${[...roles, ...teams].join(", ")}</small></span>
              </button>
            </li>
          `,
        )}
      </ul>
    `;
  }

  private tokenForm(): unknown {
    return html`
      <h2>Sign in</h2>
      <p>Paste a token. On the server, <code>callboard token --sub u1 --data-dir …</code> (its data directory) prints one.</p>
      <form @submit=${this.submit}>
        <label for="token">Token</label>
        <textarea id="token" required autocomplete="off" spellcheck="false"></textarea>
        ${this.said()}
        <button class="primary">Sign in</button>
      </form>
    `;
  }

  private said(): unknown {
    return this.problem === "" ? nothing : html`<p class="problem" role="alert">${this.problem}</p>`;
  }

  private submit(event: Event): void {
    event.preventDefault();
    const field = this.renderRoot.querySelector("textarea");
    const token = (field?.value ?? "").replace(/\s+/g, "");
    if (personOf(token) === null) {
      this.problem = "This is not a token: it should be three parts joined by dots.";
      return;
    }
    this.fire("cb-token", { token });
  }

  private fire(name: string, detail: object): void {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }
}

function initials(name: string): string {
  const words = name.split(/\s+/);
  return ((words[0]?.[0] ?? "") + (words.length > 1 ? (words.at(-1)?.[0] ?? "") : "")).toUpperCase();
}

customElements.define("cb-sign-in", CbSignIn);
