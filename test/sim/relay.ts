/**
 * One of our relays in a simulated world: real data planes, one per worker, joined by rings of few slots.
 */
import { type Endpoint, printIp } from '../../src/bytes/address.ts';
import { FLUSH_DELAY_MS } from '../../src/channel/scheduler.ts';
import { REFILL_WAKE_MS } from '../../src/channel/token-bucket.ts';
import type { CircuitKeys } from '../../src/circuit/plane.ts';
import { RandomPool } from '../../src/circuit/random-pool.ts';
import { type Curve25519KeyPair, generateCurve25519 } from '../../src/crypto/curve25519.ts';
import { NO_EXIT } from '../../src/daemon/exit-side.ts';
import { AddressTable } from '../../src/shm/address-table.ts';
import { Bandwidth } from '../../src/shm/bandwidth.ts';
import { DosTable } from '../../src/shm/dos-table.ts';
import { FLOW_DEFAULTS } from '../../src/shm/flow-params.ts';
import type { WorkerOptions } from '../../src/shm/letter.ts';
import type { LinkCredentials } from '../../src/shm/link-credentials.ts';
import { MemoryLedger } from '../../src/shm/memory-ledger.ts';
import type { OriginNews } from '../../src/shm/origin-letter.ts';
import { RelayIndex } from '../../src/shm/relay-index.ts';
import { Ring } from '../../src/shm/ring.ts';
import { Roster } from '../../src/shm/roster.ts';
import { Counter, type CounterName, Scoreboard } from '../../src/shm/scoreboard.ts';
import { emptyShelf } from '../../src/shm/shelf.ts';
import { DataPlane } from '../../src/worker/data-plane.ts';
import { Listeners } from '../../src/worker/listeners.ts';
import { DOS_LIMITS } from '../shm/dos-limits.ts';
import { Backlog } from './backlog.ts';
import { Destinations } from './destinations.ts';
import { SimBell, SimRing, spoilFreed } from './doubles.ts';
import { StubHandshake } from './stub-handshake.ts';
import type { WireEnd, WireEvents } from './wire.ts';
import { type Actor, eventsOf, SESSION, type World } from './world.ts';

export const OPTIONS: WorkerOptions = {
  generation: 1,
  logThreshold: 4,
  safeLogging: '1',
  protocolWarnings: false,
  extendAllowPrivateAddresses: false,
  allowNonearlyExtend: false,
  testingTorNetwork: false,
  bindIpv4: null,
  bindIpv6: null,
  ownAddresses: [],
  publishedHosts: [],
  authorityIds: [],
  ipv6Extends: false,
  maxOnionQueueDelayMs: 1750,
  onionQueueCutoffMs: 5000,
  circQueueCellsMax: 2500,
  circuitPriorityHalfLifeMs: 30_000,
  circQueueCellsMaxOut: 2500,
  dos: DOS_LIMITS,
  circuitsPerRelayMax: 10_000,
  circuitsPerClientMax: 10_000,
  circuitsMax: 100_000,
  maxMemInQueues: 2 ** 33,
  ccSendmeInc: 31,
  flow: FLOW_DEFAULTS,
  exit: NO_EXIT,
  confluxEnabled: true,
  confluxLegsMax: 8,
  confluxHeldBytesMax: 2 ** 31 - 1,
  paddingEnabled: false,
  padRelays: false,
  padBeforeUsage: true,
  paddingLowMs: 1500,
  paddingHighMs: 9500,
  idleRelayTimeoutMs: 3_600_000,
  idleClientTimeoutMs: 185_000,
  halfOpenPerAddressMax: 1000,
  halfOpenMax: 10_000,
  handshakeTimeoutMs: 30_000,
  keepaliveMs: 300_000,
  linksMax: 10_000,
  dialsPerLinkMax: 1000,
  dialsPerRelayMax: 1000,
  extendTimeoutMs: 60_000,
  bandwidthRate: 2 ** 30,
  bandwidthBurst: 2 ** 30,
  relayBandwidthRate: 0,
  relayBandwidthBurst: 0,
  perConnBwRate: 2 ** 30,
  perConnBwBurst: 2 ** 30,
  countPrivateBandwidth: true,
  directory: { isCache: false, isBridge: false, frontPage: null, policy: [] },
};

export interface SimRelayConfig {
  readonly host: Uint8Array;
  readonly port?: number;
  readonly workers?: number;
  readonly ringSlots?: number;
  readonly options?: Partial<WorkerOptions>;
  readonly relayIndex?: RelayIndex;
}

