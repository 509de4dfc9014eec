/**
 * `<cb-preferences>`: which notifications a person wants, and when.
 *
 * Owns: the form and what is said about it. Fires `cb-preferences-save` (what to save is `chosen`) and
 * `cb-preferences-close`, the latter not before a person knows what is unsaved. Never: the saving, or a rule of the
 * server's repeated here but for those in `rules.ts`: a refusal is shown in the server's words, beside the field that
 * it names.
 */

import { html, LitElement, nothing, type PropertyValues } from "lit";
import type { Day, Preferences, TypeSettings } from "../client/wire";
import { type Adder, type AdderActions, adderRow, refusedInput } from "./adder";
import { chip } from "./chip";
import { type Choices, isUnsaved, rebased, rebasedHours, rebasedSettings, resourceOf, resourceText } from "./choices";
import { preferencesStyles } from "./preferences-styles";
import { HOURS_FIELDS, hoursFields } from "./quiet-hours";
import { concerns, edited, type Refusal, replaced } from "./refusal";
import { resourceIdFlaw, resourceTypeFlaw, typeFlaw } from "./rules";
import { theme } from "./theme";
import { PLAIN, typeRow } from "./type-settings";

const FIELDS = ["muted_types", "muted_resources", ...HOURS_FIELDS, "types"];

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
  /** The muted resources, each as `resourceText`. */
  private resources: readonly string[] = [];
  private settings: Choices["types"] = {};
  private quiet = false;
  /** What the fields of quiet hours were filled with; null for what is stored. */
  private hours: Choices["quiet_hours"] = null;
  /** The refusal that is said: the page's, or that of something which was not added. */
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
    const [mutedBefore, mutedNow] = [before?.muted_resources ?? [], now.muted_resources];
    this.resources = rebased(this.resources, mutedBefore.map(resourceText), mutedNow.map(resourceText));
    this.settings = rebasedSettings(this.settings, before?.types ?? {}, now.types);
    const hours = before ? this.chosen().quiet_hours : null;
    this.hours = rebasedHours(hours, before?.quiet_hours ?? null, now.quiet_hours);
    this.quiet = this.hours !== null;
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
              ${this.mutedTypes()} ${this.mutedResources()} ${this.quietHours()} ${this.typeSettings()} ${this.foot()}
            </form>
          `}
    `;
  }

  private mutedTypes(): unknown {
    const remove = (type: string): void => {
      this.muted = this.muted.filter((one) => one !== type);
      this.removed(this.mutedTypesAdder);
    };
    return html`
      <fieldset>
        <legend>Muted types</legend>
        <p class="hint" id="mute-hint">You get nothing of these types.</p>
        ${list("Muted types", "", this.muted.map((type) => chip(type, () => remove(type))))}
        ${adderRow(this.mutedTypesAdder, this.told, this.adding, without(this.types, this.muted))}
      </fieldset>
    `;
  }

  private mutedResources(): unknown {
    const remove = (resource: string): void => {
      this.resources = this.resources.filter((one) => one !== resource);
      this.removed(this.resourcesAdder);
    };
    return html`
      <fieldset>
        <legend>Muted resources</legend>
        <p class="hint" id="resource-hint">You get nothing about these: a type and an id, such as episode 4.</p>
        ${list("Muted resources", "", this.resources.map((one) => chip(one, () => remove(one))))}
        ${adderRow(this.resourcesAdder, this.told, this.adding)}
      </fieldset>
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
        ${this.quiet ? hoursFields(this.hours ?? this.preferences?.quiet_hours ?? null, this.told) : nothing}
      </fieldset>
    `;
  }

  private typeSettings(): unknown {
    const set = (type: string, settings: TypeSettings): void => {
      this.settings = { ...this.settings, [type]: settings };
      this.changed(["types"]);
    };
    const remove = (type: string): void => {
      this.settings = Object.fromEntries(Object.entries(this.settings).filter(([one]) => one !== type));
      this.removed(this.settingsAdder);
    };
    const types = Object.entries(this.settings);
    return html`
      <fieldset>
        <legend>Types with settings of their own</legend>
        <p class="hint" id="own-hint">These can be muted, or come at once while others are held.</p>
        ${list("Types with settings of their own", "own", types.map(([type, own]) => typeRow(type, own, { set, remove })))}
        ${adderRow(this.settingsAdder, this.told, this.adding, without(this.types, Object.keys(this.settings)))}
      </fieldset>
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

  private readonly edited = ({ target }: Event): void => {
    const { id, name } = target as HTMLInputElement;
    const adder = this.adderOf(id);
    if (adder !== undefined) this.changed([adder.field]);
    else if (name === "own") this.changed(["types"]);
    else if (id === "quiet") this.changed(HOURS_FIELDS);
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

  private readonly escape = (event: KeyboardEvent): void => {
    if (event.key !== "Escape" || event.isComposing) return;
    event.preventDefault();
    this.close();
  };

  private isUnsaved(): boolean {
    if (this.preferences === null) return false;
    return this.adders.some((adder) => this.isTyped(adder)) || isUnsaved(this.preferences, this.chosen());
  }

  /** What the form says, as it would be stored. */
  chosen(): Choices {
    return {
      muted_types: this.muted,
      muted_resources: this.resources.map(resourceOf),
      quiet_hours: this.quiet ? this.chosenHours() : null,
      types: this.settings,
    };
  }

  private readonly mutedTypesAdder: Adder = {
    inputs: [{ id: "mute", label: "Type to mute", placeholder: "episode:updated", field: "muted_types" }],
    field: "muted_types",
    what: "muted type",
    hint: "mute-hint",
    take: (type = "") => {
      const flaw = typeFlaw(type);
      if (flaw !== null) return { message: flaw, field: "muted_types" };
      this.muted = [...new Set([...this.muted, type])];
      return null;
    },
  };

  private readonly resourcesAdder: Adder = {
    inputs: [
      { id: "resource-type", label: "Resource type", placeholder: "episode", field: "muted_resources.type" },
      { id: "resource-id", label: "Resource id", placeholder: "4", field: "muted_resources.id" },
    ],
    field: "muted_resources",
    what: "muted resource",
    hint: "resource-hint",
    take: (type = "", id = "") => {
      const [wrongType, wrongId] = [resourceTypeFlaw(type), resourceIdFlaw(id)];
      if (wrongType !== null) return { message: wrongType, field: "muted_resources.type" };
      if (wrongId !== null) return { message: wrongId, field: "muted_resources.id" };
      this.resources = [...new Set([...this.resources, resourceText({ type, id })])];
      return null;
    },
  };

  private readonly settingsAdder: Adder = {
    inputs: [{ id: "own", label: "Type to set apart", placeholder: "episode:updated", field: "types" }],
    field: "types",
    what: "settings of a type",
    hint: "own-hint",
    take: (type = "") => {
      const flaw = typeFlaw(type);
      if (flaw !== null) return { message: flaw, field: "types" };
      if (!Object.hasOwn(this.settings, type)) this.settings = { ...this.settings, [type]: PLAIN };
      return null;
    },
  };

  private readonly adders = [this.mutedTypesAdder, this.resourcesAdder, this.settingsAdder];

  private readonly adding: AdderActions = {
    add: (adder) => void this.add(adder),
    keys: (event) => {
      const adder = this.adderOf((event.target as HTMLInputElement).id);
      if (event.key !== "Enter" || adder === undefined || !this.isTyped(adder)) return;
      event.preventDefault();
      this.add(adder);
    },
  };

  private adderOf(id: string): Adder | undefined {
    return this.adders.find(({ inputs }) => inputs.some((input) => input.id === id));
  }

  private isTyped({ inputs }: Adder): boolean {
    return inputs.some(({ id }) => this.input(id).value.trim() !== "");
  }

  /** Whether what is typed is now in the list; what cannot be is told at once. */
  private add(adder: Adder): boolean {
    const inputs = adder.inputs.map(({ id }) => this.input(id));
    const flaw = adder.take(...inputs.map(({ value }) => value.trim()));
    if (flaw === null) {
      for (const input of inputs) input.value = "";
      this.changed([adder.field]);
    } else {
      this.told = flaw;
      this.requestUpdate();
    }
    this.input((refusedInput(adder, flaw) ?? adder.inputs[0]).id).focus();
    return flaw === null;
  }

  /** The pressed button is gone: one goes on where more can be added. */
  private removed({ inputs: [first], field }: Adder): void {
    this.changed([field]);
    this.input(first.id).focus();
  }

  private submit(event: Event): void {
    event.preventDefault();
    if (this.busy) return;
    if (!this.adders.every((adder) => !this.isTyped(adder) || this.add(adder))) return;
    this.told = null;
    this.fire("cb-preferences-save");
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

function list(words: string, kind: string, items: readonly unknown[]): unknown {
  return items.length === 0 ? nothing : html`<ul role="list" class=${kind} aria-label=${words}>${items}</ul>`;
}

function without(all: readonly string[], some: readonly string[]): string[] {
  return all.filter((each) => !some.includes(each));
}

customElements.define("cb-preferences", CbPreferences);
