/**
 * Telling the server what a person has seen.
 *
 * Owns: what is told in one request, and that each arrival is told once. What could not be told is told later. Never:
 * what is on the screen, a message to the person: that this fails is nothing to them.
 */

/** As many as the server takes in one request. */
const MOST = 100;
const WAIT_MS = 500;

export class SeenReports {
  private readonly pending = new Map<string, string>();
  private readonly told = new Set<string>();
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly send: (ids: readonly string[]) => Promise<void>) {}

  /** `arrival` tells apart the arrivals of one id: a group that has grown is seen anew. */
  add(id: string, arrival: string): void {
    if (this.told.has(id + arrival)) return;
    this.told.add(id + arrival);
    this.pending.set(id, arrival);
    this.timer ??= setTimeout(() => void this.flush(), WAIT_MS);
  }

  /** Sends what waits; what fails waits for the next call. */
  async flush(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    while (this.pending.size > 0) {
      const batch = [...this.pending].slice(0, MOST);
      for (const [id] of batch) this.pending.delete(id);
      try {
        await this.send(batch.map(([id]) => id));
      } catch {
        for (const [id, arrival] of batch) this.pending.set(id, arrival);
        return;
      }
    }
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.pending.clear();
  }
}
