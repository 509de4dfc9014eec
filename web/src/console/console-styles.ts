/** The look of `<cb-console>`. */

import { css } from "lit";

export const consoleStyles = css`
  :host {
    display: block;
    min-height: 100vh;
    padding-bottom: 3rem;
    background: var(--ground);
  }

  header {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    gap: 0.5rem 1rem;
    padding: 0.625rem max(1.25rem, calc(50vw - 34rem));
    background: var(--surface);
    border-bottom: 1px solid var(--line);
  }

  h1 {
    display: flex;
    align-items: center;
    gap: 0.5rem;
    margin-right: auto;
    font-size: 1.0625rem;
    font-weight: 680;
    letter-spacing: -0.015em;
    line-height: 2.375rem;
  }

  h1 svg {
    width: 1.625rem;
    fill: var(--accent);
  }

  h1 path {
    stroke: var(--surface);
    stroke-width: 2.4;
    stroke-linecap: round;
  }

  main {
    display: grid;
    gap: 1.25rem;
    align-items: start;
    max-width: 70.5rem;
    margin: 0 auto;
    padding: 1.5rem 1.25rem 0;
  }

  main.one {
    max-width: 46rem;
  }

  main.two {
    grid-template-columns: minmax(0, 1fr) 23rem;
  }

  .banner {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    gap: 0.5rem 0.875rem;
    padding: 0.625rem max(1.25rem, calc(50vw - 34rem));
    border-bottom: 1px solid var(--line);
    font-size: 0.875rem;
  }

  .banner.wait {
    background: var(--warn-tint);
    color: var(--warn);
  }

  .banner.bad {
    background: var(--bad-tint);
    color: var(--bad);
  }

  .banner button {
    padding-block: 0.1875rem;
    color: var(--ink);
  }

  .skip {
    position: absolute;
    z-index: 1;
    margin: 0.5rem;
  }

  .skip:not(:focus-visible) {
    width: 1px;
    min-width: 0;
    height: 1px;
    min-height: 0;
    padding: 0;
    overflow: hidden;
    clip-path: inset(50%);
    white-space: nowrap;
  }

  .hint {
    padding: 0.75rem 1.25rem 0;
    color: var(--muted);
    font-size: 0.8125rem;
  }

  cb-who {
    max-width: 14rem;
  }

  .self {
    font-weight: 550;
  }

  .waiting {
    padding: 6rem 1.25rem;
    color: var(--muted);
    text-align: center;
  }

  @media (max-width: 52rem) {
    main.two {
      grid-template-columns: minmax(0, 1fr);
    }
  }

  @media (max-width: 32rem) {
    main {
      padding: 0.75rem 0.75rem 0;
    }

    header {
      padding-inline: 0.75rem;
    }

    cb-who {
      order: 1;
      flex: 1 0 100%;
      max-width: none;
    }
  }
`;
