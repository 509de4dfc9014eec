/** The look of `<cb-compose>`. */

import { css } from "lit";

export const composeStyles = css`
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

  .sent.not {
    color: var(--warn);
  }

  .refusal,
  .error {
    color: var(--bad);
  }

  .error {
    margin-top: 0.25rem;
    font-size: 0.8125rem;
  }

  @media (pointer: coarse) {
    .people label {
      min-height: 2.5rem;
    }
  }
`;