/** A test that bounds queues means both ways, unless it says so. */
function bothQueues({ circQueueCellsMax }: Partial<WorkerOptions> = {}): Partial<WorkerOptions> {
  return circQueueCellsMax === undefined ? {} : { circQueueCellsMaxOut: circQueueCellsMax };
}

/** Credentials of which only the identities are real. */
function credentialsOf(rsaId: Uint8Array, ed25519Id: Uint8Array): LinkCredentials {
  const none = new Uint8Array(0);
  return {
    generation: 1,
    rsaId,
    rsaPublicDer: none,
    ed25519Id,
    tlsKeyPem: '',
    tlsCertPem: '',
    tlsCertDer: none,
    responderCerts: none,
    initiatorCerts: none,
    authSecret: none,
    authPublic: none,
  };
}

/** One worker: its data plane and when it takes a turn. */
export class SimWorker implements Actor {
  readonly relay: SimRelay;
  readonly worker: number;
  readonly data: DataPlane;
  private readonly listeners: Listeners;
  alive = true;
  readonly bell = new SimBell(() => this.wake());
  /** Something happened here since whoever audits looked last. */
  touched = true;
  /** A turn is to come, whoever rings. */
  armed = true;
  /** When the timer of those who wait for bandwidth goes off, and that of a flush which was put off. */
  refillDueMs = Number.POSITIVE_INFINITY;
  flushDueMs = Number.POSITIVE_INFINITY;
  /** Takes no turn, as one that the machine has no time for. */
  stalled = false;
  /** How often caches had to be given up. */
  cachesEmptied = 0;

  constructor(relay: SimRelay, worker: number, options: WorkerOptions, relayIndex: RelayIndex) {
    this.relay = relay;
    this.worker = worker;
    const { world } = relay;
    const { prng } = world;
    this.data = new DataPlane({
      worker,
      workers: relay.workerCount,
      counters: new Scoreboard(relay.scoreboard, worker),
      roster: new Roster(relay.rosterBlock, worker),
      relayIndex,
      halfOpen: new AddressTable(relay.halfOpenBlock, worker),
      bandwidth: new Bandwidth(relay.bandwidthBlock),
      memory: new MemoryLedger(relay.memoryBlock, worker),
      emptyCaches: () => {
        this.cachesEmptied++;
      },
      wakeOthers: () => {
        for (const other of relay.workers) if (other !== this) other.wake();
      },
      collectGarbage: () => {},
      dos: new DosTable(relay.dosBlock, worker, () => prng.u32() / 2 ** 32),
      options,
      credentials: relay.credentials,
      keys: relay.keys,
      random: new RandomPool((pool) => {
        for (let i = 0; i < pool.length; i++) pool[i] = prng.u32();
      }),
      clock: () => world.nowMs,
      wallSec: () => 1_790_000_000,
      beginBatch: () => this.beginBatch(),
      soon: (task) => world.later(task),
      dial: world.dialFrom({ host: relay.host, port: 40_000 + worker }, () => this.alive),
      handshake: (config) => new StubHandshake(config),
      connect: relay.destinations.connectFor(() => this.beginBatch()),
      resolver: relay.destinations,
      tellAddressSeen: (host, peerHost) => relay.addressesSeen.push({ host, peerHost }),
      tellOrigin: (news) => relay.originNews.push(news),
      onShelves: () => {},
      shelf: emptyShelf(new Uint8Array(20)),
    });
    spoilFreed(this.data);
    const backlog = relay.backlogs[worker]!;
    this.listeners = new Listeners(
      (_fd, credentials, onConnection) =>
        backlog.listen((wire, remote) => this.accept(wire, remote, credentials), onConnection),
      () => this.beginBatch(),
      (fd) => fd,
    );
    this.listeners.take(
      [{ fd: worker, endpoint: { host: relay.host, port: relay.port } }],
      relay.credentials,
    );
  }

  private accept(wire: WireEnd, remote: Endpoint, credentials: LinkCredentials): WireEvents | null {
    const { links } = this.data;
    const link = links.onAccept(wire, remote, credentials);
    if (link === null) return null;
    this.relay.world.later(() => links.onSecured(link, SESSION));
    return eventsOf(links, link);
  }

  private beginBatch(): number {
    this.touched = true;
    if (!this.armed) {
      this.armed = true;
      this.data.plane.nowMs = this.relay.world.nowMs;
    }
    return this.data.plane.nowMs;
  }

  setOptions(options: WorkerOptions): void {
    this.data.setOptions(options);
    this.touched = true;
  }

  /** Another worker died. */
  detach(worker: number): void {
    this.data.detach(worker);
    this.wake();
  }

  wake(): void {
    this.armed = true;
  }

  /** Whether it would take a turn, if it is let. */
  get isDue(): boolean {
    return this.armed || this.relay.world.nowMs >= this.refillDueMs;
  }

