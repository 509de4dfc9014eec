/**
 * What is added to a list of a form.
 *
 * Owns: the inputs with their button, and which of them a refusal is about. Never: the list, or when to add.
 */

import { html, nothing } from "lit";
import { concerns, type Refusal } from "./refusal";

export interface AdderInput {
  readonly id: string;
  readonly label: string;
  readonly placeholder: string;
  /** What a refusal of it names. */
  readonly field: string;
}

export interface Adder {
  readonly inputs: readonly [AdderInput, ...AdderInput[]];
  /** What a refusal of the list names. */
  readonly field: string;
  /** What the button adds, for those who do not see where it stands. */
  readonly what: string;
  /** The id of the words that say what being in the list means. */
  readonly hint: string;
  /** Adds what was typed, or says what is wrong with it. */
  readonly take: (...typed: string[]) => Refusal | null;
}

export interface AdderActions {
  readonly add: (adder: Adder) => void;
  readonly keys: (event: KeyboardEvent) => void;
}

/** The input that is refused: the one that is named, or of a refused list the first. */
export function refusedInput({ inputs, field }: Adder, told: Refusal | null): AdderInput | null {
  if (!concerns(told, field)) return null;
  return inputs.find((input) => concerns(told, input.field)) ?? inputs[0];
}

/** `suggested`: what the first input may be. */
export function adderRow(
  adder: Adder,
  told: Refusal | null,
  { add, keys }: AdderActions,
  suggested: readonly string[] = [],
): unknown {
  const { inputs, field, what, hint } = adder;
  const refused = refusedInput(adder, told);
  return html`
    <div class="add">
      ${inputs.map(
        (input, at) => html`
          <input
            id=${input.id}
            list=${at === 0 && suggested.length > 0 ? `${input.id}-suggested` : nothing}
            aria-label=${input.label}
            placeholder=${input.placeholder}
            autocomplete="off"
            autocapitalize="none"
            spellcheck="false"
            aria-invalid=${input === refused ? "true" : "false"}
            aria-describedby="${hint} ${field}-error"
            @keydown=${keys}
          />
        `,
      )}
      <button type="button" class="plain" aria-label="Add ${what}" @click=${() => add(adder)}>Add</button>
    </div>
    <datalist id="${inputs[0].id}-suggested">${suggested.map((each) => html`<option value=${each}></option>`)}</datalist>
    ${refused === null ? nothing : html`<p class="error" id="${field}-error" role="alert">${told?.message}</p>`}
  `;
}
