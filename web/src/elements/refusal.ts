/**
 * What is said about a form that was not done.
 *
 * Owns: which field it is about, and until when it is said. Never: where it is shown.
 */

export interface Refusal {
  readonly message: string;
  /** The name of the field that was refused, where the server named one. */
  readonly field: string | null;
  /** Whether the server was not reached: no more to be said once it is. */
  readonly unreached?: boolean;
}

/** Whether it is about that field or a part of it: "muted_types[2]" is about "muted_types". */
export function concerns(refusal: Refusal | null, path: string): boolean {
  const field = refusal?.field ?? null;
  return field !== null && (field === path || field.startsWith(`${path}[`) || field.startsWith(`${path}.`));
}

/** What is still to be said once these fields were edited. */
export function edited(refusal: Refusal | null, fields: readonly string[]): Refusal | null {
  return fields.some((field) => concerns(refusal, field)) ? null : refusal;
}

/** What is still to be said once the server is there. */
export function reached(refusal: Refusal | null): Refusal | null {
  return refusal?.unreached === true ? null : refusal;
}

/** What is said after the page's refusal changed: what the form itself found wrong stays. */
export function replaced(said: Refusal | null, before: Refusal | null | undefined, now: Refusal | null): Refusal | null {
  return now !== null || said === before ? now : said;
}
