/**
 * The rate at which a client asked, by XON, to be sent a stream's bytes: a bucket of one second.
 * @source proposal 324 "XON/XOFF"; C tor 0.4.9
 */

/** One stream's bucket. */
export class StreamRate {
  private bytesPerMs: number;
  private burst: number;
  private level: number;
  private refilledMs: number;

  /** @param rate in 1000 bytes per second, above 0 */
  constructor(rate: number, nowMs: number) {
    this.bytesPerMs = rate;
    this.burst = rate * 1000;
    this.level = this.burst;
    this.refilledMs = nowMs;
  }

  /** Have another rate from now on. */
  adjust(rate: number): void {
    this.bytesPerMs = rate;
    this.burst = rate * 1000;
    this.level = Math.min(this.level, this.burst);
  }

  /** Bytes that may go now; the last one may go over it. */
  room(nowMs: number): number {
    this.level = Math.min(this.burst, this.level + (nowMs - this.refilledMs) * this.bytesPerMs);
    this.refilledMs = nowMs;
    return this.level;
  }

  /** So many went. */
  spend(bytes: number): void {
    this.level -= bytes;
  }
}
