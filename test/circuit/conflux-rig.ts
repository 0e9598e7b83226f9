/**
 * Conflux over real data planes: a client whose circuits end on the workers that a test wants, and an edge that notes
 * what comes of streams and sends what a test has it send. The client keeps its side with the same `ConfluxSet`.
 */

import { BODY_AT, BODY_BYTES } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import {
  type ConfluxLink,
  ConfluxUx,
  decodeConfluxLinked,
  decodeConfluxSwitch,
  encodeConfluxLink,
} from '../../src/cell/conflux.ts';
import { DATA_AT, RelayCommand, relayLength, relayStreamId } from '../../src/cell/relay-message.ts';
import { FREE, OWNED } from '../../src/circuit/circuit-table.ts';
import { closeCircuit } from '../../src/circuit/close.ts';
import { ConfluxSet, isMultiplexed, type LegPort, type SetLeg } from '../../src/circuit/conflux.ts';
import type { HomeLeg, HomeSet } from '../../src/circuit/conflux-homes.ts';
import type { ConfluxHub, LegEnd, SetStreams } from '../../src/circuit/conflux-hub.ts';
import { originate } from '../../src/circuit/originate.ts';
import type { CircuitPlane, Edge } from '../../src/circuit/plane.ts';
import type { WorkerOptions } from '../../src/shm/letter.ts';
import type { CounterName } from '../../src/shm/scoreboard.ts';
import { ClientCircuit } from '../sim/client.ts';
import { Peer } from '../sim/peer.ts';
import { SimRelay, type SimWorker } from '../sim/relay.ts';
import { GOOD } from '../sim/wire.ts';
import { World } from '../sim/world.ts';

const NOTHING = new Uint8Array(0);
/** DATA that may be sent on a circuit before its client acknowledges some, and how many a SENDME gives back. */
const WINDOW = 60;
const INCREMENT = 10;
/** What is read at once at most. */
const CHUNK_BYTES = 10_000;

/** What came of a stream. */
export interface Came {
  readonly command: number;
  readonly streamId: number;
  readonly data: Uint8Array;
}

/** Says what `data` of a test means: a number. */
export function numbered(n: number): Uint8Array {
  return Uint8Array.of(n >> 16, n >> 8, n);
}

function numberOf(data: Uint8Array): number {
  return (data[0]! << 16) | (data[1]! << 8) | data[2]!;
}

