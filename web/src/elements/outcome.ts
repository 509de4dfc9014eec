/**
 * What became of a notification that was sent, in words for whoever sent it.
 *
 * Owns: those words. Pure. Never: a decision, or a guess at one: of several people the server tells numbers only.
 */

import type { Became, Counted, Decision } from "../client/wire";
import { futureTime } from "./relative-time";

export interface Outcome {
  readonly words: string;
  /** Whether it arrived at once with all. */
  readonly delivered: boolean;
}

/** `people`: the names of the recipients. `now`: milliseconds since 1970. */
export function outcomeOf(people: readonly string[], became: Became, now: number): Outcome {
  if ("decision" in became) return ofOne(people.join(", "), became.decision, now);
  return ofSeveral(people, became);
}

function ofOne(name: string, { outcome, rule, held_until: until }: Decision, now: number): Outcome {
  switch (outcome) {
    case "now":
      return { words: `Sent to ${name}.`, delivered: true };
    case "held":
      return { words: held(name, rule, until === null ? null : futureTime(until, now)), delivered: false };
    case "folded":
      return { words: `Folded into an earlier one that ${name} has not read.`, delivered: true };
    case "suppressed":
      return { words: suppressed(name, rule), delivered: false };
  }
}

function held(name: string, rule: string | null, until: string | null): string {
  const why = rule === "quiet_hours" ? `${name} has quiet hours.` : `${name} is not to be disturbed now.`;
  return until === null ? `Held until that changes: ${why}` : `Held until ${until}: ${why}`;
}

function suppressed(name: string, rule: string | null): string {
  if (rule === "rate_limited") return `${name} is over the hourly limit: it was not delivered.`;
  const what = rule === "muted_resource" ? "what this is about" : "this type";
  return `${name} has muted ${what}: it was not delivered.`;
}

function ofSeveral(people: readonly string[], { created, held, folded, suppressed }: Counted): Outcome {
  const { muted, rate_limited: limited } = suppressed;
  const all = created + held + folded + muted + limited;
  if (created === all) return { words: `Sent to ${people.join(", ")}.`, delivered: true };
  const rest = [
    held === 0 ? "" : `held for ${held} until later`,
    folded === 0 ? "" : `folded for ${folded} into an earlier unread one`,
    muted === 0 ? "" : `${muted} ${muted === 1 ? "has" : "have"} muted it`,
    limited === 0 ? "" : `${limited} ${limited === 1 ? "is" : "are"} over the hourly limit`,
  ].filter((part) => part !== "");
  const words = `Sent to ${created === 0 ? "none" : created} of ${all}; ${rest.join(", ")}.`;
  return { words, delivered: created + folded === all };
}
