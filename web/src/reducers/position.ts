/**
 * Places in the log: "{epoch}.{seq}".
 *
 * Owns: their order. Never: an order between two epochs; the log was begun anew there.
 */

/** Negative, zero or positive as `a` is before, at or after `b`; null when they cannot be compared. */
export function comparePositions(a: string | null, b: string | null): number | null {
  if (a === null || b === null) return null;
  const [epochA, seqA] = split(a);
  const [epochB, seqB] = split(b);
  return epochA === epochB ? seqA - seqB : null;
}

/** The later of two; of two that cannot be compared, the incoming one. */
export function laterPosition(held: string | null, incoming: string | null): string | null {
  if (incoming === null) return held;
  const order = comparePositions(incoming, held);
  return order !== null && order < 0 ? held : incoming;
}

function split(position: string): [string, number] {
  const dot = position.lastIndexOf(".");
  return [position.slice(0, dot), Number(position.slice(dot + 1))];
}