  private get isFlushDue(): boolean {
    return this.relay.world.nowMs >= this.flushDueMs;
  }

  get soonMs(): number {
    return this.alive && !this.stalled ? this.flushDueMs : Number.POSITIVE_INFINITY;
  }

  ready(): boolean {
    return this.alive && !this.stalled && (this.isDue || this.isFlushDue);
  }

  /** Take a turn, or make up for a flush that was put off: whichever comes first, if both are due. */
  turn(): void {
    const { prng } = this.relay.world;
    this.touched = true;
    if (!this.isFlushDue || (this.isDue && prng.below(2) === 0)) this.takeTurn();
    else this.flushLater();
  }

  /** As `worker/loop` has it: what is left over arms the next turn, else the bell is armed and looked past once more. */
  private takeTurn(): void {
    const { data, bell } = this;
    const { nowMs } = this.relay.world;
    if (nowMs >= this.refillDueMs) this.refillDueMs = Number.POSITIVE_INFINITY;
    bell.asleep = false;
    this.armed = true;
    let left = data.work();
    this.flush();
    data.publishRings();
    this.listeners.nextTurn();
    if (data.hasHandshakes) {
      if (data.workOnHandshakes(nowMs)) left = true;
      else this.flush();
      data.publishRings();
    }
    this.armed = false;
    this.armRefill();
    if (left || (this.flushDueMs === Number.POSITIVE_INFINITY && data.scheduler.dirtyCount > 0))
      this.beginBatch();
    else this.sleep();
  }

  private flush(): void {
    const { scheduler, plane } = this.data;
    if (scheduler.dirtyCount === 0) return;
    if (!scheduler.shouldWait(plane.nowMs)) scheduler.flush(plane.nowMs);
    else if (this.flushDueMs === Number.POSITIVE_INFINITY)
      this.flushDueMs = this.relay.world.nowMs + FLUSH_DELAY_MS;
  }

  private flushLater(): void {
    this.flushDueMs = Number.POSITIVE_INFINITY;
    this.data.scheduler.flush(this.relay.world.nowMs);
    this.data.publishRings();
    this.armRefill();
  }

  private armRefill(): void {
    if (this.refillDueMs < Number.POSITIVE_INFINITY) return;
    if (!this.data.throttle.isWaiting && !this.data.edge.isWaiting) return;
    this.refillDueMs = this.relay.world.nowMs + REFILL_WAKE_MS;
  }

  private sleep(): void {
    this.bell.asleep = true;
    if (!this.data.hasRingWork()) return;
    this.bell.asleep = false;
    this.beginBatch();
  }
}

export class SimRelay {
  readonly world: World;
  readonly host: Uint8Array;
  readonly port: number;
  readonly workerCount: number;
  readonly workers: SimWorker[] = [];
  /** Where connections to the workers wait, one for each. */
  readonly backlogs: Backlog[] = [];
  readonly destinations = new Destinations();
  readonly rsaId: Uint8Array;
  readonly ed25519Id: Uint8Array;
  readonly onionKey: Curve25519KeyPair = generateCurve25519();
  readonly keys: CircuitKeys;
  readonly credentials: LinkCredentials;
  readonly scoreboard: SharedArrayBuffer;
  readonly rosterBlock: SharedArrayBuffer;
  readonly halfOpenBlock: SharedArrayBuffer;
  readonly memoryBlock: SharedArrayBuffer;
  readonly memory: MemoryLedger;
  readonly bandwidthBlock: SharedArrayBuffer;
  readonly bandwidth: Bandwidth;
  readonly dosBlock: SharedArrayBuffer;
  readonly dos: DosTable;
  readonly roster: Roster;
  private readonly board: Scoreboard;
  private options: WorkerOptions;
  /** What main would be told of our address. */
  readonly addressesSeen: { host: Uint8Array; peerHost: Uint8Array }[] = [];
  /** What main would be told of its circuits. */
  readonly originNews: OriginNews[] = [];
  private readonly relayIndex: RelayIndex;
  private readonly ringSlots: number;
  /** Which worker takes the next connection; null draws one. */
  nextWorker: number | null = null;
  /** Which worker takes a test's next client; null draws one. */
  pinned: number | null = null;

