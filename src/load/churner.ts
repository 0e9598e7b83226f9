/**
 * Circuits created and destroyed, so many at a time: CREATE2, perhaps EXTEND2 to the sink, DESTROY. A refused one
 * counts like a built one and the next is begun, so that a relay which refuses is offered just as much. So does one
 * without an answer, after a while: a C tor that refuses many at once keeps DESTROYs back until it has other cells.
 */
import { BODY_AT, BODY_BYTES, buildCell, CELL_BYTES, writeCell } from '../cell/cell.ts';
import { Command } from '../cell/command.ts';
import { HandshakeType } from '../cell/create.ts';
import { encodeDestroy } from '../cell/destroy.ts';
import { decodeExtended2, encodeExtend2, specifiersOf } from '../cell/extend.ts';
import { destroyReasonName } from '../cell/reason.ts';
import { RelayCommand, relayCommand, relayData, writeRelayMessage } from '../cell/relay-message.ts';
import { generateCurve25519 } from '../crypto/curve25519.ts';
import { clientNtor, type NtorClient } from '../crypto/handshake/ntor.ts';
import { RECOGNISED } from '../crypto/layer/layer.ts';
import { TOR1_KEY_BYTES, Tor1ClientLayer } from '../crypto/layer/tor1.ts';
import { Malformed } from '../fault.ts';
import type { LinkCredentials } from '../shm/link-credentials.ts';
import { broken, type Hop } from './client.ts';
import { Histogram } from './histogram.ts';
import { randomBytes } from './identity.ts';
import { dialLink, type LinkUser, LOOPBACK, type LoadLink } from './link.ts';
import { makeOnionskin, type Onionskin } from './onionskins.ts';
import type { ChurnHandshake, LatencyFigures, LinkPlan } from './plan.ts';

const ONIONSKINS = 64;
/** Of one-hop circuits, one answer in so many is checked. */
const VERIFY_EVERY = 16;
const STALL_MS = 20_000;
const WATCH_MS = 1_000;
/** Longer than any relay keeps an onionskin waiting. */
const ANSWER_MS = 10_000;
const NO_ANSWER = 'no answer';

export interface ChurnSetup {
  readonly relay: Hop;
  readonly hops: 1 | 2;
  readonly handshake: ChurnHandshake;
  /** Where circuits of two hops go, in turn. */
  readonly nextHops: readonly Hop[];
}

/** What one run of a churn came to. */
export interface ChurnCount {
  readonly done: number;
  readonly refused: number;
  readonly reasons: Readonly<Record<string, number>>;
  readonly verified: number;
  readonly build: LatencyFigures;
}

/** A circuit that is being built. */
interface Young {
  readonly circId: number;
  readonly sinceNs: number;
  readonly onionskin: Onionskin;
  layer: Tor1ClientLayer | null;
  far: NtorClient | null;
}

/** A run under way. */
interface Run {
  left: number;
  underWay: number;
  done: number;
  refused: number;
  verified: number;
  readonly reasons: Record<string, number>;
  readonly build: Histogram;
  resolve(): void;
  reject(fault: Error): void;
  onCircuit(): void;
}

/** Links on which circuits come and go. */
export class Churner implements LinkUser {
  readonly #setup: ChurnSetup;
  readonly #credentials: LinkCredentials;
  readonly #answerNs: number;
  readonly #young = new Map<LoadLink, Map<number, Young>>();
  readonly links: LoadLink[] = [];
  readonly #onionskins: readonly Onionskin[];
  #run: Run | null = null;
  #begun = 0;
  #nextCircId = 0x80000001;
  corrupt = 0;
  /** Links that ended unasked. */
  readonly losses: string[] = [];

  /** @param answerMs after which a handshake without an answer is given up */
  constructor(setup: ChurnSetup, credentials: LinkCredentials, answerMs = ANSWER_MS) {
    this.#setup = setup;
    this.#credentials = credentials;
    this.#answerNs = answerMs * 1e6;
    this.#onionskins = Array.from({ length: ONIONSKINS }, () => makeOnionskin(setup.handshake, setup.relay));
  }

