/**
 * When notifications wait: the fields of quiet hours.
 *
 * Owns: their markup, their names, and what a person who has none begins with. Never: what is chosen; the form reads
 * it from the fields.
 */

import { html, nothing } from "lit";
import type { Day, QuietHours } from "../client/wire";
import { concerns, type Refusal } from "./refusal";

const DAYS: readonly (readonly [Day, string])[] = [
  ["mon", "Monday"],
  ["tue", "Tuesday"],
  ["wed", "Wednesday"],
  ["thu", "Thursday"],
  ["fri", "Friday"],
  ["sat", "Saturday"],
  ["sun", "Sunday"],
];

/** What a refusal may name. */
export const HOURS_FIELDS = ["quiet_hours.start", "quiet_hours.end", "quiet_hours.timezone", "quiet_hours.days"];

/** `quiet`: those that are stored. */
export function hoursFields(quiet: QuietHours | null, told: Refusal | null): unknown {
  const days = new Set(quiet?.days ?? DAYS.map(([day]) => day));
  return html`
    <div class="hours">
      ${field("start", "From", "time", quiet?.start ?? "22:00", told)}
      ${field("end", "To", "time", quiet?.end ?? "07:00", told)}
      ${field("timezone", "Time zone", "text", quiet?.timezone ?? localZone(), told)}
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
    ${errorOf("quiet_hours.days", told)}
  `;
}

function field(
  name: "start" | "end" | "timezone",
  label: string,
  type: string,
  value: string,
  told: Refusal | null,
): unknown {
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
        aria-invalid=${concerns(told, path) ? "true" : "false"}
        aria-describedby="${path}-error"
      />
      ${errorOf(path, told)}
    </div>
  `;
}

function errorOf(path: string, told: Refusal | null): unknown {
  return concerns(told, path) ? html`<p class="error" id="${path}-error" role="alert">${told?.message}</p>` : nothing;
}

function localZone(): string {
  return new Intl.DateTimeFormat().resolvedOptions().timeZone;
}

function zones(): readonly string[] {
  return Intl.supportedValuesOf("timeZone");
}