/** A run of numbers from 0. */
export function run(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** The numbers of what came. */
export function numbersOf(came: readonly Came[]): number[] {
  return came.map(({ data }) => numberOf(data));
}

/** A home's streams: what came, and what is still to be sent. */
export class TestSet {
  readonly home: HomeSet;
  readonly came: Came[] = [];
  /** DATA still to be sent. */
  toSend = 0;
  said = 0;
  closed = false;

  constructor(home: HomeSet) {
    this.home = home;
  }
}

/** One worker's edge. */
export class TestEdge implements Edge, LegEnd, SetStreams {
  readonly plane: CircuitPlane;
  readonly sets = new Map<HomeSet, TestSet>();
  readonly closedSets: TestSet[] = [];
  /** Messages that are no leg's. */
  readonly plain: Came[] = [];
  withStreams = new Set<number>();
  /** Throws what a stream would. */
  onCame: (came: Came) => void = () => {};
  private readonly window = new Map<number, number>();

  constructor(plane: CircuitPlane) {
    this.plane = plane;
    plane.edge = this;
    plane.conflux.end = this;
    plane.conflux.streams = this;
  }

  private get conflux(): ConfluxHub {
    return this.plane.conflux;
  }

  onMessage(row: number, command: number, streamId: number, data: Uint8Array): void {
    if (command === RelayCommand.SENDME) {
      this.window.set(row, this.windowOf(row) + INCREMENT);
      this.conflux.onRoom(row, 0);
      return;
    }
    if (this.conflux.take(row, command, streamId, data)) return;
    this.plain.push({ command, streamId, data: data.slice() });
  }

  onData(row: number, streamId: number, bytes: Uint8Array, at: number, length: number): void {
    this.onMessage(
      row,
      RelayCommand.DATA,
      streamId,
      new Uint8Array(bytes.buffer, bytes.byteOffset + at, length),
    );
  }

  onQueueLow(): void {}

  onCircuitClosed(row: number): void {
    this.window.delete(row);
    this.withStreams.delete(row);
  }

  private windowOf(row: number): number {
    return this.window.get(row) ?? WINDOW;
  }

  room(row: number): number {
    return Math.max(0, this.windowOf(row));
  }

  send(row: number, command: number, streamId: number, data: Uint8Array): boolean {
    if (command === RelayCommand.DATA) this.window.set(row, this.windowOf(row) - 1);
    return originate(this.plane, row, command, streamId, data);
  }

  sendBodies(row: number, bodies: Uint8Array, count: number): boolean {
    for (let i = 0; i < count; i++) {
      const at = i * BODY_BYTES;
      const data = bodies.slice(at + DATA_AT, at + DATA_AT + relayLength(bodies, at));
      if (!this.send(row, RelayCommand.DATA, relayStreamId(bodies, at), data)) return false;
    }
    return true;
  }

  inFlight(row: number): boolean {
    return this.windowOf(row) <= WINDOW - INCREMENT;
  }

  over(): number {
    return 0;
  }

  hasStreams(row: number): boolean {
    return this.withStreams.has(row);
  }

  setOf(home: HomeSet): TestSet {
    let set = this.sets.get(home);
    if (set === undefined) {
      set = new TestSet(home);
      this.sets.set(home, set);
    }
    return set;
  }

  onSetMessage(home: HomeSet, _from: HomeLeg, command: number, streamId: number, data: Uint8Array): void {
    const came = { command, streamId, data: data.slice() };
    this.setOf(home).came.push(came);
    this.onCame(came);
  }

  onSetRoom(home: HomeSet): void {
    this.setOf(home);
  }

  onSetClosed(home: HomeSet): void {
    const set = this.setOf(home);
    set.closed = true;
    this.sets.delete(home);
    this.closedSets.push(set);
  }

  /** Send what there is room for. */
  serve(): void {
    for (const set of this.sets.values()) {
      while (set.toSend > 0 && set.home.set.room() > 0) {
        set.toSend--;
        if (!set.home.set.send(RelayCommand.DATA, 1, numbered(set.said++))) break;
      }
    }
  }
}

/** A client's leg. */
export class ClientLeg implements LegPort {
  readonly client: ConfluxClient;
  readonly circuit: ClientCircuit;
  readonly worker: number;
  leg: SetLeg | null = null;
  linked: ConfluxLink | null = null;
  /** The reason of the DESTROY that came; -1 before. */
  destroyed = -1;
  free = WINDOW;
  private got = 0;

  constructor(client: ConfluxClient, circuit: ClientCircuit, worker: number) {
    this.client = client;
    this.circuit = circuit;
    this.worker = worker;
  }

  room(): number {
    return this.free;
  }

  send(command: number, streamId: number, data: Uint8Array): boolean {
    this.circuit.say(command, streamId, data);
    return true;
  }

  sendBodies(): boolean {
    throw new Error('a client sends no bodies');
  }

  close(): void {}

  link(link: Partial<ConfluxLink> = {}): void {
    const { nonce } = this.client;
    const fresh = { nonce, lastSeqSent: 0n, lastSeqRecv: 0n, desiredUx: ConfluxUx.HIGH_THROUGHPUT };
    this.circuit.say(RelayCommand.CONFLUX_LINK, 0, encodeConfluxLink({ ...fresh, ...link }));
  }

  ack(): void {
    this.circuit.say(RelayCommand.CONFLUX_LINKED_ACK, 0, NOTHING);
  }

  /** A cell came for its circuit. */
  hear(command: number, streamId: number, data: Uint8Array): void {
    const { set } = this.client;
    if (command === RelayCommand.CONFLUX_LINKED) {
      this.linked = decodeConfluxLinked(data);
      this.leg = set.join(this, ConfluxUx.HIGH_THROUGHPUT);
      this.leg.rttUs = 1 + set.legs.length;
      if (this.client.acks) this.ack();
      return;
    }
    if (this.leg === null) throw new Error(`${command} before LINKED`);
    if (command === RelayCommand.CONFLUX_SWITCH) {
      set.onSwitch(this.leg, decodeConfluxSwitch(data));
      return;
    }
    if (!isMultiplexed(command)) throw new Error(`${command} from an exit`);
    if (command === RelayCommand.DATA && ++this.got === INCREMENT) {
      this.got = 0;
      this.circuit.say(RelayCommand.SENDME, 0, NOTHING);
    }
    if (!set.receive(this.leg, command, streamId, data, 0, Number.POSITIVE_INFINITY)) return;
    this.client.came.push({ command, streamId, data: data.slice() });
    for (let next = set.next(); next !== null; next = set.next()) {
      this.client.came.push({ command: next.command, streamId: next.streamId, data: next.data });
    }
  }
}

/** A client with a set. */
export class ConfluxClient {
  readonly rig: ConfluxRig;
  readonly nonce: Uint8Array;
  readonly legs: ClientLeg[] = [];
  readonly came: Came[] = [];
  acks = true;
  said = 0;
  readonly set = new ConfluxSet({ onSetClosed() {}, onHeld() {}, count() {} });

  constructor(rig: ConfluxRig, nonce: Uint8Array) {
    this.rig = rig;
    this.nonce = nonce;
  }

  /** Open a circuit that ends on a worker, with congestion control; `link` it later. */
  open(worker: number): ClientLeg {
    const { rig } = this;
    const peer = Peer.connect(rig.world, rig.relay, { worker });
    const circuit = new ClientCircuit(peer, 0x80000001);
    circuit.createFast();
    rig.settle();
    circuit.createdFast(peer.expect(Command.CREATED_FAST));
    const leg = new ClientLeg(this, circuit, worker);
    peer.onCell = (cell) => {
      if (cell.command === Command.DESTROY) {
        leg.destroyed = cell.bytes[BODY_AT]!;
        return;
      }
      const heard = circuit.hear(cell);
      leg.hear(heard.command, heard.streamId, heard.data);
    };
    const { table } = rig.plane(worker);
    for (let row = 0; row < table.capacity; row++) {
      if (table.kind[row] === OWNED && table.ccSendmeInc[row] === 0) table.ccSendmeInc[row] = 31;
    }
    this.legs.push(leg);
    return leg;
  }

  /** Open and link a circuit on a worker. */
  join(worker: number): ClientLeg {
    const leg = this.open(worker);
    leg.link();
    this.rig.settle();
    return leg;
  }

  /** Send so many numbered DATA, on whichever leg the set takes. */
  say(count: number): void {
    for (let i = 0; i < count; i++) this.set.send(RelayCommand.DATA, 1, numbered(this.said++));
  }
}

/** A relay of ours with several workers. */
export class ConfluxRig {
  readonly world: World;
  readonly relay: SimRelay;
  readonly edges: TestEdge[] = [];
  private nonces = 0;

  constructor(options: Partial<WorkerOptions> = {}, workers = 2, seed = 1, ringSlots = 128) {
    this.world = new World(seed, { ...GOOD, chunkBytes: CHUNK_BYTES });
    const host = Uint8Array.of(198, 51, 100, 1);
    this.relay = new SimRelay(this.world, { host, workers, ringSlots, options });
    for (const worker of this.relay.workers) this.edges.push(this.edgeOf(worker));
    this.world.settle();
  }

  /** Let a worker have our edge, served at the end of its turns. */
  edgeOf(worker: SimWorker): TestEdge {
    const edge = new TestEdge(worker.data.plane);
    const work = worker.data.work.bind(worker.data);
    worker.data.work = () => {
      const left = work();
      edge.serve();
      return left;
    };
    return edge;
  }

  plane(worker: number): CircuitPlane {
    return this.relay.workers[worker]!.data.plane;
  }

  settle(): void {
    this.world.settle();
  }

  count(name: CounterName): number {
    return this.relay.count(name);
  }

  /** A client whose nonce has its registry on this worker, or on any. */
  client(registry = -1): ConfluxClient {
    for (;;) {
      const nonce = new Uint8Array(32).fill(++this.nonces, 0, 4);
      nonce[31] = this.nonces >> 8;
      if (registry < 0 || this.plane(0).conflux.registryOf(nonce.toHex()) === registry) {
        return new ConfluxClient(this, nonce);
      }
    }
  }

  /** The only set, which is at home on this worker. */
  set(worker: number): TestSet {
    const sets = [...this.plane(worker).conflux.homes.sets];
    if (sets.length !== 1) throw new Error(`${sets.length} sets on worker ${worker}`);
    return this.edges[worker]!.setOf(sets[0]!);
  }

  /** Have a home send, and let it. */
  download(worker: number, count: number): void {
    this.set(worker).toSend += count;
    this.plane(worker).wake();
    this.settle();
  }

  /** Close a leg's circuit at its worker. */
  closeAt(leg: ClientLeg, reason: number): void {
    const plane = this.plane(leg.worker);
    const { table } = plane;
    for (let row = 0; row < table.capacity; row++) {
      if (table.kind[row] !== FREE && table.conflux[row]?.nonce.toHex() === leg.client.nonce.toHex()) {
        closeCircuit(plane, row, reason, reason);
        break;
      }
    }
    this.settle();
  }

  /** Nothing of conflux is left on any worker that lives. */
  expectNothing(): void {
    for (const { alive, data } of this.relay.workers) {
      if (!alive) continue;
      const { homes, legs, registry, heldBytes } = data.plane.conflux;
      const left = [homes.size, homes.remoteCount, homes.localCount, legs.tokens, registry.size, heldBytes];
      if (left.some((n) => n !== 0)) throw new Error(`left of conflux: ${left}`);
    }
  }
}