  /** Open the links, spares included. */
  async connect(plan: LinkPlan): Promise<void> {
    const { host = '127.0.0.1', port } = this.#setup.relay;
    for (let i = 0; i < plan.connections + plan.spare; i++) {
      const link = dialLink({ host, port, fromPort: plan.ports?.[i] ?? 0 }, this.#credentials, this);
      this.#young.set(link, new Map());
      await link.opened;
      this.links.push(link);
    }
  }

  /** Keep these links only, in this order. */
  choose(choice: readonly number[]): void {
    const chosen = choice.map((index) => this.links[index]!);
    for (const link of this.links) {
      if (chosen.includes(link)) continue;
      this.#young.delete(link);
      link.close();
    }
    this.links.splice(0, this.links.length, ...chosen);
  }

  /** Make circuits, or null: until `stop`. `onCircuit` hears of each that is through. */
  async run(circuits: number | null, inFlight: number, onCircuit: () => void): Promise<ChurnCount> {
    const build = new Histogram();
    const run: Run = {
      left: circuits ?? Number.POSITIVE_INFINITY,
      underWay: 0,
      done: 0,
      refused: 0,
      verified: 0,
      reasons: {},
      build,
      resolve: () => {},
      reject: () => {},
      onCircuit,
    };
    const through = new Promise<void>((resolve, reject) => {
      run.resolve = resolve;
      run.reject = reject;
    });
    this.#run = run;
    let seen = -1;
    let seenMs = performance.now();
    const watch = setInterval(() => {
      const answered = run.done + run.refused - (run.reasons[NO_ANSWER] ?? 0);
      if (answered !== seen) {
        seen = answered;
        seenMs = performance.now();
      } else if (performance.now() - seenMs > STALL_MS) {
        run.reject(broken(`${run.underWay} handshakes got no answer`, this.#where));
        return;
      }
      this.#giveUp(Bun.nanoseconds() - this.#answerNs);
    }, WATCH_MS);
    try {
      for (let i = 0; i < inFlight; i++) this.#begin();
      await through;
    } finally {
      clearInterval(watch);
      this.#run = null;
    }
    const { done, refused, reasons, verified } = run;
    return { done, refused, reasons, verified, build: build.figures() };
  }

  /** Begin no further circuits. */
  stop(): void {
    if (this.#run !== null) this.#run.left = 0;
  }

  onCell(link: LoadLink, command: number, circId: number, bytes: Uint8Array, at: number): void {
    const young = this.#young.get(link)?.get(circId);
    if (young === undefined) return;
    try {
      if (command === Command.CREATED2 || command === Command.CREATED_FAST)
        this.#created(link, young, bytes.subarray(at + BODY_AT, at + CELL_BYTES));
      else if (command === Command.RELAY) this.#relayed(link, young, bytes, at + BODY_AT);
      else if (command === Command.DESTROY) this.#refuse(link, young, bytes[at + BODY_AT]!, 'DESTROY');
    } catch (fault) {
      if (!(fault instanceof Malformed)) throw fault;
      this.corrupt++;
      this.#end(link, young);
    }
  }

  onDrain(): void {}

  onGone(link: LoadLink): void {
    const orphans = this.#young.get(link);
    if (orphans === undefined) return;
    this.#young.delete(link);
    this.losses.push('a link closed');
    const index = this.links.indexOf(link);
    if (index >= 0) this.links.splice(index, 1);
    const run = this.#run;
    if (run === null) return;
    run.reasons['the link closed'] = (run.reasons['the link closed'] ?? 0) + orphans.size;
    run.refused += orphans.size;
    for (let i = orphans.size; i > 0; i--) this.#next(run);
  }

  #begin(): void {
    const run = this.#run!;
    if (run.left <= 0) {
      if (run.underWay === 0) run.resolve();
      return;
    }
    if (this.links.length === 0) {
      run.reject(broken('the relay closed all links', this.#where));
      return;
    }
    run.left--;
    run.underWay++;
    const index = this.#begun++;
    const link = this.links[index % this.links.length]!;
    const onionskin = this.#onionskins[index % ONIONSKINS]!;
    const circId = this.#nextCircId;
    this.#nextCircId = circId === 0xffffffff ? 0x80000001 : circId + 1;
    const young: Young = { circId, sinceNs: Bun.nanoseconds(), onionskin, layer: null, far: null };
    this.#young.get(link)!.set(circId, young);
    const command = this.#setup.handshake === 'fast' ? Command.CREATE_FAST : Command.CREATE2;
    link.send(buildCell(circId, command, onionskin.body));
  }

  #created(link: LoadLink, young: Young, answer: Uint8Array): void {
    const run = this.#run;
    const { hops, nextHops } = this.#setup;
    if (run === null) return;
    if (hops === 2 || run.done % VERIFY_EVERY === 0) {
      const material = young.onionskin.finish(answer);
      run.verified++;
      if (material === null) {
        this.corrupt++;
        this.#end(link, young);
        return;
      }
      young.layer = hops === 2 ? new Tor1ClientLayer(material) : null;
    }
    if (young.layer === null) this.#finish(link, young);
    else this.#extend(link, young, young.layer, nextHops[young.circId % nextHops.length]!);
  }

  #extend(link: LoadLink, young: Young, layer: Tor1ClientLayer, hop: Hop): void {
    const { rsaId, ed25519Id, onionKey, port } = hop;
    young.far = clientNtor({ rsaId, onionKey: onionKey!, ephemeral: generateCurve25519() });
    const extend = encodeExtend2({
      specifiers: specifiersOf({ rsaId, ed25519Id, ipv4: { host: LOOPBACK, port }, ipv6: null }),
      handshakeType: HandshakeType.NTOR,
      data: young.far.onionskin,
    });
    const body = new Uint8Array(BODY_BYTES);
    writeRelayMessage(body, 0, RelayCommand.EXTEND2, 0, extend, randomBytes);
    layer.originateForward(body, 0);
    const cell = new Uint8Array(CELL_BYTES);
    writeCell(cell, 0, young.circId, Command.RELAY_EARLY, body);
    link.send(cell);
  }

  #relayed(link: LoadLink, young: Young, bytes: Uint8Array, body: number): void {
    if (young.layer === null || young.far === null) return;
    if (young.layer.decryptBackward(bytes, body) !== RECOGNISED) {
      this.corrupt++;
      this.#end(link, young);
      return;
    }
    const data = relayData(bytes, body);
    const command = relayCommand(bytes, body);
    if (command === RelayCommand.TRUNCATED) {
      this.#refuse(link, young, data?.[0] ?? 0, 'TRUNCATED');
      return;
    }
    const material =
      command === RelayCommand.EXTENDED2 && data !== null
        ? young.far.finish(decodeExtended2(data), TOR1_KEY_BYTES)
        : null;
    this.#run!.verified++;
    if (material === null) {
      this.corrupt++;
      this.#end(link, young);
    } else this.#finish(link, young);
  }

  #finish(link: LoadLink, young: Young): void {
    const run = this.#run!;
    run.done++;
    run.build.add((Bun.nanoseconds() - young.sinceNs) / 1000);
    link.send(buildCell(young.circId, Command.DESTROY, encodeDestroy(0)));
    this.#end(link, young);
  }

  #refuse(link: LoadLink, young: Young, reason: number, cell: string): void {
    this.#count(`${cell}: ${destroyReasonName(reason)}`);
    if (cell !== 'DESTROY') link.send(buildCell(young.circId, Command.DESTROY, encodeDestroy(0)));
    this.#end(link, young);
  }

  #count(why: string): void {
    const run = this.#run!;
    run.reasons[why] = (run.reasons[why] ?? 0) + 1;
    run.refused++;
  }

  /** Give up what was begun before then. */
  #giveUp(beforeNs: number): void {
    for (const [link, circuits] of this.#young) {
      // In the order in which they were begun; those that are begun instead come last.
      for (const young of circuits.values()) {
        if (young.sinceNs >= beforeNs || this.#run === null) break;
        this.#count(NO_ANSWER);
        link.send(buildCell(young.circId, Command.DESTROY, encodeDestroy(0)));
        this.#end(link, young);
      }
    }
  }

  #end(link: LoadLink, young: Young): void {
    this.#young.get(link)?.delete(young.circId);
    if (this.#run !== null) this.#next(this.#run);
  }

  #next(run: Run): void {
    run.underWay--;
    run.onCircuit();
    this.#begin();
  }

  get #where(): string {
    return `${this.#setup.relay.host ?? '127.0.0.1'}:${this.#setup.relay.port}`;
  }
}
