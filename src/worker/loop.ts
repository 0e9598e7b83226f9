/**
 * One worker's event loop: when a turn of the data plane happens, and what wakes it.
 *
 * A turn begins with the first event (socket data, doorbell, timer) and ends once, by `setImmediate`: rings are
 * emptied, timers run, dirty channels are flushed, rings are published, onion handshakes get their slice of time.
 * Nothing in a turn waits. What is left over arms the next turn; else the doorbell is armed and the worker sleeps.
 */
import { isLoopback } from '../bytes/address.ts';
import type { TellAddressSeen } from '../channel/address-seen.ts';
import { LinkHandshake } from '../channel/handshake.ts';
import type { Links } from '../channel/links.ts';
import { FLUSH_DELAY_MS } from '../channel/scheduler.ts';
import { dial, listenOn } from '../channel/tls.ts';
import { REFILL_WAKE_MS } from '../channel/token-bucket.ts';
import type { CircuitKeys, CircuitPlane } from '../circuit/plane.ts';
import { RandomPool } from '../circuit/random-pool.ts';
import { curve25519FromSecret, generateCurve25519 } from '../crypto/curve25519.ts';
import { createConnect } from '../edge/exit-socket.ts';
import { log } from '../log.ts';
import { AddressTable } from '../shm/address-table.ts';
import { Bandwidth } from '../shm/bandwidth.ts';
import { DnsCache } from '../shm/dns-cache.ts';
import { Doorbell } from '../shm/doorbell.ts';
import { DosTable } from '../shm/dos-table.ts';
import type {
  DnsReport,
  LetterToWorker,
  OnionKeysLetter,
  PortKind,
  RelayIndexBlock,
  RingPair,
  WorkerOptions,
} from '../shm/letter.ts';
import type { LinkCredentials } from '../shm/link-credentials.ts';
import { MemoryLedger } from '../shm/memory-ledger.ts';
import type { OriginNews, OriginOrder } from '../shm/origin-letter.ts';
import { RelayIndex } from '../shm/relay-index.ts';
import { Ring } from '../shm/ring.ts';
import { Roster } from '../shm/roster.ts';
import { Counter, Scoreboard } from '../shm/scoreboard.ts';
import type { ShelfBlock } from '../shm/shelf.ts';
import { BatchClock, wallSec } from '../time/clock.ts';
import { DataPlane } from './data-plane.ts';
import { DirPort } from './dir-port.ts';
import { Listeners } from './listeners.ts';
import { Lookups } from './lookups.ts';

/** What the data plane tells main: of circuits that main asked for, and at which address authorities see us. */
export interface LoopTells {
  readonly origin: (news: OriginNews) => void;
  readonly addressSeen: TellAddressSeen;
}

export type StartLetter = Extract<LetterToWorker, { kind: 'start' }>;

/** At least this often a turn happens, for timers. */
const TICK_MS = 100;

/** The loop of one worker. */
export class Loop {
  readonly worker: number;
  readonly data: DataPlane;
  readonly counters: Scoreboard;
  private readonly clock = new BatchClock();
  private readonly bells: Doorbell[] = [];
  private readonly listeners = new Listeners(
    (fd, credentials, onConnection) => listenOn(fd, credentials, this.links, onConnection),
    () => {
      this.counters.add(Counter.listeners_paused, 1);
      this.beginBatch();
    },
  );
  private readonly lookups: Lookups;
  private readonly dirPort: DirPort;
  private readonly dirListeners = new Listeners(
    (fd, _credentials, onConnection) => this.dirPort.listen(fd, onConnection),
    () => {
      this.counters.add(Counter.listeners_paused, 1);
      this.beginBatch();
    },
  );
  private armed = false;
  /** Something was left to do behind the part of a turn that would have done it. */
  private wanted = false;
  private flushTimer: ReturnType<typeof setTimeout> | null = null;
  /** Runs while a link waits for bandwidth. */
  private refillTimer: ReturnType<typeof setTimeout> | null = null;
  private ticker: ReturnType<typeof setInterval> | null = null;
  private readonly endBatch = (): void => this.onEndOfBatch();
  private readonly flushLater = (): void => {
    this.flushTimer = null;
    this.data.scheduler.flush(this.clock.read());
    this.data.publishRings();
    this.armRefill();
  };
  private readonly onRefill = (): void => {
    this.refillTimer = null;
    this.beginBatch();
  };
  private readonly onWake = (): void => {
    this.beginBatch();
  };

