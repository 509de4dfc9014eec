/**
 * What differs for one type, as a row of the preferences.
 *
 * Owns: the row's markup and words. Never: the settings; each change gives new ones.
 */

import { html } from "lit";
import type { TypeSettings } from "../client/wire";
import { removeButton } from "./chip";

export const PLAIN: TypeSettings = { muted: false, quiet_hours: true, attention: true };

export interface TypeActions {
  readonly set: (type: string, settings: TypeSettings) => void;
  readonly remove: (type: string) => void;
}

export function typeRow(type: string, settings: TypeSettings, { set, remove }: TypeActions): unknown {
  const option = (words: string, checked: boolean, chosen: (checked: boolean) => Partial<TypeSettings>): unknown => {
    const change = ({ target }: Event): void =>
      set(type, { ...settings, ...chosen((target as HTMLInputElement).checked) });
    return html`<label><input type="checkbox" name="own" .checked=${checked} @change=${change} />${words}</label>`;
  };
  return html`
    <li>
      <span>${type}</span>
      <div class="options" role="group" aria-label="Settings of ${type}">
        ${option("Muted", settings.muted, (muted) => ({ muted }))}
        ${option("Passes quiet hours", !settings.quiet_hours, (passes) => ({ quiet_hours: !passes }))}
        ${option("Passes busy and do not disturb", !settings.attention, (passes) => ({ attention: !passes }))}
      </div>
      ${removeButton("Remove", `Remove the settings of ${type}`, () => remove(type))}
    </li>
  `;
}
