/**
 * One relay of ours as an exit for conflux sets whose legs fall to random workers, over faulty wires and small rings,
 * while workers stand still and die, legs end, and destinations are slow: all drawn from a seed.
 *
 * Looked at: each byte of each stream when it arrives, at the client and at the destination: it is the next one, whatever
 * leg it came over; the books of each worker after every step that touched it, the memory ledger among them; that what
 * waits for its order and for rings stays within its bounds; that nobody waits for himself (`waits`); and in the end that
 * all has arrived over the sets that live, those from which legs went with nothing lost among them, that those which ended
 * did so for a reason and at both ends, and that nothing is left.
 */
import { DestroyReason } from '../../src/cell/reason.ts';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import { encodeBegin } from '../../src/cell/stream-message.ts';
import type { ConfluxSet, SetLeg } from '../../src/circuit/conflux.ts';
import { ARRIVED_MS } from '../../src/circuit/conflux-homes.ts';
import { RelayIndex } from '../../src/shm/relay-index.ts';
import { CIRC_ID, type ClientStream, ExitClient, type ExitLeg } from './conflux-client.ts';
import type { SimConnection } from './destinations.ts';
import { ExitScenario, QUEUE_CELLS } from './exit-scenario.ts';
import { Peer } from './peer.ts';
import type { SimWorker } from './relay.ts';
import { byteAt, bytesAt } from './stream-client.ts';

const STEPS = 3000;
const EARLY_STEPS = 250;
/** Legs of a set; the most that a set of a C tor client has is two. */
const LEGS_MOST = 4;

/** A stream and its destination. */
class Exchange {
  readonly stream: ClientStream;
  readonly id: number;
  readonly seed: number;
  readonly upload: number;
  readonly download: number;
  connection: SimConnection | null = null;
  uploaded = 0;
  said = 0;
  checkedDown = 0;
  checkedUp = 0;

  constructor(stream: ClientStream, id: number, seed: number, upload: number, download: number) {
    this.stream = stream;
    this.id = id;
    this.seed = seed;
    this.upload = upload;
    this.download = download;
  }

  /** What has come is what was sent, in its order. */
  check(): void {
    const { received } = this.stream;
    for (; this.checkedDown < received.length; this.checkedDown++) {
      if (received[this.checkedDown] !== byteAt(this.seed, this.checkedDown))
        throw new Error(`byte ${this.checkedDown} of stream ${this.id} is wrong at the client`);
    }
    const came = this.connection?.received ?? [];
    for (; this.checkedUp < came.length; this.checkedUp++) {
      if (came[this.checkedUp] !== byteAt(this.seed + 7, this.checkedUp))
        throw new Error(`byte ${this.checkedUp} of stream ${this.id} is wrong at the destination`);
    }
    if (received.length > this.said || came.length > this.uploaded)
      throw new Error(`stream ${this.id} has bytes from nowhere`);
  }

  get isDone(): boolean {
    return (
      this.stream.received.length === this.download &&
      this.upload === (this.connection?.received.length ?? -1)
    );
  }

  get told(): string {
    const { received, isOpen, end } = this.stream;
    return (
      `stream ${this.id}: open ${isOpen}, ended ${end !== null}, down ${received.length}/${this.said}/${this.download}, ` +
      `up ${this.connection?.received.length}/${this.uploaded}/${this.upload}`
    );
  }
}

/** A client and what it does. */
class Party {
  readonly client: ExitClient;
  readonly exchanges: Exchange[] = [];
  /** Something was done to it that may end its set. */
  excused = false;
  /** Legs were ended: that ends the set, or loses nothing, or loses what neither end can know of (`expectNoneMissed`). */
  lostLegs = false;
  /** The exit's side of each leg that was linked, and of those that left what they had come to. */
  readonly exits = new Map<ExitLeg, ExitSide>();
  nextId = 1;

  constructor(client: ExitClient) {
    this.client = client;
  }

