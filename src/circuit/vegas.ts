/**
 * Tor's Vegas: how many cells may be on their way along one circuit, judged by how long SENDMEs take to come back.
 *
 * The window grows while the circuit's queues look short and shrinks when they look long: the queue is what is in the
 * window beyond the bandwidth-delay product, and that is window times least delay by usual delay. Pure state: time is
 * an argument, in milliseconds; inside it counts whole microseconds and whole cells, as C tor does.
 * Invariants: each SENDME that arrives answers one cell whose time was noted; `cwnd` never stays below `cwndMin` once
 * slow start is over.
 * Who calls: `circuit/flow`.
 * @source proposal 324 "Tor Vegas"; C tor 0.4.9 congestion_control_vegas.c
 */
import { assert } from '../fault.ts';
import type { VegasParams } from '../shm/flow-params.ts';

/** A delay that changes by more than this factor at once is a clock that jumped. */
const CLOCK_JUMP = 5000;
const USEC_PER_MS = 1000;

/** The congestion window of one circuit end. */
export class Vegas {
  cwnd: number;
  /** Cells sent and not acknowledged yet. */
  inflight = 0;
  inSlowStart = true;
  /** The window was in full use of late. */
  cwndFull = false;
  /** At the last SENDME the circuit's queue was blocked. */
  blocked = false;
  /** Usual and least delay, microseconds; 0 while unknown. */
  ewmaRttUsec = 0;
  minRttUsec = 0;
  bdp = 0;
  /** The clock looks as if it stood still. */
  clockStalled = false;
  readonly sendmeInc: number;
  private readonly params: VegasParams;
  /** When the cells were sent whose SENDMEs are to come, oldest first, from `sentFrom` on. */
  private readonly sentUsec: number[] = [];
  private sentFrom = 0;
  private nextCcEvent: number;
  private nextCwndEvent = 0;

  constructor(params: VegasParams, sendmeInc: number) {
    this.params = params;
    this.sendmeInc = sendmeInc;
    this.cwnd = params.cwndInit;
    this.nextCcEvent = this.updateRate();
  }

  /** Cells that may be sent now; a window that shrank may have less than nothing left. */
  get room(): number {
    return Math.max(0, this.cwnd - this.inflight);
  }

  /** A cell goes out. Returns whether its SENDME will come, so that its tag has to be kept. */
  noteSent(nowMs: number): boolean {
    this.inflight++;
    if (this.inflight % this.sendmeInc !== 0) return false;
    this.noteTime(Math.floor(nowMs * USEC_PER_MS));
    return true;
  }

  /** Note when a cell was sent whose SENDME will come. */
  noteTime(usec: number): void {
    this.sentUsec.push(usec);
  }

  /**
   * A SENDME came, for the oldest cell whose time was noted.
   * @param blocked whether the circuit's queue on its way out is blocked
   */
  onSendme(nowMs: number, blocked: boolean): void {
    if (this.nextCcEvent > 0) this.nextCcEvent--;
    if (this.nextCwndEvent > 0) this.nextCwndEvent--;
    const rtt = this.updateRtt(Math.floor(nowMs * USEC_PER_MS));
    if (this.updateBdp(rtt, blocked)) this.updateWindow();
    this.inflight -= this.sendmeInc;
    this.cwnd = Math.min(this.cwnd, this.params.cwndMax);
  }

  /** Take one more delay into account. Returns it, or 0 when the clock cannot be trusted. */
  updateRtt(nowUsec: number): number {
    const sent = this.takeSent();
    const rtt = nowUsec - sent;
    if (this.clockJumped(this.ewmaRttUsec, rtt)) return 0;
    this.ewmaRttUsec = countEwma(rtt, this.ewmaRttUsec, this.ewmaCount());
    if (this.minRttUsec === 0) {
      this.minRttUsec = this.ewmaRttUsec;
    } else if (this.cwnd === this.params.cwndMin && !this.inSlowStart) {
      // A least delay that was low by chance would hold the window down for ever.
      const { rttResetPct } = this.params;
      const most = Math.max(this.ewmaRttUsec, this.minRttUsec);
      const least = Math.min(this.ewmaRttUsec, this.minRttUsec);
      this.minRttUsec =
        Math.floor((rttResetPct * most) / 100) + Math.floor(((100 - rttResetPct) * least) / 100);
    } else if (this.ewmaRttUsec < this.minRttUsec) {
      this.minRttUsec = this.ewmaRttUsec;
    }
    return rtt;
  }