  /**
   * @param tell tells main of what cannot wait for it to ask
   * @param onShelves told of the oldest generation of the shelf that is in use, when it has changed
   * @param tellDns tells main what was found out about nameservers
   */
  constructor(
    letter: StartLetter,
    tell: LoopTells,
    onShelves: (oldest: number) => void,
    tellDns: (report: DnsReport) => void,
  ) {
    this.worker = letter.worker;
    const { shared, worker } = letter;
    const random = new RandomPool();
    this.counters = new Scoreboard(shared.scoreboard, worker);
    for (let i = 0; i < letter.workers; i++) this.bells.push(new Doorbell(shared.doorbells, i));
    const memory = new MemoryLedger(shared.memory, worker);
    this.lookups = new Lookups(
      {
        counters: this.counters,
        random: random.bytes,
        now: () => this.clock.read(),
        cache: new DnsCache(shared.dns, worker),
        memory,
        worker,
      },
      letter.options.exit,
      tellDns,
    );
    this.data = new DataPlane({
      worker,
      workers: letter.workers,
      counters: this.counters,
      roster: new Roster(shared.roster, worker),
      relayIndex: new RelayIndex(letter.relayIndex),
      halfOpen: new AddressTable(shared.halfOpen, worker),
      bandwidth: new Bandwidth(shared.bandwidth),
      memory,
      wakeOthers: () => this.wakeOthers(),
      emptyCaches: () => this.lookups.resolver.dropCache(),
      collectGarbage: (atOnce) => Bun.gc(atOnce),
      dos: new DosTable(shared.dos, worker, () => random.u32() / 2 ** 32),
      options: letter.options,
      credentials: letter.credentials,
      keys: circuitKeys(letter.credentials, letter.onionKeys),
      random,
      clock: () => this.clock.read(),
      wallSec,
      beginBatch: () => this.beginBatch(),
      soon: queueMicrotask,
      dial,
      handshake: (config) => new LinkHandshake({ ...config, anonymous: letter.isClient === true }),
      tellOrigin: tell.origin,
      tellAddressSeen: tell.addressSeen,
      onShelves,
      shelf: letter.shelf,
      connect: createConnect(() => this.beginBatch()),
      resolver: this.lookups.resolver,
    });
    for (const pair of letter.rings) this.attach(pair);
    this.dirPort = this.makeDirPort(letter);
    const lent = (kind: PortKind) => letter.listeners.filter((each) => each.kind === kind);
    this.listeners.take(lent('or'), letter.credentials);
    this.dirListeners.take(lent('directory'), letter.credentials);
    this.ticker = setInterval(this.onWake, TICK_MS);
    this.beginBatch();
  }

  private makeDirPort({ shared, options }: StartLetter): DirPort {
    return new DirPort(
      {
        service: this.data.directory,
        counters: this.counters,
        bandwidth: new Bandwidth(shared.bandwidth),
        clock: () => this.clock.read(),
        sockets: () => this.links.sockets,
      },
      options,
    );
  }

  private wakeOthers(): void {
    for (const [worker, bell] of this.bells.entries()) if (worker !== this.worker) bell.ring();
  }

  get plane(): CircuitPlane {
    return this.data.plane;
  }

  get links(): Links {
    return this.data.links;
  }

  /** Start or join the current turn. Returns its time. */
  beginBatch(): number {
    this.wanted = true;
    if (!this.armed) {
      this.armed = true;
      this.plane.nowMs = this.clock.read();
      setImmediate(this.endBatch);
    }
    return this.plane.nowMs;
  }

  private onEndOfBatch(): void {
    const turnMs = this.plane.nowMs;
    this.lookups.tick();
    let left = this.data.work();
    // From here on a flush may let streams go on, and a write may end a link: that is for another turn.
    this.wanted = false;
    this.flush();
    this.data.publishRings();
    this.listeners.nextTurn();
    this.dirListeners.nextTurn();
    if (this.data.hasHandshakes) {
      if (this.data.workOnHandshakes(turnMs)) left = true;
      else this.flush();
      this.data.publishRings();
    }
    this.armed = false;
    this.armRefill();
    // A write may have ended a channel, whose circuits' DESTROYs are then staged on others.
    const isDirty = this.flushTimer === null && this.data.scheduler.dirtyCount > 0;
    if (left || this.wanted || isDirty) this.beginBatch();
    else this.sleep();
  }

  /** A link that waits for bandwidth, since a read or a write, is looked at again soon. */
  private armRefill(): void {
    if (this.refillTimer !== null) return;
    if (!this.data.throttle.isWaiting && !this.data.edge.isWaiting) return;
    this.refillTimer = setTimeout(this.onRefill, REFILL_WAKE_MS);
  }

