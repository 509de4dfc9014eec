/**
 * One row of `<cb-inbox>`.
 *
 * Owns: its markup. What its buttons ask for goes to `RowActions`. Never: state.
 */

import { html, nothing, svg } from "lit";
import type { Change, Notification } from "../client/wire";
import type { Entry } from "../reducers/inbox";
import { headline, nameOf } from "./headline";
import { relativeTime, wholeTime } from "./relative-time";

const CHECK = svg`<path d="m5 12.5 4.5 4.5L19 7.5"/>`;
const DOT = svg`<circle cx="12" cy="12" r="4.5"/>`;
const BOX = svg`<path d="M4 5h16v4H4zM5.5 9v10.5h13V9M10 13h4"/>`;
const TRAY = svg`<path d="M4 13.5V19.5h16v-6M12 15V4.5m-4 4 4-4 4 4"/>`;
const BIN = svg`<path d="M5 7h14M10 7V4.5h4V7m-7.5 0 .8 12.5h9.4L17.5 7M10.5 11v5M13.5 11v5"/>`;

export interface RowActions {
  change(change: Change, entry: Entry): void;
  remove(entry: Entry): void;
  /** Shows why it came, or hides that again. */
  why(entry: Entry): void;
  /** Shows the whole text, or its beginning again. */
  fold(entry: Entry): void;
  mute(type: string, muted: boolean): void;
}

export interface RowState {
  readonly unread: boolean;
  readonly archived: boolean;
  readonly names: ReadonlyMap<string, string>;
  /** How long ago it came to its place, in words. */
  readonly age: string;
  /** Whether all of the text is shown; null where its beginning is all of it. */
  readonly whole: boolean | null;
  /** Why it came; empty while that is asked for; null while nobody wants to know. */
  readonly why: string | null;
  readonly muted: boolean;
}

export function row(entry: Entry, state: RowState, actions: RowActions): unknown {
  const { notification, arrived } = entry;
  const { id, message } = notification;
  return html`
    <li class=${`${state.unread ? "unread" : "read"} ${arrived === null ? "" : "arrived"}`} data-id=${id}>
      <span class="mark">${state.unread ? html`<span class="hidden">Unread</span>` : nothing}</span>
      <div class="text">
        <h3>${headline(notification, state.names)}</h3>
        ${message ? html`<p class="message ${state.whole ? "whole" : ""}">${message}</p>` : nothing}
        ${state.whole === null ? nothing : fold(entry, state.whole, actions)}
        <p class="meta">
          ${meta(notification, state.names)}
          <button
            type="button"
            class="ask"
            aria-label="Why? ${notification.title}"
            aria-expanded=${state.why !== null}
            @click=${() => actions.why(entry)}
          >
            Why?
          </button>
        </p>
        ${state.why === null ? nothing : explanation(notification, state.why, state.muted, actions)}
      </div>
      <div class="side">${when(notification, state.age)} ${buttons(entry, state, actions)}</div>
    </li>
  `;
}

function fold(entry: Entry, whole: boolean, actions: RowActions): unknown {
  const words = whole ? "Show less" : "Show more";
  return html`
    <button
      type="button"
      class="ask fold"
      aria-label="${words}: ${entry.notification.title}"
      aria-expanded=${whole}
      @click=${() => actions.fold(entry)}
    >
      ${words}
    </button>
  `;
}

/** When it came to its place; the tooltip says when it was sent, if that was earlier. */
function when({ created_at: created, arrived_at: arrived, group }: Notification, age: string): unknown {
  const at = arrived ?? created;
  const sent = (group?.count ?? 1) > 1 ? `First sent ${wholeTime(created)}` : `Sent ${wholeTime(created)}`;
  const words = relativeTime(created, Date.parse(at)) === "now" ? wholeTime(at) : `${wholeTime(at)}. ${sent}`;
  return html`<time datetime=${at} title=${words}>${age}</time>`;
}

function meta(notification: Notification, names: RowState["names"]): unknown {
  const { priority, type, resource, group } = notification;
  const name = nameOf(notification, names);
  const several = group !== null && group.count > 1;
  return html`
    ${priority && priority !== "normal" ? html`<span class="priority ${priority}">${priority}</span>` : nothing}
    ${several ? html`<span class="count" title="First: ${group.first.title}">${group.count} in one</span>` : nothing}
    <span class="type">${type}</span>
    ${resource ? html`<span>${resource.type} ${resource.id}</span>` : nothing}
    ${name !== null && !several ? html`<span>from ${name}</span>` : nothing}
  `;
}

function explanation({ type }: Notification, why: string, muted: boolean, actions: RowActions): unknown {
  return html`
    <div class="why">
      <p role="status">${why === "" ? "Asking…" : why}</p>
      <button type="button" class="plain" @click=${() => actions.mute(type, !muted)}>
        ${muted ? "Unmute" : "Mute"} <span class="type">${type}</span>
      </button>
    </div>
  `;
}

function buttons(entry: Entry, { unread, archived }: RowState, actions: RowActions): unknown {
  const { title } = entry.notification;
  const change = (words: string, icon: unknown, name: Change): unknown =>
    button(words, title, icon, () => actions.change(name, entry));
  return html`
    <div class="actions">
      ${unread ? change("Mark read", CHECK, "read") : change("Mark unread", DOT, "unread")}
      ${archived ? change("Move to inbox", TRAY, "unarchive") : change("Archive", BOX, "archive")}
      ${button("Delete", title, BIN, () => actions.remove(entry))}
    </div>
  `;
}

function button(label: string, title: string, icon: unknown, press: () => void): unknown {
  return html`
    <button type="button" class="icon" aria-label="${label}: ${title}" title=${label} @click=${press}>
      <svg viewBox="0 0 24 24" aria-hidden="true">${icon}</svg>
    </button>
  `;
}
