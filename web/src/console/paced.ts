/**
 * One call for all that asks for one within a frame.
 *
 * Owns: when. Not by requestAnimationFrame: a page in the background has none, and its title tells the count too.
 * Never: what is called.
 */

/** Milliseconds from one call to the next, at least. */
export const FRAME_MS = 16;

export class Paced {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private at = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly call: () => void,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Calls at once if it has not for a frame, and otherwise once that is over. */
  ask(): void {
    if (this.timer !== undefined) return;
    const wait = this.at + FRAME_MS - this.now();
    if (wait <= 0) this.run();
    else this.timer = setTimeout(() => this.run(), wait);
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private run(): void {
    this.timer = undefined;
    this.at = this.now();
    this.call();
  }
}
