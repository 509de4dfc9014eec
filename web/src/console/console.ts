/**
 * `<cb-console>`: the page at `/`.
 *
 * Owns: who this window is (the address's hash in a demo, a pasted token otherwise), one Session for them, and
 * the wiring between it and the elements. Never: a rule about messages (reducers) or a request (client).
 */

import { html, LitElement, nothing } from "lit";
import { request, RestError } from "../client/rest";
import { Session } from "../client/session";
import { DemoTokens, GivenToken, personOf, type TokenSource } from "../client/tokens";
import type { Change, Draft, Person, ServerConfig } from "../client/wire";
import type { CbCompose } from "../elements/compose";
import type { CbInbox } from "../elements/inbox";
import { type Outcome, outcomeOf } from "../elements/outcome";
import type { CbPreferences } from "../elements/preferences";
import { reached, type Refusal } from "../elements/refusal";
import type { ListName, Place } from "../reducers/inbox";
import { theme } from "../elements/theme";
import { banners } from "./banners";
import { consoleStyles } from "./console-styles";
import { Paced } from "./paced";

/** Kept for this tab only, so that a reload does not ask again. */
const TOKEN_KEY = "callboard.token";
const CLOCK_MS = 20_000;
const START_RETRY_MS = 2_000;

export class CbConsole extends LitElement {
  static override styles = [theme, consoleStyles];

