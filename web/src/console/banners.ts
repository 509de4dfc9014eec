/**
 * What a person must know above everything else: the connection's state, and what was asked for and not done.
 *
 * Owns: the words and which of them are shown. Never: state.
 */

import { html, nothing } from "lit";
import type { Session } from "../client/session";

export function banners(session: Session): unknown {
  const connection = ofConnection(session);
  return html`${connection} ${ofFailure(session, connection === nothing)}`;
}

function ofConnection(session: Session): unknown {
  const { phase, message } = session.connection;
  if (phase === "reconnecting") {
    return html`<p class="banner wait" role="status">
      Reconnecting. What is below may be out of date; it catches up by itself.
    </p>`;
  }
  if (phase === "connecting" && message !== null) {
    return html`<p class="banner wait" role="status">No live connection yet (${message}). Trying again…</p>`;
  }
  if (phase === "refused" || phase === "closed") {
    const words = phase === "closed" ? "The server ended this connection." : `The server refused: ${message}.`;
    return html`<p class="banner bad" role="alert">
      ${words} <button type="button" class="plain" @click=${() => session.start()}>Connect again</button>
    </p>`;
  }
  return nothing;
}

/** What was asked for and not done is told whatever the connection does; why the list is old, unless that says it. */
function ofFailure(session: Session, connected: boolean): unknown {
  const words = session.failure ?? (connected ? session.problem : null);
  if (words === null) return nothing;
  return html`<p class="banner bad" role="alert">
    ${words} <button type="button" class="plain" @click=${() => session.dismiss()}>Dismiss</button>
  </p>`;
}