  get isOver(): boolean {
    return this.client.legs.every((leg) => leg.isOver);
  }

  /** Whether what was sent on a leg that ended, either way, did not arrive. */
  get hasLost(): boolean {
    for (const [{ leg, isOver }, { sent, received }] of this.exits) {
      if (isOver && (leg!.lastSeqSent > received || sent > leg!.lastSeqRecv)) return true;
    }
    return false;
  }
}

/** A leg at the exit, and the last numbers that were sent and came there. */
interface ExitSide {
  readonly home: SimWorker;
  readonly set: ConfluxSet;
  readonly leg: SetLeg;
  sent: number;
  received: number;
  /** When it sent last, and when it was in its set last. */
  sentMs: number;
  seenMs: number;
}

/** What only a peer's fault is counted as. */
const FAULTS = [
  'circuit_unexpected_sendme',
  'circuit_sendme_wrong_tag',
  'circuit_relay_malformed',
  'conflux_bad_sequence',
  'conflux_sequence_back',
  'conflux_data_loss',
  'conflux_early_message',
  'conflux_twice_refused',
  'conflux_too_many_legs',
  'conflux_queue_full',
  'joint_queue_full',
] as const;

export class ConfluxScenario extends ExitScenario {
  readonly parties: Party[] = [];
  protected readonly faults = FAULTS;
  private readonly stalled: { stalled: boolean }[] = [];

  constructor(seed: number) {
    const listed = Array.from({ length: 32 }, (_, n) => ({
      rsaId: new Uint8Array(20).fill(n + 1),
      ipv4: { host: Uint8Array.of(203, 0, 113, n + 1), port: 1 },
      ipv6: null,
    }));
    super(seed, (draw) => ({
      workers: 2 + draw.below(2),
      ringSlots: draw.pick([4, 8, 16, 128]),
      relayIndex: new RelayIndex(RelayIndex.create(listed)),
    }));
    const { draw } = this;
    const parties = 1 + draw.below(4);
    for (let i = 0; i < parties; i++) this.join(i, 1 + draw.below(LEGS_MOST));
  }

  private join(number: number, legs: number): void {
    const { world, relay } = this;
    const nonce = world.prng.bytes(32).slice();
    const client = new ExitClient(relay, nonce);
    client.ux = world.prng.pick([0, 1, 3, 3]);
    const party = new Party(client);
    client.onOpen = (leg) => leg.link();
    client.onLinked = (leg) => {
      const side = this.exitSideOf(leg);
      if (side !== null) party.exits.set(leg, side);
      // As C tor's client: no stream before all legs are linked.
      if (client.set.legs.length === client.legs.length) client.ready = true;
    };
    this.parties.push(party);
    for (let i = 0; i < legs; i++) {
      const n = number * LEGS_MOST + i + 1;
      const peer = Peer.connect(world, relay, {
        worker: world.prng.below(relay.workerCount),
        identity: { rsaId: new Uint8Array(20).fill(n), ed25519Id: new Uint8Array(32).fill(n) },
        from: { host: Uint8Array.of(203, 0, 113, n), port: 50_000 },
      });
      this.peers.push(peer);
      const leg = client.circuit(peer);
      leg.onOver = () => this.onOver(client, leg);
    }
  }

  /** As C tor's client: what a leg took along ends the set. */
  private onOver({ set }: ExitClient, { leg, inFlight }: ExitLeg): void {
    if (leg !== null && set.leave(leg, inFlight)) set.close(DestroyReason.FINISHED);
  }

