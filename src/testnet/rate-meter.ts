/** How fast a count grows lately: over the last few seconds. Pure; time comes in. */

const WINDOW_MS = 3000;

interface Sample {
  readonly atMs: number;
  readonly value: number;
}

/** One count. */
export class RateMeter {
  private readonly samples: Sample[] = [];

  /** Note what the count is now. */
  note(atMs: number, value: number): void {
    this.samples.push({ atMs, value });
    while (this.samples.length > 2 && this.samples[1]!.atMs <= atMs - WINDOW_MS) this.samples.shift();
  }

  /** Its growth per second. */
  get rate(): number {
    const first = this.samples[0];
    const last = this.samples[this.samples.length - 1];
    if (first === undefined || last === undefined || last.atMs <= first.atMs) return 0;
    return Math.max(0, ((last.value - first.value) * 1000) / (last.atMs - first.atMs));
  }
}
