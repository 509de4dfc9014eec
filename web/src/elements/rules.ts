/**
 * What the page says of a value before it asks the server.
 *
 * Owns: the server's rules that it states as a pattern, in words for a person. Never: a rule that the server's own
 * words explain.
 */

const TYPE = /^[a-z0-9][a-z0-9_.:-]{0,63}$/;
const RESOURCE_TYPE = /^[a-z0-9][a-z0-9_.-]{0,63}$/;
const MAX_RESOURCE_ID = 200;
const UNSEEN = /^[\p{Z}\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}\u2800]*$/u;

/** What is wrong with a type; null if nothing is. */
export function typeFlaw(type: string): string | null {
  if (TYPE.test(type)) return null;
  return "A type has small letters, digits and . _ : - (a letter or digit first), at most 64.";
}

/** What is wrong with the type of a resource; null if nothing is. */
export function resourceTypeFlaw(type: string): string | null {
  if (RESOURCE_TYPE.test(type)) return null;
  return "The type of a resource has small letters, digits and . _ - (a letter or digit first), at most 64.";
}

/** What is wrong with the id of a resource; null if nothing is. */
export function resourceIdFlaw(id: string): string | null {
  if (id === "") return "Say which one: give its id too.";
  return [...id].length > MAX_RESOURCE_ID ? `An id has at most ${MAX_RESOURCE_ID} characters.` : null;
}

/** What is wrong with a title; null if nothing is that can be told without the server. */
export function titleFlaw(title: string): string | null {
  return UNSEEN.test(title) ? "Give it a title that can be read: this one is blank." : null;
}
