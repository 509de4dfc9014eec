/**
 * REST calls with a bearer token.
 *
 * Owns: addresses, the Authorization header, and the translation of every failure into a RestError whose
 * `message` is a sentence for a person. Never: state, a retry (save one with a renewed token), a token in an
 * address or a message.
 */

import type { TokenSource } from "./tokens";
import type {
  Became,
  Change,
  Draft,
  Explanation,
  Notification,
  Page,
  Preferences,
  PreferencesUpdate,
  ReadAll,
  UnreadCount,
} from "./wire";

/** The server refused or could not be reached. `status` is 0 when no answer came. */
export class RestError extends Error {
  override readonly name = "RestError";

  constructor(
    message: string,
    readonly status: number,
    readonly code: string | null = null,
    readonly field: string | null = null,
    /** Seconds to wait before asking again, when the server named them. */
    readonly retryAfter: number | null = null,
  ) {
    super(message);
  }
}

/** Milliseconds for a whole answer. On a line that swallows everything there would be none for minutes. */
export const PATIENCE = 20_000;

/** The answer's JSON (null for an empty one). Throws RestError for anything but 2xx. */
export async function request(path: string, init: RequestInit = {}): Promise<unknown> {
  const signal = AbortSignal.timeout(PATIENCE);
  let response: Response;
  try {
    response = await fetch(path, { ...init, cache: "no-store", credentials: "omit", signal });
  } catch {
    throw new RestError(signal.aborted ? "The server does not answer." : "The server cannot be reached.", 0);
  }
  const text = await response.text().catch(() => "");
  const body = parse(text);
  if (response.ok) return body;
  throw problem(response, body);
}

function parse(text: string): unknown {
  try {
    return text === "" ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

function problem(response: Response, body: unknown): RestError {
  const fields = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
  const text = (name: string): string | null => (typeof fields[name] === "string" ? fields[name] : null);
  const detail = text("detail") ?? text("title") ?? `The server answered ${response.status}.`;
  const seconds = Number(response.headers.get("Retry-After") ?? Number.NaN);
  return new RestError(
    detail,
    response.status,
    text("code"),
    text("field"),
    Number.isFinite(seconds) ? seconds : null,
  );
}

/** The notification endpoints, called as one principal. */
export class Rest {
  constructor(
    private readonly tokens: TokenSource,
    private readonly root = "/api/v1",
  ) {}

  list(cursor: string | null = null, archived = false, limit = 30): Promise<Page> {
    const query = new URLSearchParams({
      limit: String(limit),
      ...(archived ? { archived: "true" } : {}),
      ...(cursor === null ? {} : { cursor }),
    });
    return this.call("GET", `/notifications?${query}`) as Promise<Page>;
  }

  unreadCount(): Promise<UnreadCount> {
    return this.call("GET", "/notifications/unread-count") as Promise<UnreadCount>;
  }

  change(id: string, change: Change): Promise<Notification> {
    return this.call("POST", `/notifications/${encodeURIComponent(id)}/${change}`) as Promise<Notification>;
  }

  /** At most 100 ids. */
  async markSeen(ids: readonly string[]): Promise<void> {
    await this.call("POST", "/notifications/seen", { ids });
  }

  explain(id: string): Promise<Explanation> {
    return this.call("GET", `/notifications/${encodeURIComponent(id)}/explain`) as Promise<Explanation>;
  }

  preferences(): Promise<Preferences> {
    return this.call("GET", "/notifications/preferences") as Promise<Preferences>;
  }

  savePreferences(update: PreferencesUpdate): Promise<Preferences> {
    return this.call("POST", "/notifications/preferences", update) as Promise<Preferences>;
  }

  markAllRead(): Promise<ReadAll> {
    return this.call("POST", "/notifications/read-all") as Promise<ReadAll>;
  }

  async remove(id: string): Promise<void> {
    await this.call("DELETE", `/notifications/${encodeURIComponent(id)}`);
  }

  /** One person is named alone: only then does the answer tell the decision. */
  send({ user_ids, ...content }: Draft): Promise<Became> {
    const to = user_ids.length === 1 ? { user_id: user_ids[0] } : { user_ids };
    return this.call("POST", "/notifications", { ...to, ...content }) as Promise<Became>;
  }

  private async call(method: string, path: string, body?: unknown): Promise<unknown> {
    try {
      return await this.once(method, path, body);
    } catch (error) {
      // A 401 was refused before it did anything, so asking again is safe for every method.
      if (!(error instanceof RestError) || error.status !== 401 || !this.tokens.renewable) throw error;
      this.tokens.discard();
      return this.once(method, path, body);
    }
  }

  private async once(method: string, path: string, body: unknown): Promise<unknown> {
    const headers: Record<string, string> = { Authorization: `Bearer ${await this.tokens.get()}` };
    if (body === undefined) return request(this.root + path, { method, headers });
    headers["Content-Type"] = "application/json";
    return request(this.root + path, { method, headers, body: JSON.stringify(body) });
  }
}
