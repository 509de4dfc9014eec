/** The look of `<cb-preferences>`. */

import { css } from "lit";

export const preferencesStyles = css`
  :host {
    display: block;
    margin-bottom: 1.25rem;
    background: var(--surface);
    border: 1px solid var(--line);
    border-radius: 0.75rem;
  }

  header {
    display: flex;
    align-items: center;
    justify-content: space-between;
    padding: 0.5rem 0.5rem 0.5rem 1.25rem;
    border-bottom: 1px solid var(--line);
  }

  h2:focus-visible {
    outline-offset: 4px;
    border-radius: 2px;
  }

  form {
    display: grid;
    gap: 1.25rem;
    padding: 1rem 1.25rem 1.25rem;
  }

  fieldset {
    min-width: 0;
  }

  legend {
    padding: 0;
    font-size: 0.875rem;
    font-weight: 650;
  }

  .hint {
    color: var(--muted);
    font-size: 0.8125rem;
  }

  ul {
    display: flex;
    flex-wrap: wrap;
    gap: 0.375rem;
    margin-top: 0.5rem;
    list-style: none;
  }

  li {
    display: flex;
    align-items: center;
    gap: 0.125rem;
    min-width: 0;
    padding-left: 0.625rem;
    border-radius: 1rem;
    background: var(--tint);
    font-size: 0.8125rem;
  }

  li > span {
    min-width: 0;
    font-family: var(--mono);
    overflow-wrap: anywhere;
  }

  .own {
    display: block;
  }

  .own li {
    display: grid;
    grid-template-columns: minmax(0, 1fr) auto;
    padding: 0.375rem 0 0.625rem;
    border-bottom: 1px solid var(--line);
    border-radius: 0;
    background: none;
  }

  .own .options {
    grid-row: 2;
    grid-column: 1 / -1;
  }

  li button {
    display: grid;
    place-content: center;
    padding: 0.3125rem;
    border-radius: 50%;
  }

  li svg {
    width: 1rem;
    height: 1rem;
    fill: none;
    stroke: currentColor;
    stroke-width: 1.8;
    stroke-linecap: round;
  }

  .add {
    display: flex;
    gap: 0.5rem;
    max-width: 24rem;
    margin-top: 0.5rem;
  }

  .add input {
    font-family: var(--mono);
    font-size: 0.8125rem;
  }

  .check {
    display: flex;
    align-items: center;
    gap: 0.5rem;
    margin-top: 0.375rem;
    cursor: pointer;
  }

  input[type="checkbox"] {
    flex: none;
    width: auto;
    min-height: 0;
    margin: 0;
    accent-color: var(--accent);
  }

  .hours {
    display: grid;
    grid-template-columns: 8.5rem 8.5rem minmax(0, 1fr);
    gap: 0.75rem;
    margin-top: 0.75rem;
  }

  .hours label {
    display: block;
    margin-bottom: 0.25rem;
    font-size: 0.8125rem;
    font-weight: 600;
  }

  .days,
  .options {
    display: flex;
    flex-wrap: wrap;
    gap: 0.375rem;
  }

  .days {
    margin-top: 0.75rem;
  }

  .days label,
  .options label {
    display: flex;
    align-items: center;
    gap: 0.375rem;
    padding: 0.1875rem 0.625rem 0.1875rem 0.5rem;
    border: 1px solid var(--line);
    border-radius: 2rem;
    font-size: 0.8125rem;
    cursor: pointer;
  }

  .days label:hover,
  .options label:hover {
    background: var(--hover);
  }

  .days label:has(:checked),
  .options label:has(:checked) {
    border-color: var(--accent);
    background: var(--tint);
  }

  .days label:has(:focus-visible),
  .options label:has(:focus-visible) {
    outline: 2px solid var(--accent);
    outline-offset: 2px;
  }

  .days input,
  .options input {
    outline: none;
  }

  .foot {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    gap: 0.5rem 0.875rem;
  }

  .saved {
    color: var(--good);
    font-size: 0.875rem;
  }

  .unsaved {
    color: var(--warn);
    font-size: 0.875rem;
  }

  .error {
    margin-top: 0.25rem;
    color: var(--bad);
    font-size: 0.8125rem;
  }

  .waiting {
    padding: 1.5rem;
    color: var(--muted);
    text-align: center;
  }

  @media (pointer: coarse) {
    .check,
    .days label,
    .options label {
      min-height: 2.5rem;
    }
  }

  @media (max-width: 32rem) {
    header {
      padding-left: 0.875rem;
    }

    form {
      padding: 0.875rem;
    }

    .hours {
      grid-template-columns: 1fr 1fr;
    }

    .timezone {
      grid-column: 1 / -1;
    }
  }
`;