  /** Find the exit's side of a leg whose LINKED came; null when it has ended meanwhile. */
  private exitSideOf(of: ExitLeg): ExitSide | null {
    const { workers } = this.relay;
    for (const { data, worker } of workers) {
      const slot = data.channels.bySlot.findIndex((channel) => channel?.wire === of.peer.wire.other);
      if (slot < 0) continue;
      const { legs } = data.plane.conflux;
      const circuit = legs.of(data.plane.table.find(slot, CIRC_ID) >> 1);
      if (circuit === null) return null;
      const home = workers[circuit.home]!;
      const { homes } = home.data.plane.conflux;
      const side = circuit.home === worker ? homes.localOf(circuit) : homes.remoteOf(worker, circuit.token);
      return side === null
        ? null
        : { home, set: side.home.set, leg: side.leg!, sent: 0, received: 0, sentMs: 0, seenMs: 0 };
    }
    return null;
  }

  /** Note how far legs have come, as long as they are in their sets. */
  private follow(): void {
    const { nowMs } = this.world;
    for (const { exits } of this.parties) {
      for (const side of exits.values()) {
        if (!side.set.legs.includes(side.leg)) continue;
        side.seenMs = nowMs;
        if (side.leg.lastSeqSent > side.sent) side.sentMs = nowMs;
        side.sent = side.leg.lastSeqSent;
        side.received = side.leg.lastSeqRecv;
      }
    }
  }

  protected play(): void {
    const { prng } = this.world;
    const mischiefs = prng.below(6);
    // While legs are being linked, too.
    const early = prng.below(4) === 0 ? EARLY_STEPS : 0;
    for (let i = 0; i < STEPS; i++) {
      const party = prng.pick(this.parties);
      if (party.client.ready && !party.isOver && prng.below(60) === 0) this.begin(party);
      if (party.exchanges.length > 0 && prng.below(2) === 0) this.act(party, prng.pick(party.exchanges));
      if (prng.below(i < early ? EARLY_STEPS : STEPS) < mischiefs) this.mischief();
      if (this.stalled.length > 0 && prng.below(300) === 0) this.stalled.pop()!.stalled = false;
      this.step(i);
    }
    for (const one of this.stalled.splice(0)) one.stalled = false;
  }

  private begin(party: Party): void {
    const { prng } = this.world;
    if (party.exchanges.length >= 5) return;
    const id = party.nextId++;
    const target = `192.0.2.${1 + this.parties.indexOf(party)}:${1000 + id}`;
    party.client.say(RelayCommand.BEGIN, id, encodeBegin(target));
    const stream = party.client.streams.get(id)!;
    party.exchanges.push(
      new Exchange(stream, id, prng.below(1000), prng.below(150_000), prng.below(300_000)),
    );
  }

  /** A stream's client or its destination does something. */
  private act({ client, excused, lostLegs }: Party, one: Exchange): void {
    const { prng } = this.world;
    const { connection } = one;
    const most = this.holding ? 1 + prng.below(20_000) : 50_000;
    const up = Math.min(most, one.upload - one.uploaded);
    if (up > 0 && one.stream.isOpen && client.waits < 200) {
      client.upload(one.id, bytesAt(one.seed + 7, one.uploaded, up));
      one.uploaded += up;
    }
    if (connection === null || connection.ended) return;
    if (!connection.accepted && !connection.accept() && !excused && !lostLegs)
      throw new Error(`${one.told} was given up`);
    if (this.holding && prng.below(8) === 0) connection.drain(prng.below(60_000));
    const down = Math.min(most, one.download - one.said);
    if (down <= 0 || connection.ended) return;
    one.said += down;
    connection.say(bytesAt(one.seed, one.said - down, down));
  }

  protected check(): void {
    this.follow();
    for (const { exchanges } of this.parties) for (const one of exchanges) one.check();
  }

  protected override look(worker: SimWorker): void {
    let legs = 0;
    for (const { client } of this.parties) legs += client.legs.length;
    for (const port of worker.data.plane.ports) {
      if (port !== null && port.jointCount > QUEUE_CELLS * legs + 4 * legs)
        throw new Error(`${port.jointCount} joint messages wait for a ring`);
    }
  }