  constructor(world: World, config: SimRelayConfig) {
    this.world = world;
    this.host = config.host;
    this.port = config.port ?? 9001;
    this.workerCount = config.workers ?? 1;
    this.rsaId = world.prng.bytes(20);
    this.ed25519Id = world.prng.bytes(32);
    this.credentials = credentialsOf(this.rsaId, this.ed25519Id);
    this.keys = {
      rsaId: this.rsaId,
      ed25519Id: this.ed25519Id,
      onionKeys: [this.onionKey],
      junk: generateCurve25519(),
    };
    this.scoreboard = Scoreboard.create(this.workerCount);
    this.rosterBlock = Roster.create(1024, world.prng.bytes(8));
    this.halfOpenBlock = AddressTable.create(this.workerCount, 1024, world.prng.bytes(8));
    this.memoryBlock = MemoryLedger.create(this.workerCount);
    this.memory = new MemoryLedger(this.memoryBlock, this.workerCount);
    this.dosBlock = DosTable.create(this.workerCount, 1024, world.prng.bytes(8));
    this.dos = new DosTable(this.dosBlock, this.workerCount);
    this.board = new Scoreboard(this.scoreboard, this.workerCount);
    this.roster = new Roster(this.rosterBlock, this.workerCount);
    this.options = { ...OPTIONS, ...bothQueues(config.options), ...config.options };
    this.ringSlots = config.ringSlots ?? 128;
    this.bandwidthBlock = Bandwidth.create(this.workerCount, world.nowMs);
    this.bandwidth = new Bandwidth(this.bandwidthBlock);
    this.bandwidth.setLimits(this.options);
    this.relayIndex = config.relayIndex ?? new RelayIndex(RelayIndex.create([]));
    for (let i = 0; i < this.workerCount; i++) {
      this.backlogs.push(new Backlog(() => !this.workers[i]!.stalled));
      this.workers.push(new SimWorker(this, i, this.options, this.relayIndex));
    }
    for (let a = 0; a < this.workerCount; a++) {
      for (let b = 0; b < a; b++) this.join(a, b, this.ringSlots);
    }
    world.actors.push(...this.workers, ...this.backlogs);
    world.tickers.push(() => {
      for (const worker of this.workers) worker.wake();
    });
    world.listen(printIp(this.host), this.port, {
      accept: (wire, remote) => {
        this.backlogs[this.nextWorker ?? world.prng.below(this.workerCount)]!.push(wire, remote);
        return undefined;
      },
    });
  }

  /** Give two workers fresh rings to each other. */
  join(a: number, b: number, slots: number): void {
    const there = Ring.create(slots);
    const back = Ring.create(slots);
    const [one, other] = [this.workers[a]!, this.workers[b]!];
    const [bellA, bellB] = [one.bell.asDoorbell, other.bell.asDoorbell];
    const onTaken = () => {
      this.world.moved++;
    };
    const thereRing = () => new SimRing(there, bellB, bellA, onTaken);
    const backRing = () => new SimRing(back, bellA, bellB, onTaken);
    one.data.attach(b, thereRing(), backRing());
    other.data.attach(a, backRing(), thereRing());
    one.wake();
    other.wake();
  }

  /** Have other options from now on; each worker hears of it in its own time. */
  reload(changed: Partial<WorkerOptions>): void {
    const options = { ...OPTIONS, ...changed };
    this.options = options;
    this.bandwidth.setLimits(options);
    for (const worker of this.workers) {
      this.world.later(() => {
        if (worker.alive) worker.setOptions(options);
      });
    }
  }

  /** Kill a worker: its connections break, the others let go of it. */
  kill(worker: number): void {
    const dead = this.workers[worker]!;
    dead.alive = false;
    this.backlogs[worker]!.leave();
    for (const channel of dead.data.channels.bySlot) {
      const wire = (channel?.wire ?? null) as WireEnd | null;
      if (wire === null) continue;
      wire.events = { onData() {}, onDrain() {}, onGone() {} };
      wire.reset();
    }
    this.world.later(() => {
      for (const other of this.workers) if (other.alive) other.detach(worker);
      this.roster.dropWorker(worker);
      this.memory.dropWorker(worker);
      this.bandwidth.dropWorker(worker);
      this.dos.dropWorker(worker);
    });
  }

  /** A successor of a worker that died takes its place, with fresh rings. */
  replace(worker: number): void {
    this.backlogs[worker]!.keep();
    this.world.later(() => {
      const dead = this.workers[worker]!;
      const successor = new SimWorker(this, worker, this.options, this.relayIndex);
      this.workers[worker] = successor;
      this.world.actors[this.world.actors.indexOf(dead)] = successor;
      for (const { alive, worker: other } of this.workers) {
        if (alive && other !== worker) this.join(worker, other, this.ringSlots);
      }
    });
  }

  /** One worker's count of something. */
  counted(worker: number, counter: number): number {
    return this.board.of(worker, counter);
  }

  /** The relay's count of something, over all workers. */
  count(name: CounterName): number {
    return this.board.total(Counter[name]);
  }
}