  /** Whether a delay, after such ones before, tells of a clock that stood still or jumped. */
  clockJumped(before: number, now: number): boolean {
    if (now <= 0) {
      this.clockStalled = true;
      return true;
    }
    // In slow start there are too few delays to compare with.
    if (this.inSlowStart || this.ewmaRttUsec === 0) return false;
    if (before > now * CLOCK_JUMP) return this.clockStalled;
    if (now > before * CLOCK_JUMP) return true;
    this.clockStalled = false;
    return false;
  }

  private takeSent(): number {
    assert(this.sentFrom < this.sentUsec.length, 'a SENDME answers a cell that was noted');
    const sent = this.sentUsec[this.sentFrom++]!;
    if (this.sentFrom === this.sentUsec.length) {
      this.sentUsec.length = 0;
      this.sentFrom = 0;
    } else if (this.sentFrom === 64) {
      this.sentUsec.splice(0, this.sentFrom);
      this.sentFrom = 0;
    }
    return sent;
  }

  /** Judge how much the circuit holds without queueing. Returns whether there is something to go by. */
  private updateBdp(rtt: number, blocked: boolean): boolean {
    if (this.ewmaRttUsec === 0) {
      this.bdp = this.cwnd;
      this.blocked = blocked;
      return blocked;
    }
    this.bdp = Math.floor((this.cwnd * this.minRttUsec) / this.ewmaRttUsec);
    if (blocked !== this.blocked) {
      // Both are news, for which the window is not awaited.
      this.blocked = blocked;
      this.nextCcEvent = 0;
    }
    return blocked || rtt !== 0;
  }

  private updateWindow(): void {
    const { params } = this;
    const queue = Math.max(0, this.cwnd - this.bdp);
    if (this.inflight + params.cwndFullGap * this.sendmeInc >= this.cwnd) this.cwndFull = true;
    else if (100 * this.inflight < params.cwndFullMinPct * this.cwnd) this.cwndFull = false;
    if (this.inSlowStart) this.slowStart(queue);
    else if (this.nextCcEvent === 0) this.steadyState(queue);
    if (this.nextCwndEvent === 0) this.nextCwndEvent = this.sendmesPerCwnd();
    if (this.nextCcEvent === 0) this.nextCcEvent = this.updateRate();
    const expired = params.cwndFullPerCwnd
      ? this.nextCwndEvent === this.sendmesPerCwnd()
      : this.nextCcEvent === this.updateRate();
    if (expired) this.cwndFull = false;
  }

  private slowStart(queue: number): void {
    const { params } = this;
    if (queue < params.gamma && !this.blocked) {
      if (this.cwndFull) {
        const inc = this.slowStartInc();
        this.cwnd += inc;
        if (inc * this.sendmesPerCwnd() <= params.cwndInc * params.cwndIncRate) this.inSlowStart = false;
      }
    } else {
      this.cwnd = this.bdp + params.gamma;
      this.inSlowStart = false;
    }
    if (this.cwnd >= params.ssMax) {
      this.cwnd = params.ssMax;
      this.inSlowStart = false;
    }
  }

  /** Once per window. */
  private steadyState(queue: number): void {
    const { params } = this;
    if (queue > params.delta) this.cwnd = this.bdp + params.delta - params.cwndInc;
    else if (queue > params.beta || this.blocked) this.cwnd -= params.cwndInc;
    else if (this.cwndFull && queue < params.alpha) this.cwnd += params.cwndInc;
    this.cwnd = Math.max(this.cwnd, params.cwndMin);
  }

  /** Limited slow start. @source RFC 3742 */
  private slowStartInc(): number {
    const { cwndIncPctSs, ssCap } = this.params;
    const { sendmeInc, cwnd } = this;
    if (cwnd <= ssCap) return Math.floor((cwndIncPctSs * sendmeInc + 50) / 100);
    return Math.max(1, Math.floor((sendmeInc * ssCap + cwnd) / (2 * cwnd)));
  }

  /** SENDMEs between two looks at the window. */
  updateRate(): number {
    if (this.inSlowStart) return 1;
    const per = this.params.cwndIncRate * this.sendmeInc;
    return Math.floor((this.cwnd + Math.floor(per / 2)) / per);
  }

  private sendmesPerCwnd(): number {
    return Math.floor((this.cwnd + Math.floor(this.sendmeInc / 2)) / this.sendmeInc);
  }

  private ewmaCount(): number {
    const { ewmaSs, ewmaCwndPct, ewmaMax } = this.params;
    if (this.inSlowStart) return Math.max(2, ewmaSs);
    return Math.max(2, Math.min(Math.floor((this.updateRate() * ewmaCwndPct) / 100), ewmaMax));
  }
}

/** The moving average over `count` values that starts with the first one. */
export function countEwma(now: number, before: number, count: number): number {
  if (before === 0) return now;
  return Math.floor((2 * now + (count - 1) * before) / (count + 1));
}
