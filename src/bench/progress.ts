/**
 * Progress of a long run on a stream beside the results: one line that changes on a terminal, else a line now and then.
 */
import { monotonicMs } from '../time/clock.ts';

/** Takes text. */
export interface Out {
  write(text: string): void;
  readonly isTTY?: boolean | undefined;
}

const TERMINAL_MS = 100;
const LINE_MS = 5000;

/** Tells how far things are. */
export class Progress {
  private readonly out: Out;
  private saidMs = Number.NEGATIVE_INFINITY;
  private shown = 0;

  constructor(out: Out) {
    this.out = out;
  }

  /** Say where things stand, unless it was said a moment ago. */
  tell(text: string): void {
    const nowMs = monotonicMs();
    if (nowMs - this.saidMs < (this.out.isTTY ? TERMINAL_MS : LINE_MS)) return;
    this.saidMs = nowMs;
    if (this.out.isTTY) {
      this.out.write(`\r${text.padEnd(this.shown)}`);
      this.shown = text.length;
    } else {
      this.out.write(`${text}\n`);
    }
  }

  /** Take the line away, for something else to be written. */
  clear(): void {
    if (this.shown > 0) this.out.write(`\r${' '.repeat(this.shown)}\r`);
    this.shown = 0;
  }
}