  protected claim(connection: SimConnection): boolean {
    const { host, port } = connection.request;
    const party = this.parties[Number(host.split('.')[3]) - 1]!;
    const one = party.exchanges.find(({ id }) => id === port - 1000);
    if (one === undefined || one.connection !== null) return false;
    one.connection = connection;
    return true;
  }

  /** Break something, and say whom it may have hurt. */
  private mischief(): void {
    const { prng } = this.world;
    const party = prng.pick(this.parties);
    const leg: ExitLeg = prng.pick(party.client.legs);
    switch (prng.below(10)) {
      case 0:
        this.note('a leg ends');
        party.lostLegs = true;
        if (leg.isOpen && !leg.isOver) leg.destroy();
        return;
      case 1:
        this.note('the link of a leg breaks');
        party.lostLegs = true;
        leg.peer.wire.reset();
        return;
      case 7:
      case 8: {
        const resting = party.client.legs.filter(({ isOver, isAtRest }) => !isOver && isAtRest);
        if (!party.client.ready || resting.length === 0) return;
        this.note('a leg ends that nothing is on its way on');
        // Now and then long after: the set may go on.
        if (prng.below(3) > 0) this.world.nowMs += ARRIVED_MS + 100;
        party.lostLegs = true;
        prng.pick(resting).destroy();
        return;
      }
      case 2:
      case 3:
        this.note('a leg stops reading for a while');
        leg.peer.wire.stalled = true;
        this.stalled.push(leg.peer.wire);
        return;
      case 4:
        this.note('the exit reads nothing of a leg for a while');
        leg.peer.wire.other.stalled = true;
        this.stalled.push(leg.peer.wire.other);
        return;
      case 5:
      case 6: {
        const worker = prng.pick(this.relay.workers);
        this.note(`worker ${worker.worker} stands still for a while`);
        worker.stalled = true;
        this.stalled.push(worker);
        return;
      }
      default: {
        if (this.relay.workers.some(({ alive }) => !alive)) return;
        const worker = prng.below(this.relay.workerCount);
        this.note(`worker ${worker} dies`);
        this.relay.kill(worker);
        if (prng.below(2) === 0) this.relay.replace(worker);
        // Whoever has a leg there, or is at home there, or waits for an answer.
        for (const each of this.parties) each.excused = true;
      }
    }
  }

  protected letGo(): void {
    for (const party of this.parties) {
      if (party.isOver) continue;
      for (const one of party.exchanges) {
        one.connection?.drain(1e9);
        this.act(party, one);
      }
      party.client.pump();
    }
  }

  /** What nobody hurt is done, and what is over is over at both ends. */
  protected judge(): void {
    for (const party of this.parties) {
      for (const [{ isOver }, { home, set, leg }] of party.exits) {
        if (!home.alive) continue;
        if (set.closed && !isOver) throw new Error('a leg was not told that its set has ended');
        if (isOver && set.legs.includes(leg)) throw new Error('a set was not told that its leg has ended');
      }
      const { client, exchanges, excused, isOver, lostLegs } = party;
      if (!excused && !isOver) expectNoneMissed(party);
      if (excused || (lostLegs && (isOver || party.hasLost))) continue;
      const undone = exchanges.filter((one) => !one.isDone);
      if (isOver) throw new Error(`a set ended: ${client.legs.map(({ destroyed }) => destroyed)}`);
      if (undone.length > 0) throw new Error(`stuck: ${undone.map(({ told }) => told).join('; ')}`);
    }
  }
}

/** A set that lives has missed nothing that the exit can know of. @throws Error when it has */
function expectNoneMissed({ exits }: Party): void {
  for (const [{ leg, isOver }, { set, sent, sentMs, seenMs }] of exits) {
    if (set.hasLost) throw new Error('the exit waits for what nobody can bring');
    if (isOver && sent > leg!.lastSeqRecv && seenMs - sentMs < ARRIVED_MS)
      throw new Error('the client waits for what was sent on a leg right before that ended');
  }
}
