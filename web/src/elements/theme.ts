/**
 * The look that the elements share.
 *
 * Owns: colours, type and the controls' common style. A host page changes them by the `--cb-*` properties and
 * chooses light or dark by `color-scheme`. Never: a font or an image from elsewhere.
 */

import { css } from "lit";

export const theme = css`
  :host {
    --ink: var(--cb-ink, light-dark(#1c2126, #e7eaed));
    --muted: var(--cb-muted, light-dark(#5a636d, #9ba5af));
    --line: var(--cb-line, light-dark(#e1e3e4, #2a2f35));
    --edge: var(--cb-edge, light-dark(#82898f, #6d7680));
    --ground: var(--cb-ground, light-dark(#f5f5f3, #111315));
    --surface: var(--cb-surface, light-dark(#ffffff, #191c1f));
    --hover: var(--cb-hover, light-dark(#f0f1f1, #22272b));
    --accent: var(--cb-accent, light-dark(#14507a, #7cbcec));
    --on-accent: var(--cb-on-accent, light-dark(#ffffff, #0c1a26));
    --tint: var(--cb-tint, light-dark(#eaf2f8, #15283a));
    --good: var(--cb-good, light-dark(#1d7a46, #5fc48d));
    --warn: var(--cb-warn, light-dark(#8a5300, #efb45c));
    --warn-tint: var(--cb-warn-tint, light-dark(#fdf3e1, #33270f));
    --bad: var(--cb-bad, light-dark(#b3261e, #ff9a90));
    --bad-tint: var(--cb-bad-tint, light-dark(#fdecea, #391a18));
    --mono: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "Liberation Mono", monospace;

    box-sizing: border-box;
    color: var(--ink);
    font: 400 0.9375rem/1.5 var(--cb-font, system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif);
    font-variant-numeric: tabular-nums;
    -webkit-font-smoothing: antialiased;
  }

  *,
  *::before,
  *::after {
    box-sizing: inherit;
  }

  h1,
  h2,
  h3,
  p,
  ul,
  fieldset {
    margin: 0;
    padding: 0;
    border: 0;
  }

  h2 {
    font-size: 1.0625rem;
    font-weight: 650;
    letter-spacing: -0.01em;
    line-height: 1.3;
  }

  button,
  input,
  select,
  textarea {
    font: inherit;
    color: inherit;
  }

  input,
  select,
  textarea {
    width: 100%;
    min-height: 2.375rem;
    padding: 0.4375rem 0.625rem;
    background: var(--surface);
    border: 1px solid var(--edge);
    border-radius: 0.4375rem;
  }

  input[aria-invalid="true"],
  textarea[aria-invalid="true"] {
    border-color: var(--bad);
  }

  button {
    padding: 0.375rem 0.75rem;
    background: none;
    border: 1px solid transparent;
    border-radius: 0.4375rem;
    font-size: 0.875rem;
    font-weight: 500;
    cursor: pointer;
  }

  button:disabled,
  button[aria-disabled="true"] {
    opacity: 0.55;
    cursor: default;
  }

  button.primary {
    padding-inline: 1rem;
    background: var(--accent);
    color: var(--on-accent);
    font-weight: 600;
  }

  button.primary:hover:not([aria-disabled="true"]) {
    background: color-mix(in oklab, var(--accent) 88%, var(--ink));
  }

  button.plain {
    border-color: var(--line);
    background: var(--surface);
  }

  button.plain:hover:not([aria-disabled="true"]),
  button.quiet:hover:not([aria-disabled="true"]) {
    background: var(--hover);
  }

  button.quiet {
    color: var(--accent);
  }

  :focus-visible {
    outline: 2px solid var(--accent);
    outline-offset: 2px;
  }

  a {
    color: var(--accent);
    text-underline-offset: 0.15em;
  }

  /* A finger needs more room than a mouse. */
  @media (pointer: coarse) {
    button,
    select,
    input:not([type="checkbox"]) {
      min-height: 2.5rem;
    }

    button {
      min-width: 2.5rem;
    }
  }

  .hidden {
    position: absolute;
    width: 1px;
    height: 1px;
    overflow: hidden;
    clip-path: inset(50%);
    white-space: nowrap;
  }

  @media (prefers-reduced-motion: reduce) {
    *,
    *::before {
      animation: none !important;
      transition: none !important;
    }
  }
`;
