/**
 * `<cb-preferences>`: which notifications a person wants, and when.
 *
 * Owns: the form and what is said about it. Fires `cb-preferences-save` (`detail` is a PreferencesUpdate) and
 * `cb-preferences-close`, the latter not before a person knows what is unsaved. Never: the saving, or a rule of the
 * server's repeated here but for those in `rules.ts`: a refusal is shown in the server's words, beside the field that
 * it names.
 */

import { html, LitElement, nothing, type PropertyValues } from "lit";
import type { Day, Preferences, PreferencesUpdate } from "../client/wire";
import { isUnsaved, rebased, sameHours } from "./choices";
import { preferencesStyles } from "./preferences-styles";
import { concerns, edited, type Refusal, replaced } from "./refusal";
import { typeFlaw } from "./rules";
import { theme } from "./theme";

const DAYS: readonly (readonly [Day, string])[] = [
  ["mon", "Monday"],
  ["tue", "Tuesday"],
  ["wed", "Wednesday"],
  ["thu", "Thursday"],
  ["fri", "Friday"],
  ["sat", "Saturday"],
  ["sun", "Sunday"],
];
const FIELDS = ["muted_types", "quiet_hours.start", "quiet_hours.end", "quiet_hours.timezone", "quiet_hours.days"];

export class CbPreferences extends LitElement {
  static override properties = {
    preferences: { attribute: false },
    types: { attribute: false },
    busy: { type: Boolean },
    refusal: { attribute: false },
    saved: { type: Boolean },
  };
  static override styles = [theme, preferencesStyles];

  /** Null until they are known. */
  declare preferences: Preferences | null;
  /** Types to suggest. */
  declare types: readonly string[];
  declare busy: boolean;
  declare refusal: Refusal | null;
  /** Whether they are stored as they are shown. */
  declare saved: boolean;

  private muted: readonly string[] = [];
  private quiet = false;
  /** The refusal that is said: the page's, or that of a type which was not added. */
  private told: Refusal | null = null;
  /** Whether somebody wants to close it and is asked about what is unsaved. */
  private leaving = false;

  constructor() {
    super();
    this.preferences = null;
    this.types = [];
    this.busy = false;
    this.refusal = null;
    this.saved = false;
    this.addEventListener("keydown", this.escape);
  }

  /** Closes it, unless something is unsaved: then a person decides. */
  close(): void {
    if (!this.isUnsaved()) {
      this.fire("cb-preferences-close");
      return;
    }
    this.leaving = true;
    this.requestUpdate();
    this.renderRoot.querySelector<HTMLElement>(".foot button")?.focus();
  }