  private config: ServerConfig | null = null;
  private people: readonly Person[] = [];
  private names: ReadonlyMap<string, string> = new Map();
  private self: Person | null = null;
  private session: Session | null = null;
  private problem = "";
  private sending = false;
  private refusal: Refusal | null = null;
  private sent: Outcome | null = null;
  private list: ListName = "current";
  private explanations: ReadonlyMap<string, string> = new Map();
  private choosing = false;
  private saving = false;
  private preferencesRefusal: Refusal | null = null;
  private saved = false;
  private live = false;
  /** Many messages may come at once: to show each of them by itself would take longer than they are apart. */
  private readonly paced = new Paced(() => this.requestUpdate());
  private clock: ReturnType<typeof setInterval> | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    window.addEventListener("hashchange", this.enter);
    this.clock = setInterval(() => this.requestUpdate(), CLOCK_MS);
    void this.begin();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    window.removeEventListener("hashchange", this.enter);
    clearInterval(this.clock);
    this.paced.stop();
    this.leave();
  }

  private async begin(): Promise<void> {
    try {
      const config = (await request("/config.json")) as ServerConfig;
      if (config.demo) {
        const { users } = (await request("/demo/users")) as { users: Person[] };
        this.people = users;
        this.names = new Map(users.map(({ id, name }) => [id, name]));
      }
      this.config = config;
      this.problem = "";
      this.enter();
    } catch (error) {
      this.problem = error instanceof Error ? error.message : String(error);
      this.requestUpdate();
      setTimeout(() => void this.begin(), START_RETRY_MS);
    }
  }

  /** Becomes whom the address or the kept token names; leaves whoever was here before. */
  private readonly enter = (): void => {
    if (this.config === null) return;
    this.leave();
    const id = decoded(location.hash.slice(1));
    if (this.config.demo) {
      const person = this.people.find((one) => one.id === id) ?? null;
      this.problem = person === null && id !== "" ? `There is no example user “${id}”.` : "";
      if (person !== null) this.become(person, new DemoTokens(person.id), this.config);
    } else {
      const token = sessionStorage.getItem(TOKEN_KEY) ?? "";
      const person = personOf(token);
      if (person !== null) this.become(person, new GivenToken(token), this.config);
    }
    this.requestUpdate();
  };

  private become(person: Person, tokens: TokenSource, config: ServerConfig): void {
    this.self = person;
    this.session = new Session(tokens, config, () => this.sessionChanged());
    this.session.start();
  }

  private leave(): void {
    this.session?.stop();
    this.session = null;
    this.self = null;
    this.refusal = null;
    this.sent = null;
    this.list = "current";
    this.explanations = new Map();
    this.choosing = false;
    this.live = false;
  }

  private signOut(problem = ""): void {
    sessionStorage.removeItem(TOKEN_KEY);
    this.leave();
    this.problem = problem;
    this.requestUpdate();
  }

  private sessionChanged(): void {
    const connection = this.session?.connection;
    if (connection?.phase === "refused" && !this.config?.demo) {
      this.signOut(`The server refused this token: ${connection.message ?? "no reason given"}.`);
      return;
    }
    this.becomeLive(connection?.phase === "live");
    this.paced.ask();
  }

  /** What was said while the server was away is not said once it is back. */
  private becomeLive(live: boolean): void {
    if (live && !this.live) {
      this.refusal = reached(this.refusal);
      this.preferencesRefusal = reached(this.preferencesRefusal);
    }
    this.live = live;
  }

  protected override updated(): void {
    const unread = this.session?.inbox.unread ?? 0;
    document.title = unread > 0 ? `(${unread}) Callboard` : "Callboard";
  }

  protected override render(): unknown {
    return html`
      <header>
        <h1>
          <svg viewBox="0 0 32 32" aria-hidden="true">
            <rect x="3" y="5" width="26" height="23" rx="5" />
            <path d="M9 15h14M9 20.5h9" />
          </svg>
          Callboard
        </h1>
        ${this.session === null ? nothing : this.bar(this.session)}
      </header>
      ${this.session === null ? this.outside() : this.inside(this.session)}
    `;
  }

  private bar(session: Session): unknown {
    return html`
      <cb-connection .phase=${session.connection.phase}></cb-connection>
      ${this.config?.demo
        ? html`<cb-who .people=${this.people} .selected=${this.self?.id ?? ""} @cb-who=${this.pick}></cb-who>`
        : html`
            <span class="self">${this.self?.name}</span>
            <button type="button" class="plain" @click=${() => this.signOut()}>Sign out</button>
          `}
      <cb-bell .count=${session.inbox.unread} @cb-bell=${this.toInbox}></cb-bell>
    `;
  }

  private outside(): unknown {
    if (this.config === null) {
      return html`<p class="waiting" role="status">
        ${this.problem === "" ? "Loading…" : `${this.problem} Trying again…`}
      </p>`;
    }
    return html`
      <main>
        <cb-sign-in
          .people=${this.people}
          .demo=${this.config.demo}
          .problem=${this.problem}
          @cb-who=${this.pick}
          @cb-token=${this.given}
        ></cb-sign-in>
      </main>
    `;
  }

  private inside(session: Session): unknown {
    const admin = this.self?.roles.includes("admin") ?? false;
    return html`
      ${banners(session)}
      ${admin ? html`<button type="button" class="plain skip" @click=${this.toForm}>Skip to sending</button>` : nothing}
      <main class=${admin ? "two" : "one"}>
        <div>${this.choosing ? this.preferences(session) : nothing} ${this.listed(session)}</div>
        ${admin ? this.aside() : nothing}
      </main>
    `;
  }

  private listed(session: Session): unknown {
    return html`
      <cb-inbox
        .inbox=${session.inbox}
        .list=${this.list}
        .names=${this.names}
        .explanations=${this.explanations}
        .muted=${session.preferences?.muted_types ?? []}
        .preferences=${this.choosing}
        .now=${Date.now()}
        @cb-change=${({ detail }: CustomEvent<{ id: string; change: Change }>) => session.change(detail.id, detail.change)}
        @cb-delete=${({ detail }: CustomEvent<{ id: string }>) => session.remove(detail.id)}
        @cb-seen=${({ detail }: CustomEvent<{ ids: string[] }>) => detail.ids.forEach((id) => session.seen(id))}
        @cb-explain=${this.explain}
        @cb-mute=${({ detail }: CustomEvent<{ type: string; muted: boolean }>) => session.mute(detail.type, detail.muted)}
        @cb-read-all=${() => session.readAll()}
        @cb-older=${() => session.older(this.list)}
        @cb-trim=${({ detail }: CustomEvent<{ list: ListName; floor: Place }>) => session.trim(detail.list, detail.floor)}
        @cb-list=${this.show}
        @cb-preferences=${this.toggle}
      ></cb-inbox>
    `;
  }

  private preferences(session: Session): unknown {
    const types = new Set([...session.inbox.copies.values()].map(({ notification }) => notification.type));
    return html`
      <cb-preferences
        .preferences=${session.preferences}
        .types=${[...types].sort()}
        .busy=${this.saving}
        .refusal=${this.preferencesRefusal}
        .saved=${this.saved}
        @cb-preferences-save=${this.save}
        @cb-preferences-close=${this.choose}
      ></cb-preferences>
    `;
  }

  private aside(): unknown {
    const other = this.people.find(({ id }) => id !== this.self?.id);
    return html`
      <div>
        <cb-compose
          .people=${this.people}
          .self=${this.self?.id ?? ""}
          .busy=${this.sending}
          .refusal=${this.refusal}
          .sent=${this.sent}
          @cb-send=${this.send}
        ></cb-compose>
        ${other === undefined
          ? nothing
          : html`<p class="hint">
              To see it arrive, open <a href="#${other.id}" target="_blank">${other.name} in another window</a>.
            </p>`}
      </div>
    `;
  }

  private readonly pick = (event: CustomEvent<{ id: string }>): void => {
    location.hash = encodeURIComponent(event.detail.id);
  };

  private readonly given = (event: CustomEvent<{ token: string }>): void => {
    sessionStorage.setItem(TOKEN_KEY, event.detail.token);
    this.problem = "";
    this.enter();
  };

  private readonly toInbox = (): void => {
    this.renderRoot.querySelector<CbInbox>("cb-inbox")?.focus();
  };

  /** Not by a link: the address's hash says who this window is. */
  private readonly toForm = (): void => {
    this.renderRoot.querySelector<CbCompose>("cb-compose")?.focus();
  };

  private readonly show = ({ detail }: CustomEvent<{ list: ListName }>): void => {
    this.list = detail.list;
    this.requestUpdate();
    void this.session?.show(detail.list);
  };

  private readonly explain = async ({ detail: { id } }: CustomEvent<{ id: string }>): Promise<void> => {
    const { session } = this;
    if (session === null) return;
    if (session.preferences === null) void session.loadPreferences();
    const words = await session.explain(id);
    if (session !== this.session) return;
    this.explanations = new Map(this.explanations).set(id, words);
    this.requestUpdate();
  };

  private readonly toggle = (): void => {
    if (this.choosing) this.renderRoot.querySelector<CbPreferences>("cb-preferences")?.close();
    else void this.choose();
  };

  /** Opens or closes the preferences; the keyboard focus goes with them. */
  private readonly choose = async (): Promise<void> => {
    this.choosing = !this.choosing;
    this.preferencesRefusal = null;
    this.saved = false;
    this.requestUpdate();
    if (this.choosing) void this.session?.loadPreferences();
    await this.updateComplete;
    if (this.choosing) this.renderRoot.querySelector<CbPreferences>("cb-preferences")?.focus();
    else this.renderRoot.querySelector<CbInbox>("cb-inbox")?.focusPreferences();
  };

  private readonly save = async (event: Event): Promise<void> => {
    const form = event.target as CbPreferences;
    const { session } = this;
    if (session === null) return;
    this.saving = true;
    this.preferencesRefusal = null;
    this.saved = false;
    this.requestUpdate();
    try {
      await session.renewPreferences();
      // At once: what the session tells is paced.
      this.requestUpdate();
      await this.updateComplete;
      await form.updateComplete;
      await session.savePreferences(form.chosen());
      this.saved = true;
    } catch (error) {
      this.preferencesRefusal = refusal(error);
    } finally {
      this.saving = false;
      this.requestUpdate();
    }
  };

  private readonly send = async (event: CustomEvent<Draft>): Promise<void> => {
    const form = event.target as CbCompose;
    const { session } = this;
    if (session === null) return;
    this.sending = true;
    this.refusal = null;
    this.sent = null;
    this.requestUpdate();
    try {
      const became = await session.send(event.detail);
      const people = event.detail.user_ids.map((id) => this.names.get(id) ?? id);
      this.sent = outcomeOf(people, became, Date.now());
      form.clear();
    } catch (error) {
      this.refusal = refusal(error);
    } finally {
      this.sending = false;
      this.requestUpdate();
    }
  };
}

customElements.define("cb-console", CbConsole);

function refusal(error: unknown): Refusal {
  return {
    message: error instanceof Error ? error.message : String(error),
    field: error instanceof RestError ? error.field : null,
    unreached: error instanceof RestError && error.status === 0,
  };
}

/** The text that a hash stands for; as it is where it is no proper escape. */
function decoded(hash: string): string {
  try {
    return decodeURIComponent(hash);
  } catch {
    return hash;
  }
}
