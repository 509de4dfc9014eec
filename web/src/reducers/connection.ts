/**
 * What a person should know about the live connection.
 *
 * Owns: the phases and what leads from one to the next. Never: a timer or a socket.
 */

export type Phase = "connecting" | "live" | "reconnecting" | "refused" | "closed";

export interface Connection {
  readonly phase: Phase;
  /** The server's words, where it gave any. */
  readonly message: string | null;
  readonly code: string | null;
}

export type ConnectionEvent =
  | { readonly kind: "opening" }
  | { readonly kind: "connected"; readonly recovered: boolean }
  | { readonly kind: "lost"; readonly reason: string; readonly retrying: boolean }
  | { readonly kind: "failed"; readonly message: string; readonly code: string | null; readonly retrying: boolean };

export const INITIAL_CONNECTION: Connection = { phase: "connecting", message: null, code: null };

export function reduceConnection(connection: Connection, event: ConnectionEvent): Connection {
  switch (event.kind) {
    case "opening":
      return INITIAL_CONNECTION;
    case "connected":
      return { phase: "live", message: null, code: null };
    case "lost":
      return { phase: event.retrying ? "reconnecting" : "closed", message: null, code: null };
    case "failed":
      return { phase: failedPhase(connection.phase, event.retrying), message: event.message, code: event.code };
  }
}

/** A first try that failed is still a first try: nothing was lost that could come back. */
function failedPhase(phase: Phase, retrying: boolean): Phase {
  if (!retrying) return "refused";
  return phase === "connecting" ? "connecting" : "reconnecting";
}