  private flush(): void {
    const { scheduler } = this.data;
    if (scheduler.dirtyCount === 0) return;
    const { nowMs } = this.plane;
    if (scheduler.shouldWait(nowMs)) {
      if (this.flushTimer === null) this.flushTimer = setTimeout(this.flushLater, FLUSH_DELAY_MS);
      return;
    }
    scheduler.flush(nowMs);
  }

  /** Nothing left to do: ask to be woken, and look once more at what may have come meanwhile. */
  private sleep(): void {
    const bell = this.bells[this.worker]!;
    bell.arm(this.onWake);
    if (!this.data.hasRingWork()) return;
    bell.disarm();
    this.beginBatch();
  }

  /** A new link key: later connections get it, those already accepted go on with theirs. */
  setCredentials(credentials: LinkCredentials): void {
    this.links.credentials = credentials;
    this.listeners.renew(credentials);
  }

  setOnionKeys(onionKeys: OnionKeysLetter): void {
    this.plane.keys.onionKeys = onionKeyPairs(onionKeys);
  }

  setRelayIndex(block: RelayIndexBlock): void {
    this.data.setRelayIndex(new RelayIndex(block));
  }

  setShelf(block: ShelfBlock): void {
    this.data.directory.setShelf(block);
  }

  setOptions(options: WorkerOptions): void {
    this.lookups.setParams(options.exit);
    this.data.setOptions(options);
    this.dirPort.setOptions(options);
  }

  /** Do what main asks about circuits of our own. */
  takeOriginOrder(order: OriginOrder): void {
    this.beginBatch();
    this.data.originMail.take(order);
  }

  /** A worker died: its legs are destroyed, its rings forgotten. */
  detach(worker: number): void {
    this.data.detach(worker);
    this.beginBatch();
  }

  /** Use these rings from now on. */
  attach(pair: RingPair): void {
    const own = this.bells[this.worker]!;
    const other = this.bells[pair.worker]!;
    const outgoing = new Ring(pair.outgoing, other, own);
    const incoming = new Ring(pair.incoming, own, other);
    this.data.attach(pair.worker, outgoing, incoming);
    this.beginBatch();
  }

  /** Accept no more connections and circuits. */
  closeListeners(): void {
    this.listeners.close();
    this.dirListeners.close();
    this.plane.hibernating = true;
  }

  /** Close everything and let the thread end. */
  stop(): void {
    this.closeListeners();
    this.links.closeAll();
    this.lookups.resolver.close();
    this.dirPort.close();
    if (this.ticker !== null) clearInterval(this.ticker);
    if (this.flushTimer !== null) clearTimeout(this.flushTimer);
    if (this.refillTimer !== null) clearTimeout(this.refillTimer);
    this.bells[this.worker]!.close();
  }

  /** Say what this worker holds (USR1). */
  dump(): void {
    const { table, parked, onionQueue } = this.plane;
    log.notice(
      'general',
      `Worker ${this.worker}: ${this.data.channels.count} channels (${this.links.halfOpen} half open), ` +
        `${table.count} circuits, ${parked.used} cells waiting, ${onionQueue.length} handshakes waiting, ` +
        `${this.lookups.resolver.client.inFlight} questions to nameservers, ` +
        `${this.data.wheel.size} timers, ${this.data.edge.table.count} streams.`,
    );
  }

  /** Say which links over loopback this worker holds: `<PORT` for one from that port, `>PORT` for one to it. */
  tellLinks(): void {
    const ports: string[] = [];
    for (const channel of this.data.channels.bySlot) {
      if (channel === null || !isLoopback(channel.peerHost)) continue;
      ports.push(`${channel.initiated ? '>' : '<'}${channel.peerPort}`);
    }
    log.notice('general', `Links of worker ${this.worker}: ${ports.join(' ')}`);
  }
}

function onionKeyPairs(letter: OnionKeysLetter) {
  const pairs = [curve25519FromSecret(letter.current.secretKey)];
  if (letter.previous !== null) pairs.push(curve25519FromSecret(letter.previous.secretKey));
  return pairs;
}

function circuitKeys(credentials: LinkCredentials, onionKeys: OnionKeysLetter): CircuitKeys {
  return {
    rsaId: credentials.rsaId,
    ed25519Id: credentials.ed25519Id,
    onionKeys: onionKeyPairs(onionKeys),
    junk: generateCurve25519(),
  };
}
