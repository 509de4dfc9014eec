/** The look of `<cb-inbox>`. */

import { css } from "lit";

export const inboxStyles = css`
  :host {
    display: block;
    background: var(--surface);
    border: 1px solid var(--line);
    border-radius: 0.75rem;
    overflow: clip;
  }

  header {
    display: flex;
    align-items: center;
    gap: 0.25rem;
    padding: 0.5rem 0.5rem 0 1.25rem;
  }

  h2 {
    margin-right: auto;
  }

  .lists {
    display: flex;
    gap: 0.25rem;
    padding: 0 0.625rem;
    border-bottom: 1px solid var(--line);
  }

  .lists button {
    padding: 0.4375rem 0.625rem;
    border-radius: 0.4375rem 0.4375rem 0 0;
    color: var(--muted);
  }

  .lists button:hover {
    color: var(--ink);
  }

  .lists button[aria-pressed="true"] {
    box-shadow: inset 0 -2px var(--accent);
    color: var(--ink);
    font-weight: 600;
  }

  h2:focus-visible {
    outline-offset: 4px;
    border-radius: 2px;
  }

  ul {
    list-style: none;
  }

  li {
    display: grid;
    grid-template-columns: 0.5rem minmax(0, 1fr) auto;
    gap: 0.75rem;
    padding: 0.875rem 0.75rem 0.875rem 1.25rem;
  }

  li + li {
    border-top: 1px solid var(--line);
  }

  .mark {
    width: 0.5rem;
    height: 0.5rem;
    margin-top: 0.45rem;
    border-radius: 50%;
  }

  .unread .mark {
    background: var(--accent);
  }

  h3 {
    font-size: 0.9375rem;
    font-weight: 450;
    line-height: 1.4;
    overflow-wrap: anywhere;
  }

  .unread h3 {
    font-weight: 650;
  }

  .message {
    margin-top: 0.125rem;
    color: var(--muted);
    white-space: pre-line;
    overflow-wrap: anywhere;
    display: -webkit-box;
    -webkit-box-orient: vertical;
    -webkit-line-clamp: 6;
    overflow: hidden;
  }

  .message.whole {
    display: block;
  }

  .fold {
    display: block;
  }

  .meta {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    gap: 0.125rem 0.75rem;
    margin-top: 0.375rem;
    color: var(--muted);
    font-size: 0.8125rem;
    overflow-wrap: anywhere;
  }

  .type {
    font-family: var(--mono);
    font-size: 0.75rem;
  }

  .ask {
    margin-inline: -0.25rem;
    padding: 0 0.25rem;
    color: var(--accent);
    font-size: 0.8125rem;
  }

  .ask:hover {
    text-decoration: underline;
  }

  .why {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    justify-content: space-between;
    gap: 0.5rem 0.75rem;
    margin-top: 0.5rem;
    padding: 0.5rem 0.625rem;
    border-radius: 0.4375rem;
    background: var(--hover);
    font-size: 0.8125rem;
    overflow-wrap: anywhere;
  }

  .why p {
    flex: 1 1 14rem;
  }

  .why button {
    padding-block: 0.1875rem;
    font-size: 0.8125rem;
  }

  .count {
    padding: 0 0.4375rem;
    border-radius: 1rem;
    background: var(--tint);
    color: var(--accent);
    font-size: 0.75rem;
    font-weight: 600;
  }

  .priority {
    padding: 0 0.4375rem;
    border: 1px solid var(--line);
    border-radius: 1rem;
    font-size: 0.75rem;
    font-weight: 600;
    text-transform: capitalize;
  }

  .priority.high {
    border-color: transparent;
    background: var(--warn-tint);
    color: var(--warn);
  }

  .priority.urgent {
    border-color: transparent;
    background: var(--bad-tint);
    color: var(--bad);
  }

  .side {
    display: flex;
    flex-direction: column;
    align-items: flex-end;
    gap: 0.25rem;
  }

  time {
    padding-right: 0.4375rem;
    color: var(--muted);
    font-size: 0.8125rem;
    line-height: 1.6;
    white-space: nowrap;
  }

  .actions {
    display: flex;
  }

  .icon {
    display: grid;
    place-content: center;
    padding: 0.3125rem;
    color: var(--muted);
  }

  .icon:hover,
  .icon[aria-expanded="true"] {
    background: var(--hover);
    color: var(--ink);
  }

  .icon svg {
    width: 1.125rem;
    height: 1.125rem;
    fill: none;
    stroke: currentColor;
    stroke-width: 1.7;
    stroke-linecap: round;
    stroke-linejoin: round;
  }

  .more {
    display: block;
    width: 100%;
    padding: 0.75rem;
    border-top: 1px solid var(--line);
    border-radius: 0;
  }

  .more:focus-visible {
    outline-offset: -3px;
  }

  .waiting,
  .empty {
    padding: 4rem 1.5rem;
    color: var(--muted);
    text-align: center;
  }

  .empty svg {
    width: 4rem;
    margin-bottom: 1rem;
    fill: none;
    stroke: var(--edge);
    stroke-width: 1.5;
    stroke-linecap: round;
    opacity: 0.7;
  }

  .empty .lead {
    color: var(--ink);
    font-weight: 600;
  }

  @media (max-width: 32rem) {
    header {
      padding-left: 0.875rem;
    }

    .lists {
      padding-inline: 0.25rem;
    }

    li {
      grid-template-columns: 0.5rem minmax(0, 1fr);
      gap: 0.25rem 0.625rem;
      padding: 0.75rem 0.5rem 0.5rem 0.875rem;
    }

    .side {
      grid-column: 2;
      flex-direction: row;
      align-items: center;
      justify-content: space-between;
    }

    .icon {
      padding: 0.4375rem;
    }
  }

  @media (prefers-reduced-motion: no-preference) {
    .arrived {
      animation: arrive 2.4s ease-out;
    }
  }

  @keyframes arrive {
    from {
      background: var(--tint);
    }
  }
`;
