/**
 * The circuits of a client: one for each kind of stream, made when a stream needs it and given up when idle.
 *
 * Streams with the same isolation to the same port share a circuit. Main chooses the path; one that does not get built
 * is tried again along another, a few times. A circuit that has grown old takes no new streams and closes when its last
 * stream is over.
 *
 * @source path-spec "When we build"
 */

import type { OriginCircuit } from '../origin/origin-circuit.ts';
import type { Origins } from '../origin/origins.ts';
import type { ClientCircuitReport, ClientCircuitState, PathWish } from '../shm/client-letter.ts';
import type { OriginHop } from '../shm/origin-letter.ts';

const BUILD_TIMEOUT_MS = 10_000;
const BUILD_TRIES = 4;
/** How long a circuit may be used for new streams: C tor's MaxCircuitDirtiness. */
const DIRTY_MS = 600_000;
const IDLE_MS = 5000;
/** How long to wait when main knows no path. */
const RETRY_MS = 500;

/** What a stream needs of a circuit. */
export interface StreamWish extends PathWish {
  readonly isolation: string;
}

/** Whoever waits for a circuit. */
export interface CircuitWaiter {
  onCircuit(circuit: ClientCircuit): void;
  onNone(): void;
}

/** A circuit, from the wish for it to its end. */
export class ClientCircuit {
  readonly number: number;
  readonly wish: StreamWish;
  state: ClientCircuitState = 'choosing';
  circuit: OriginCircuit | null = null;
  waiters: CircuitWaiter[] = [];
  readonly bornMs: number;
  usedMs: number;
  /** How many circuits there were before it for the same streams. */
  readonly tries: number;
  /** When to ask for a path again; 0: it is asked for. */
  askMs = 0;
  received = 0;
  sent = 0;
  isChanged = true;

  constructor(number: number, wish: StreamWish, tries: number, nowMs: number) {
    this.number = number;
    this.wish = wish;
    this.tries = tries;
    this.bornMs = nowMs;
    this.usedMs = nowMs;
  }

  /** Count what a stream moved. */
  count(received: number, sent: number): void {
    this.received += received;
    this.sent += sent;
    this.isChanged = true;
  }

  get report(): ClientCircuitReport {
    const { number, state, received, sent } = this;
    return { circuit: number, state, streams: this.circuit?.streamCount ?? 0, received, sent };
  }
}

/** All circuits of a client. */
export class ClientCircuits {
  private readonly origins: Origins;
  private readonly askPath: (circuit: number, wish: PathWish) => void;
  private readonly nowMs: () => number;
  private readonly circuits = new Map<number, ClientCircuit>();
  private nextNumber = 1;

  constructor(origins: Origins, askPath: (circuit: number, wish: PathWish) => void, nowMs: () => number) {
    this.origins = origins;
    this.askPath = askPath;
    this.nowMs = nowMs;
  }

  /** Find or make a circuit for a stream; `waiter` hears of it, maybe before this returns. */
  attach(wish: StreamWish, waiter: CircuitWaiter): void {
    const nowMs = this.nowMs();
    for (const circuit of this.circuits.values()) {
      if (!isFor(circuit, wish) || nowMs - circuit.bornMs > DIRTY_MS) continue;
      circuit.usedMs = nowMs;
      if (circuit.state === 'open') waiter.onCircuit(circuit);
      else circuit.waiters.push(waiter);
      return;
    }
    this.make(wish, 1).waiters.push(waiter);
  }

  private make(wish: StreamWish, tries: number): ClientCircuit {
    const circuit = new ClientCircuit(this.nextNumber++, wish, tries, this.nowMs());
    this.circuits.set(circuit.number, circuit);
    this.askPath(circuit.number, wish);
    return circuit;
  }

  /** Main chose a path, or knows none now. */
  takePath(number: number, path: readonly OriginHop[] | null): void {
    const circuit = this.circuits.get(number);
    if (circuit === undefined || circuit.state !== 'choosing') return;
    if (path === null) {
      circuit.askMs = this.nowMs() + RETRY_MS;
      return;
    }
    circuit.state = 'building';
    circuit.isChanged = true;
    circuit.circuit = this.origins.open(path, BUILD_TIMEOUT_MS, {
      onOpen: () => this.onOpen(circuit),
      onClosed: () => this.onClosed(circuit),
    });
  }

  private onOpen(circuit: ClientCircuit): void {
    circuit.state = 'open';
    circuit.isChanged = true;
    const { waiters } = circuit;
    circuit.waiters = [];
    for (const waiter of waiters) waiter.onCircuit(circuit);
  }

  private onClosed(circuit: ClientCircuit): void {
    const { waiters, wish, tries } = circuit;
    circuit.state = 'closed';
    circuit.isChanged = true;
    circuit.waiters = [];
    if (waiters.length === 0) return;
    if (tries >= BUILD_TRIES) {
      for (const waiter of waiters) waiter.onNone();
    } else {
      this.make(wish, tries + 1).waiters.push(...waiters);
    }
  }

  /** Several times a second: ask again for paths, give up what is idle. */
  tick(): void {
    const nowMs = this.nowMs();
    for (const circuit of this.circuits.values()) {
      if (circuit.askMs > 0 && nowMs >= circuit.askMs) {
        circuit.askMs = 0;
        this.askAgain(circuit, nowMs);
      }
      if (circuit.state !== 'open') continue;
      if (circuit.circuit!.streamCount > 0) circuit.usedMs = nowMs;
      else if (nowMs - circuit.usedMs > IDLE_MS || nowMs - circuit.bornMs > DIRTY_MS) this.close(circuit);
    }
  }

  private askAgain(circuit: ClientCircuit, nowMs: number): void {
    if (nowMs - circuit.bornMs < BUILD_TIMEOUT_MS) this.askPath(circuit.number, circuit.wish);
    else this.giveUp(circuit);
  }

  private giveUp(circuit: ClientCircuit): void {
    circuit.state = 'closed';
    circuit.isChanged = true;
    for (const waiter of circuit.waiters) waiter.onNone();
    circuit.waiters = [];
  }

  private close(circuit: ClientCircuit): void {
    circuit.state = 'closed';
    circuit.isChanged = true;
    circuit.circuit!.close();
  }

  /** What changed since the last report. Closed circuits are told of once, and forgotten. */
  takeReports(): ClientCircuitReport[] {
    const reports: ClientCircuitReport[] = [];
    for (const circuit of this.circuits.values()) {
      if (!circuit.isChanged) continue;
      circuit.isChanged = false;
      reports.push(circuit.report);
      if (circuit.state === 'closed') this.circuits.delete(circuit.number);
    }
    return reports;
  }
}

function isFor({ state, wish }: ClientCircuit, { port, isIpv6, isolation }: StreamWish): boolean {
  return state !== 'closed' && wish.port === port && wish.isIpv6 === isIpv6 && wish.isolation === isolation;
}
