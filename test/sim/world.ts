/**
 * A network on one thread with a virtual clock: relays of several workers (the real data plane, rings of few slots, no
 * threads), connections that misbehave, and whoever else wants a wire.
 *
 * Nothing happens but in `step`, which lets one thing happen that could: a chunk arrives, a socket drains, a worker
 * takes its turn, a timer ticks. Which one is drawn from the seed. Without faults and with the same calls a run is
 * the same every time.
 */
import type { Endpoint } from '../../src/bytes/address.ts';
import type { DialRequest, LinkEvents } from '../../src/channel/tls.ts';
import type { Wire } from '../../src/channel/wire.ts';
import { Prng } from '../fuzz/prng.ts';
import { type Faults, GOOD, WireEnd, type WireEvents } from './wire.ts';

/** Someone who can be dialled. */
export interface Listener {
  /**
   * Take a new connection: returns whom its events go to, or null to refuse. Called when the dialler is ready. Undefined:
   * it is taken or refused later.
   */
  accept(wire: WireEnd, remote: Endpoint): WireEvents | null | undefined;
}

/** Something that has turns of its own. */
export interface Actor {
  /** Whether a turn would do anything. */
  ready(): boolean;
  turn(): void;
  /** When it will be ready of itself, a moment from now; plus infinity if it will not. */
  readonly soonMs: number;
}

/** What can happen. */
const DELIVER = 0;
const DRAIN = 1;
const END = 2;
const TURN = 3;

/** Ticks of workers, as the loop has them. */
const TICK_MS = 100;

export class World {
  readonly seed: number;
  readonly prng: Prng;
  readonly faults: Faults;
  nowMs = 1000;
  steps = 0;
  /** Chunks that arrived somewhere. */
  delivered = 0;
  /** Whatever went from one party to another: chunks that arrived, and slots taken out of rings at once. */
  moved = 0;
  ends: WireEnd[] = [];
  readonly actors: Actor[] = [];
  /** Called about every hundred virtual milliseconds. */
  readonly tickers: (() => void)[] = [];
  private readonly listeners = new Map<string, Listener>();
  private readonly soonTasks: (() => void)[] = [];
  private nextTickMs = 1000 + TICK_MS;
  /** What could happen in this step, and to whom. */
  private readonly things: (WireEnd | Actor)[] = [];
  private readonly whats: number[] = [];

  constructor(seed: number, faults: Faults = GOOD) {
    this.seed = seed;
    this.prng = new Prng(seed);
    this.faults = faults;
  }

  listen(host: string, port: number, listener: Listener): void {
    this.listeners.set(`${host} ${port}`, listener);
  }

  /** Run something in a later step. */
  later(task: () => void): void {
    this.soonTasks.push(task);
  }

  /** Connect to whoever listens there. Returns the near end, or null when nobody does. */
  connect(host: string, port: number, remote: Endpoint, near: (wire: WireEnd) => WireEvents): WireEnd | null {
    const listener = this.listeners.get(`${host} ${port}`);
    if (listener === undefined) return null;
    const [a, b] = WireEnd.pair(this.faults, this.prng);
    this.ends.push(a, b);
    const events = listener.accept(b, remote);
    if (events !== undefined) b.events = events;
    if (events === null) {
      b.events = { onData() {}, onDrain() {}, onGone() {} };
      b.abort();
    }
    a.events = near(a);
    return a;
  }

  /**
   * A dialler for `Links`: as `tls.dial`, over wires of this world. Port 1 is a black hole. Who died before its dial
   * was answered gets no connection.
   */
  readonly dialFrom =
    (remote: Endpoint, isAlive: () => boolean = () => true) =>
    <L>(
      request: DialRequest<L>,
      events: LinkEvents<L>,
      onWire: (wire: Wire) => boolean,
      onFailed: () => void,
    ): void => {
      if (request.port === 1) return;
      this.later(() => {
        if (!isAlive()) return;
        const { link } = request;
        let wanted = false;
        const near = this.connect(request.host, request.port, remote, (wire) => {
          wanted = onWire(wire);
          return wanted ? eventsOf(events, link) : { onData() {}, onDrain() {}, onGone() {} };
        });
        if (near === null) onFailed();
        else if (wanted) events.onSecured(link, SESSION);
        else near.abort();
      });
    };

  /** Let one thing happen. Returns false when nothing could. */
  step(): boolean {
    this.steps++;
    if (this.nowMs >= this.nextTickMs) {
      this.nextTickMs = this.nowMs + TICK_MS;
      for (const tick of this.tickers) tick();
    }
    const task = this.soonTasks.shift();
    if (task !== undefined) {
      task();
      return true;
    }
    const { things, whats } = this;
    let could = 0;
    for (const end of this.ends) {
      if (end.canDeliver() || end.canDeliverLate()) {
        things[could] = end;
        whats[could++] = DELIVER;
      }
      if (end.canDrain()) {
        things[could] = end;
        whats[could++] = DRAIN;
      }
      if (end.canEnd()) {
        things[could] = end;
        whats[could++] = END;
      }
    }
    for (const actor of this.actors) {
      if (!actor.ready()) continue;
      things[could] = actor;
      whats[could++] = TURN;
    }
    if (could === 0) return false;
    const which = this.prng.below(could);
    this.happen(things[which]!, whats[which]!);
    return true;
  }

  private happen(thing: WireEnd | Actor, what: number): void {
    if (what === TURN) {
      (thing as Actor).turn();
      return;
    }
    const end = thing as WireEnd;
    if (what === DELIVER) this.deliver(end);
    else if (what === DRAIN) end.drain();
    else {
      end.end();
      this.ends = this.ends.filter(({ isOver }) => !isOver);
    }
  }

  private deliver(end: WireEnd): void {
    this.delivered++;
    this.moved++;
    end.deliver();
  }

  /** Step until nothing happens any more; the clock hardly moves, but as far as flushes wait that were put off. */
  settle(stepsMax = 200_000, each: () => void = () => {}): void {
    for (let i = 0; i < stepsMax; i++) {
      if (!this.step() && !this.reachSoon()) return;
      this.nowMs += 0.01;
      each();
    }
    throw new Error(`seed ${this.seed}: still busy after ${stepsMax} steps`);
  }

  /** Move the clock on to what is due in a moment. Returns false when nothing is. */
  private reachSoon(): boolean {
    let soonMs = Number.POSITIVE_INFINITY;
    for (const actor of this.actors) soonMs = Math.min(soonMs, actor.soonMs);
    if (soonMs === Number.POSITIVE_INFINITY) return false;
    this.nowMs = Math.max(this.nowMs, soonMs);
    return true;
  }

  /** Let so much time pass, a stride at a time, with everything that it brings. */
  pass(ms: number, strideMs = TICK_MS): void {
    const end = this.nowMs + ms;
    while (this.nowMs < end) {
      this.nowMs = Math.min(end, this.nowMs + strideMs);
      this.settle();
    }
  }
}

/** The session that every simulated connection has. */
export const SESSION = {
  responderCertDer: new Uint8Array(0),
  exportKeyingMaterial: (_label: string, _context: Uint8Array, length: number) => new Uint8Array(length),
};

/** Events of one link as events of a wire. */
export function eventsOf<L>(events: LinkEvents<L>, link: L): WireEvents {
  return {
    onData: (chunk) => {
      events.onData(link, chunk);
      // It was given away: nobody may look at it any more.
      if (chunk.buffer instanceof ArrayBuffer && !chunk.buffer.detached) chunk.buffer.transfer(0);
    },
    onDrain: () => events.onDrain(link),
    onGone: () => events.onGone(link),
  };
}
