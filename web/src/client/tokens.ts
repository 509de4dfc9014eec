/**
 * Where a bearer token comes from.
 *
 * Owns: getting, keeping and renewing one principal's token. Never: a check of it (the server does that), a
 * token in an address.
 */

import { request } from "./rest";
import type { Person } from "./wire";

export interface TokenSource {
  /** A `discard` followed by a `get` can bring another token. */
  readonly renewable: boolean;
  get(): Promise<string>;
  /** The token was refused: do not hand it out again. */
  discard(): void;
}

/** Renewed this long before its end, so that it is not refused on the way. */
const MARGIN_MS = 30_000;

interface Held {
  readonly token: string;
  readonly until: number;
}

/** Tokens of an example user, from `callboard serve --demo`. Calls made together share one request. */
export class DemoTokens implements TokenSource {
  readonly renewable = true;
  private pending: Promise<Held> | null = null;

  constructor(
    private readonly id: string,
    private readonly now: () => number = Date.now,
  ) {}

  async get(): Promise<string> {
    const pending = this.hold();
    const held = await pending;
    if (held.until - MARGIN_MS > this.now()) return held.token;
    this.forget(pending);
    return (await this.hold()).token;
  }

  discard(): void {
    this.pending = null;
  }

  private hold(): Promise<Held> {
    if (this.pending === null) {
      const asked = this.ask();
      asked.catch(() => this.forget(asked));
      this.pending = asked;
    }
    return this.pending;
  }

  private forget(pending: Promise<Held>): void {
    if (this.pending === pending) this.pending = null;
  }

  private async ask(): Promise<Held> {
    const answer = (await request("/demo/token", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ id: this.id }),
    })) as { token: string; expires_at: string };
    return { token: answer.token, until: Date.parse(answer.expires_at) };
  }
}

/** One token that a person brought. It cannot be renewed here. */
export class GivenToken implements TokenSource {
  readonly renewable = false;

  constructor(private readonly token: string) {}

  get(): Promise<string> {
    return Promise.resolve(this.token);
  }

  discard(): void {
    // Nothing better to hand out: the server's refusal is shown and another token asked for.
  }
}

/**
 * Who a token says it is for, to greet them and to choose what to show. The signature is not checked: the
 * server decides what the token may do. Null when it is no JWT with a subject.
 */
export function personOf(token: string): Person | null {
  const [, claims, signature] = token.split(".");
  if (claims === undefined || signature === undefined) return null;
  try {
    const bytes = Uint8Array.from(atob(claims.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
    const { sub, name, roles, teams } = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
    if (typeof sub !== "string" || sub === "") return null;
    return { id: sub, name: typeof name === "string" ? name : sub, roles: words(roles), teams: words(teams) };
  } catch {
    return null;
  }
}

function words(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === "string") : [];
}
