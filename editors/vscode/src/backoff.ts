// When a server that ended is started again.

const FIRST_DELAY_MS = 1_000;
const LONGEST_DELAY_MS = 60_000;
const HEALTHY_AFTER_MS = 3 * 60_000;
const MOST_IN_A_ROW = 5;

/** Doubles the wait with each end in a row, and gives up after the fifth. */
export class Backoff {
  private inARow = 0;
  private startedAt: number | undefined;

  /** To be called when a server was started; `now` in milliseconds. */
  started(now: number): void {
    this.startedAt = now;
  }

  /** Return how long to wait before the next start, or undefined: do not start again. */
  ended(now: number): number | undefined {
    if (this.startedAt !== undefined && now - this.startedAt >= HEALTHY_AFTER_MS) {
      this.inARow = 0;
    }
    this.startedAt = undefined;
    this.inARow += 1;
    if (this.inARow > MOST_IN_A_ROW) {
      return undefined;
    }
    return Math.min(FIRST_DELAY_MS * 2 ** (this.inARow - 1), LONGEST_DELAY_MS);
  }

  /** Somebody started it by hand: what was before does not count. */
  reset(): void {
    this.inARow = 0;
    this.startedAt = undefined;
  }
}
