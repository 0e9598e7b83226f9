/**
 * XON and XOFF of one stream: when the client is told to stop because its bytes are not taken here, when to go on, and
 * at which rate.
 *
 * Bytes beyond the bound are borne for a few milliseconds, since what came in one turn is passed on in the next. The
 * rate is what was seen to drain while bytes were held; it is told anew when it has changed enough, and doubled while
 * nothing is held any more. Pure state: time is an argument, in milliseconds.
 * Who calls: `stream`. Used only with congestion control; without, streams have windows.
 * @source proposal 324 "Flow control"; C tor 0.4.9 congestion_control_flow.c
 */
import { countEwma } from '../circuit/vegas.ts';
import type { FlowParams } from '../shm/flow-params.ts';

/** Verdicts: what the client is to be told. */
export const SAY_NOTHING = 0;
export const SAY_XOFF = 1;
export const SAY_XON = 2;

/** How long more than the bound may be held. */
const GRACE_MS = 5;
const RATE_MOST = 2 ** 31 - 1;

/** What one stream's client was told, and what was seen to drain since. */
export class XonXoff {
  /** The client was told to stop. */
  stopped = false;
  /** What was seen to drain, in 1000 bytes per second; 0 while unknown. */
  rate = 0;
  private toldRate = 0;
  private graceSinceMs = -1;
  private drainSinceMs = -1;
  private drained = 0;
  private drainedBefore = 0;

  /** Bytes came from the client and so many are held now. */
  onTaken(held: number, nowMs: number, params: FlowParams): number {
    if (held <= params.xoffBytes) {
      this.graceSinceMs = -1;
      return SAY_NOTHING;
    }
    if (this.stopped) return SAY_NOTHING;
    if (this.graceSinceMs < 0) {
      this.graceSinceMs = nowMs;
      return SAY_NOTHING;
    }
    if (nowMs <= this.graceSinceMs + GRACE_MS) return SAY_NOTHING;
    this.graceSinceMs = -1;
    this.stopped = true;
    // What was seen so far led to this.
    this.rate = 0;
    return SAY_XOFF;
  }

  /** So many bytes were passed on, none perhaps, and so many are still held. `SAY_XON`: with `rate`. */
  onDrained(bytes: number, held: number, nowMs: number, params: FlowParams): number {
    this.drained += bytes;
    if (this.drainSinceMs < 0 && held > 0) {
      this.drainSinceMs = nowMs;
      this.drained = 0;
    }
    if (this.drainSinceMs >= 0 && this.drained > params.xonRateBytes) this.measure(nowMs, params);
    const verdict = this.judge(held, params);
    if (held === 0) this.onEmpty(params);
    return verdict;
  }

  private measure(nowMs: number, params: FlowParams): void {
    const tookMs = nowMs - this.drainSinceMs;
    if (tookMs <= 0) return;
    if (this.drainedBefore === 0) this.drainedBefore = this.drained;
    // Bytes per millisecond are thousands of bytes per second.
    const rate = Math.min(RATE_MOST, Math.max(1, Math.floor(this.drainedBefore / tookMs)));
    this.drainedBefore = this.drained;
    this.rate = countEwma(rate, this.rate, params.xonEwmaCount);
    this.drained = 0;
    this.drainSinceMs = -1;
  }

  private judge(held: number, params: FlowParams): number {
    if (this.stopped) {
      if (held > 0) return SAY_NOTHING;
    } else {
      const { xonChangePct } = params;
      const { toldRate, rate } = this;
      const more = rate > Math.floor(((100 + xonChangePct) * toldRate) / 100);
      const less = rate < Math.floor(((100 - xonChangePct) * toldRate) / 100);
      if (toldRate === 0 || !(more || less)) return SAY_NOTHING;
    }
    this.stopped = false;
    this.toldRate = this.rate;
    return SAY_XON;
  }

  /** While nothing is held, so many bytes that went through double the rate that we told. */
  private onEmpty(params: FlowParams): void {
    this.drainSinceMs = -1;
    if (this.drained < params.xonRateBytes || this.toldRate === 0) return;
    this.rate = Math.min(RATE_MOST, 2 * this.rate);
    this.drainedBefore = this.drained;
    this.drained = 0;
  }
}