  override focus(): void {
    this.renderRoot.querySelector<HTMLElement>("h2")?.focus();
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("refusal")) this.told = replaced(this.told, changed.get("refusal"), this.refusal);
    if (changed.has("saved") && this.saved) this.leaving = false;
    if (changed.has("preferences") && this.preferences !== null) this.fill(this.preferences, changed.get("preferences"));
  }

  /** What was chosen here and not saved stays when others are stored. */
  private fill(now: Preferences, before: Preferences | null | undefined): void {
    this.muted = rebased(this.muted, before?.muted_types ?? [], now.muted_types);
    if (!before || !sameHours(before.quiet_hours, now.quiet_hours)) this.quiet = now.quiet_hours !== null;
  }

  protected override updated(changed: PropertyValues<this>): void {
    if (!changed.has("refusal") || this.refusal === null) return;
    this.renderRoot.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }

  protected override render(): unknown {
    return html`
      <header>
        <h2 id="heading" tabindex="-1">Preferences</h2>
        <button type="button" class="quiet" @click=${() => this.close()}>Close</button>
      </header>
      ${this.preferences === null
        ? html`<p class="waiting" role="status">Loading preferences…</p>`
        : html`
            <form aria-labelledby="heading" novalidate @submit=${this.submit} @input=${this.edited}>
              ${this.mutes()} ${this.quietHours()} ${this.foot()}
            </form>
          `}
    `;
  }

  private mutes(): unknown {
    return html`
      <fieldset>
        <legend>Muted types</legend>
        <p class="hint" id="mute-hint">You get nothing of these types.</p>
        ${this.muted.length === 0 ? nothing : html`<ul role="list" aria-label="Muted types">${this.muted.map((type) => this.chip(type))}</ul>`}
        <div class="add">
          <input
            id="mute"
            list="types"
            aria-label="Type to mute"
            placeholder="episode:updated"
            autocomplete="off"
            autocapitalize="none"
            spellcheck="false"
            aria-invalid=${this.isRefused("muted_types")}
            aria-describedby="mute-hint muted_types-error"
            @keydown=${this.keys}
          />
          <button type="button" class="plain" @click=${() => this.add()}>Add</button>
        </div>
        <datalist id="types">
          ${this.types.filter((type) => !this.muted.includes(type)).map((type) => html`<option value=${type}></option>`)}
        </datalist>
        ${this.error("muted_types")}
      </fieldset>
    `;
  }

  private chip(type: string): unknown {
    const remove = (): void => {
      this.muted = this.muted.filter((one) => one !== type);
      this.changed(["muted_types"]);
      this.input("mute").focus();
    };
    return html`
      <li>
        <span>${type}</span>
        <button type="button" aria-label="Unmute ${type}" title="Unmute" @click=${remove}>
          <svg viewBox="0 0 24 24" aria-hidden="true"><path d="m7 7 10 10M17 7 7 17" /></svg>
        </button>
      </li>
    `;
  }

  private quietHours(): unknown {
    const toggle = ({ target }: Event): void => {
      this.quiet = (target as HTMLInputElement).checked;
      this.requestUpdate();
    };
    return html`
      <fieldset>
        <legend>Quiet hours</legend>
        <label class="check">
          <input id="quiet" type="checkbox" .checked=${this.quiet} @change=${toggle} />
          Hold notifications until quiet hours end
        </label>
        ${this.quiet ? this.hours() : nothing}
      </fieldset>
    `;
  }

  private hours(): unknown {
    const quiet = this.preferences?.quiet_hours;
    const days = new Set(quiet?.days ?? DAYS.map(([day]) => day));
    return html`
      <div class="hours">
        ${this.field("start", "From", "time", quiet?.start ?? "22:00")}
        ${this.field("end", "To", "time", quiet?.end ?? "07:00")}
        ${this.field("timezone", "Time zone", "text", quiet?.timezone ?? localZone())}
      </div>
      <datalist id="zones">${zones().map((zone) => html`<option value=${zone}></option>`)}</datalist>
      <div class="days" role="group" aria-label="Days on which they begin" aria-describedby="quiet_hours.days-error">
        ${DAYS.map(
          ([day, name]) => html`
            <label title=${name}>
              <input type="checkbox" name="day" value=${day} aria-label=${name} .checked=${days.has(day)} />
              ${name.slice(0, 3)}
            </label>
          `,
        )}
      </div>
      ${this.error("quiet_hours.days")}
    `;
  }

  private field(name: "start" | "end" | "timezone", label: string, type: string, value: string): unknown {
    const path = `quiet_hours.${name}`;
    return html`
      <div class=${name}>
        <label for=${name}>${label}</label>
        <input
          id=${name}
          type=${type}
          list=${name === "timezone" ? "zones" : nothing}
          autocomplete="off"
          spellcheck="false"
          .value=${value}
          aria-invalid=${this.isRefused(path)}
          aria-describedby="${path}-error"
        />
        ${this.error(path)}
      </div>
    `;
  }

  private foot(): unknown {
    const { told } = this;
    const elsewhere = told !== null && !FIELDS.some((field) => concerns(told, field));
    return html`
      <div class="foot">
        <button class="primary" aria-disabled=${this.busy}>${this.busy ? "Saving…" : "Save"}</button>
        ${this.leaving ? this.unsaved() : nothing}
        <span class="saved" role="status">${this.saved ? "Saved." : nothing}</span>
        ${elsewhere ? html`<span class="error" role="alert">${told.message}</span>` : nothing}
      </div>
    `;
  }

  private unsaved(): unknown {
    return html`
      <button type="button" class="plain" @click=${() => this.fire("cb-preferences-close")}>Discard changes</button>
      <span class="unsaved" role="alert">Your changes are not saved.</span>
    `;
  }

  private error(field: string): unknown {
    return concerns(this.told, field)
      ? html`<p class="error" id="${field}-error" role="alert">${this.told?.message}</p>`
      : nothing;
  }

  private isRefused(field: string): "true" | "false" {
    return concerns(this.told, field) ? "true" : "false";
  }

  private readonly edited = ({ target }: Event): void => {
    const { id, name } = target as HTMLInputElement;
    if (id === "mute") this.changed(["muted_types"]);
    else if (id === "quiet") this.changed(FIELDS.filter((field) => field.startsWith("quiet_hours")));
    else if (name === "day") this.changed(["quiet_hours.days"]);
    // Start and end are refused together: that they are the same is said of one of them.
    else if (id === "timezone") this.changed(["quiet_hours.timezone"]);
    else this.changed(["quiet_hours.start", "quiet_hours.end"]);
  };

  private changed(fields: readonly string[]): void {
    this.saved = false;
    this.leaving = false;
    this.told = edited(this.told, fields);
    this.requestUpdate();
  }

  private readonly keys = (event: KeyboardEvent): void => {
    if (event.key !== "Enter" || this.input("mute").value.trim() === "") return;
    event.preventDefault();
    this.add();
  };

  private readonly escape = (event: KeyboardEvent): void => {
    if (event.key !== "Escape" || event.isComposing) return;
    event.preventDefault();
    this.close();
  };

  private isUnsaved(): boolean {
    if (this.preferences === null) return false;
    return this.input("mute").value.trim() !== "" || isUnsaved(this.preferences, this.chosen());
  }

  private chosen(): Required<Pick<PreferencesUpdate, "muted_types" | "quiet_hours">> {
    return { muted_types: this.muted, quiet_hours: this.quiet ? this.chosenHours() : null };
  }

  /** Whether what is typed is now among the muted ones; a type that cannot be is told at once. */
  private add(): boolean {
    const input = this.input("mute");
    const type = input.value.trim();
    const flaw = typeFlaw(type);
    input.focus();
    if (flaw === null) {
      this.muted = [...new Set([...this.muted, type])];
      input.value = "";
      this.changed(["muted_types"]);
    } else {
      this.told = { message: flaw, field: "muted_types" };
      this.requestUpdate();
    }
    return flaw === null;
  }

  private submit(event: Event): void {
    event.preventDefault();
    if (this.busy) return;
    if (this.input("mute").value.trim() !== "" && !this.add()) return;
    this.told = null;
    this.fire("cb-preferences-save", this.chosen());
  }

  private chosenHours(): NonNullable<Preferences["quiet_hours"]> {
    const days = this.renderRoot.querySelectorAll<HTMLInputElement>('input[name="day"]:checked');
    return {
      start: this.input("start").value,
      end: this.input("end").value,
      timezone: this.input("timezone").value.trim(),
      days: [...days].map(({ value }) => value as Day),
    };
  }

  private input(id: string): HTMLInputElement {
    return this.renderRoot.querySelector<HTMLInputElement>(`#${id}`) as HTMLInputElement;
  }

  private fire(name: string, detail: object = {}): void {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }
}

function localZone(): string {
  return new Intl.DateTimeFormat().resolvedOptions().timeZone;
}

function zones(): readonly string[] {
  return Intl.supportedValuesOf("timeZone");
}

customElements.define("cb-preferences", CbPreferences);
