/** What is muted, with the button that takes it from the list. */

import { html, svg } from "lit";

const CROSS = svg`<path d="m7 7 10 10M17 7 7 17" />`;

export function chip(words: string, unmute: () => void): unknown {
  return html`<li><span>${words}</span> ${removeButton("Unmute", `Unmute ${words}`, unmute)}</li>`;
}

/** `name`: the title with what it is about, for those who do not see where the button stands. */
export function removeButton(title: string, name: string, remove: () => void): unknown {
  return html`
    <button type="button" aria-label=${name} title=${title} @click=${remove}>
      <svg viewBox="0 0 24 24" aria-hidden="true">${CROSS}</svg>
    </button>
  `;
}
