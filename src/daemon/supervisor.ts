/**
 * The workers: started, told, watched, replaced.
 *
 * Any close that was not asked for is a death. Then the survivors destroy their legs to the dead worker and
 * acknowledge, its rows and locks in shared memory are freed, and a successor starts with fresh rings on the same
 * listening sockets. Letters that need an answer wait for every living worker; one that stays silent is named.
 */
import type { Endpoint } from '../bytes/address.ts';
import { printEndpoint } from '../bytes/address.ts';
import { Bug, EXIT_PORTS, OperatorError } from '../fault.ts';
import { closeFd, dupFd, isFault } from '../libc.ts';
import { type LogRecord, log } from '../log.ts';
import { AddressTable } from '../shm/address-table.ts';
import { Bandwidth } from '../shm/bandwidth.ts';
import { DnsCache } from '../shm/dns-cache.ts';
import { Doorbell } from '../shm/doorbell.ts';
import { DosTable } from '../shm/dos-table.ts';
import type {
  DnsReport,
  LentListener,
  LetterToMain,
  LetterToWorker,
  OnionKeysLetter,
  PortKind,
  RelayIndexBlock,
  RingPair,
  SharedBlocks,
  WorkerOptions,
} from '../shm/letter.ts';
import type { LinkCredentials } from '../shm/link-credentials.ts';
import { MemoryLedger } from '../shm/memory-ledger.ts';
import type { OriginNews, OriginOrder } from '../shm/origin-letter.ts';
import { RelayIndex } from '../shm/relay-index.ts';
import { Ring, slotsPerRing } from '../shm/ring.ts';
import { Roster } from '../shm/roster.ts';
import { Counter, Scoreboard } from '../shm/scoreboard.ts';
import { emptyShelf, type ShelfBlock } from '../shm/shelf.ts';
import { WORKER_URL } from '../thread-entry.ts';
import { monotonicMs } from '../time/clock.ts';
import { settleDead } from './vital-signs.ts';

/** One port's listening sockets: one per worker, kept by main for as long as it runs. */
export interface PortSockets {
  readonly endpoint: Endpoint;
  readonly kind: PortKind;
  readonly fds: readonly number[];
}

export interface SupervisorConfig {
  readonly workers: number;
  readonly ports: readonly PortSockets[];
  readonly options: WorkerOptions;
  readonly credentials: LinkCredentials;
  readonly onionKeys: OnionKeysLetter;
  /** Takes the records that workers letter. */
  readonly onLog: (record: LogRecord) => void;
  /** What workers tell of circuits that were asked for by `postOrigin`. */
  readonly onOrigin?: (news: OriginNews) => void;
  /** An authority at `peerHost` sees us at `host`. */
  readonly onAddressSeen?: (host: Uint8Array, peerHost: Uint8Array) => void;
  /** A worker died. */
  readonly onWorkerLost?: (worker: number) => void;
  /** Takes what workers find out about nameservers. */
  readonly onDnsReport: (report: DnsReport) => void;
  /** Where the threads are; tests bring their own. */
  readonly workerUrl?: string;
  /** How long to wait for acknowledgements. */
  readonly ackTimeoutMs?: number;
}

const ACK_TIMEOUT_MS = 10_000;
/** A worker that hangs does not keep us from ending for longer. */
const STOP_TIMEOUT_MS = 2000;
const DROP_RETRY_MS = 20;
/** A worker that dies again and again while it starts is started ever more seldom. */
const RESTART_DELAY_MS = 250;
const RESTART_DELAY_MOST_MS = 10_000;

/** A worker has no ring to itself. */
const NO_RING = new SharedArrayBuffer(0);

interface Seat {
  worker: Worker | null;
  /** Ends were asked for: a close is no death then. */
  leaving: boolean;
  lent: number[];
  /** Deaths in a row before it was ready. */
  stillborn: number;
  ready: boolean;
}

interface Waiting {
  readonly missing: Set<number>;
  readonly done: () => void;
}

/** All workers of the process. */
export class Supervisor {
  readonly scoreboard: Scoreboard;
  /** The limits of the whole process, our own directory traffic included. */
  readonly bandwidth: Bandwidth;
  readonly memory: MemoryLedger;
  restarts = 0;
  private readonly config: SupervisorConfig;
  private readonly shared: SharedBlocks;
  private readonly roster: Roster;
  private readonly halfOpen: AddressTable;
  private readonly dos: DosTable;
  private readonly dns: DnsCache;
  private readonly seats: Seat[] = [];
  private readonly rings: SharedArrayBuffer[][] = [];
  private readonly waiting = new Map<string, Waiting>();
  private readonly readies = new Map<number, { ready: () => void; failed: (error: Error) => void }>();
  private options: WorkerOptions;
  private credentials: LinkCredentials;
  private onionKeys: OnionKeysLetter;
  private relayIndex: RelayIndexBlock = RelayIndex.create([]);
  private shelf: ShelfBlock;
  /** The oldest generation of the shelf that each worker still reads from. */
  private readonly shelvesInUse: number[];
  private nextGeneration = 1;
  private started = false;
  private stopping = false;
  private listening = true;
  private mourning: Promise<void> = Promise.resolve();

  constructor(config: SupervisorConfig) {
    this.config = config;
    this.options = config.options;
    this.credentials = config.credentials;
    this.onionKeys = config.onionKeys;
    const { workers } = config;
    this.shelf = emptyShelf(config.credentials.rsaId);
    this.shelvesInUse = new Array<number>(workers).fill(0);
    this.shared = {
      roster: Roster.create(),
      scoreboard: Scoreboard.create(workers),
      doorbells: Doorbell.create(workers),
      halfOpen: AddressTable.create(workers),
      bandwidth: Bandwidth.create(workers, monotonicMs()),
      memory: MemoryLedger.create(workers),
      dos: DosTable.create(workers),
      dns: DnsCache.create(workers),
    };
    this.scoreboard = new Scoreboard(this.shared.scoreboard, workers);
    this.memory = new MemoryLedger(this.shared.memory, workers);
    this.roster = new Roster(this.shared.roster, workers);
    this.halfOpen = new AddressTable(this.shared.halfOpen, workers);
    this.bandwidth = new Bandwidth(this.shared.bandwidth);
    this.bandwidth.setLimits(config.options);
    this.dos = new DosTable(this.shared.dos, workers);
    this.dns = new DnsCache(this.shared.dns, workers);
    for (let from = 0; from < workers; from++) {
      this.rings.push([]);
      for (let to = 0; to < workers; to++) this.rings[from]!.push(to === from ? NO_RING : this.makeRing());
      this.seats.push({ worker: null, leaving: false, lent: [], stillborn: 0, ready: false });
    }
  }

  /** Start every worker and wait until all are ready. */
  async start(): Promise<void> {
    await Promise.all(this.seats.map((_, worker) => this.startWorker(worker)));
    this.started = true;
  }

  private makeRing(): SharedArrayBuffer {
    return Ring.create(slotsPerRing(this.config.workers));
  }

  private pairFor(worker: number, other: number): RingPair {
    return { worker: other, outgoing: this.rings[worker]![other]!, incoming: this.rings[other]![worker]! };
  }

  private startWorker(index: number): Promise<void> {
    const seat = this.seats[index]!;
    const listeners = this.lend(index);
    seat.lent = listeners.map(({ fd }) => fd);
    seat.leaving = false;
    seat.ready = false;
    const worker = new Worker(this.config.workerUrl ?? WORKER_URL);
    seat.worker = worker;
    const ready = new Promise<void>((resolve, reject) => {
      this.readies.set(index, { ready: resolve, failed: reject });
    });
    worker.onmessage = (event: MessageEvent<LetterToMain>) => this.take(event.data);
    worker.addEventListener('close', () => this.onClosed(index, worker));
    worker.addEventListener('error', (event: ErrorEvent) => {
      log.err('bug', `Worker ${index}: ${event.message}`);
    });
    const rings: RingPair[] = [];
    for (const [other, { worker: living }] of this.seats.entries()) {
      if (other !== index && living !== null) rings.push(this.pairFor(index, other));
    }
    this.post(index, {
      kind: 'start',
      worker: index,
      workers: this.config.workers,
      shared: this.shared,
      rings: this.allPairs(index, rings),
      options: this.options,
      credentials: this.credentials,
      onionKeys: this.onionKeys,
      relayIndex: this.relayIndex,
      shelf: this.shelf,
      listeners,
    });
    return ready;
  }

  /** At the first start the others are about to live; later a dead one is left out until it is back. */
  private allPairs(index: number, living: RingPair[]): RingPair[] {
    if (this.restarts > 0) return living;
    const pairs: RingPair[] = [];
    for (let other = 0; other < this.config.workers; other++) {
      if (other !== index) pairs.push(this.pairFor(index, other));
    }
    return pairs;
  }

  /** Duplicate the worker's listening socket of each port: a dying worker can close only the copy. */
  private lend(index: number): LentListener[] {
    if (!this.listening) return [];
    return this.config.ports.map(({ endpoint, fds, kind }) => {
      const fd = dupFd(fds[index]!);
      if (isFault(fd)) {
        throw new OperatorError(
          `cannot hand the listening socket to a worker (${fd.text})`,
          printEndpoint(endpoint),
          'raise the limit of open files',
          EXIT_PORTS,
        );
      }
      return { fd, endpoint, kind };
    });
  }

  private post(index: number, letter: LetterToWorker): void {
    this.seats[index]!.worker?.postMessage(letter);
  }

  /** Whether we have a link to a relay, or are about to. */
  isLinked(rsaId: Uint8Array): boolean {
    return this.roster.isLinked(rsaId);
  }

  /** Give up the links to a relay: they take no new circuits, and are closed once they carry none. */
  retireLinks(rsaId: Uint8Array): void {
    this.roster.retire(rsaId);
  }

  /** Ask a worker for something about our own circuits. False when it is not there. */
  postOrigin(worker: number, order: OriginOrder): boolean {
    const seat = this.seats[worker];
    if (seat === undefined || seat.worker === null || !seat.ready) return false;
    this.post(worker, { kind: 'origin', order });
    return true;
  }

  private take(letter: LetterToMain): void {
    switch (letter.kind) {
      case 'ready':
        this.seats[letter.worker]!.ready = true;
        this.seats[letter.worker]!.stillborn = 0;
        this.readies.get(letter.worker)?.ready();
        this.readies.delete(letter.worker);
        return;
      case 'log':
        this.config.onLog(letter.record);
        return;
      case 'shelf-in-use':
        this.shelvesInUse[letter.worker] = letter.oldest;
        return;
      case 'ack':
        this.settle(letter.of, letter.generation, letter.worker);
        return;
      case 'dns':
        this.config.onDnsReport(letter.report);
        return;
      case 'bug':
        this.scoreboard.add(Counter.worker_bugs, 1);
        return;
      case 'origin':
        this.config.onOrigin?.(letter.news);
        return;
      case 'address-seen':
        this.config.onAddressSeen?.(letter.host, letter.peerHost);
    }
  }

  private settle(kind: string, generation: number, worker: number): void {
    const waiting = this.waiting.get(`${kind} ${generation}`);
    if (waiting === undefined) return;
    waiting.missing.delete(worker);
    if (waiting.missing.size === 0) waiting.done();
  }

  /** Letter all living workers (but one) and wait until each acknowledged. Silent ones are named in the log. */
  private tellAll(letter: LetterToWorker & { generation: number }, but = -1): Promise<void> {
    return this.expect(letter.kind, letter.generation, () => letter, but);
  }

  private expect(
    kind: LetterToWorker['kind'],
    generation: number,
    letterFor: (worker: number) => LetterToWorker,
    but = -1,
    timeoutMs = this.config.ackTimeoutMs ?? ACK_TIMEOUT_MS,
  ): Promise<void> {
    const missing = new Set<number>();
    for (const [index, seat] of this.seats.entries()) {
      if (seat.worker !== null && index !== but) missing.add(index);
    }
    if (missing.size === 0) return Promise.resolve();
    const key = `${kind} ${generation}`;
    return new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        log.warn('general', `No answer to "${kind}" from worker ${[...missing].join(', ')}.`);
        finish();
      }, timeoutMs);
      const finish = (): void => {
        clearTimeout(timer);
        this.waiting.delete(key);
        resolve();
      };
      this.waiting.set(key, { missing, done: finish });
      for (const index of [...missing]) this.post(index, letterFor(index));
    });
  }

  /** New options for all workers; resolves when all of them act on them. */
  setOptions(options: WorkerOptions): Promise<void> {
    this.options = options;
    this.bandwidth.setLimits(options);
    return this.expect('options', options.generation, () => ({ kind: 'options', options }));
  }

  setCredentials(credentials: LinkCredentials): Promise<void> {
    this.credentials = credentials;
    return this.tellAll({ kind: 'credentials', generation: this.generation(), credentials });
  }

  /** What workers know of the consensus from now on. */
  setRelayIndex(relayIndex: RelayIndexBlock): Promise<void> {
    this.relayIndex = relayIndex;
    return this.tellAll({ kind: 'relay-index', generation: this.generation(), relayIndex });
  }

  /** What workers answer directory requests from, from now on. */
  setShelf(shelf: ShelfBlock): Promise<void> {
    this.shelf = shelf;
    return this.tellAll({ kind: 'shelf', generation: this.generation(), shelf });
  }

  /** The oldest generation of the shelf that any worker still reads from. */
  get oldestShelf(): number {
    return Math.min(...this.shelvesInUse);
  }

  setOnionKeys(onionKeys: OnionKeysLetter): Promise<void> {
    this.onionKeys = onionKeys;
    return this.tellAll({ kind: 'onion-keys', generation: this.generation(), onionKeys });
  }

  /** Take no more connections. A worker that is started from now on gets no listening sockets. */
  async closeListeners(): Promise<void> {
    if (!this.listening) return;
    this.listening = false;
    await this.tellAll({ kind: 'close-listeners', generation: this.generation() });
    // The kernel refuses connections once the last copy of a listening socket is closed.
    for (const { fds } of this.config.ports) for (const fd of fds) closeFd(fd);
    for (const seat of this.seats) this.takeBack(seat);
  }

  private takeBack(seat: Seat): void {
    for (const fd of seat.lent) closeFd(fd);
    seat.lent = [];
  }

  /** Mark channels that a better one supersedes, or that are too old, over all peers. About once a minute. */
  markSuperseded(nowMs: number): void {
    this.roster.markAllSuperseded(nowMs);
  }

  dump(): Promise<void> {
    return this.tellAll({ kind: 'dump', generation: this.generation() });
  }

  /** Have every worker write its loopback links to the log: for benchmarks and tests, which place links by it. */
  tellLinks(): Promise<void> {
    return this.tellAll({ kind: 'links', generation: this.generation() });
  }

  private generation(): number {
    return this.nextGeneration++;
  }

  /** End all workers. */
  async stop(): Promise<void> {
    this.stopping = true;
    for (const seat of this.seats) seat.leaving = true;
    const generation = this.generation();
    await this.expect('stop', generation, () => ({ kind: 'stop', generation }), -1, STOP_TIMEOUT_MS);
    for (const seat of this.seats) seat.worker?.terminate();
  }

  /** End one worker at once, as a crash would: for tests of exactly that. */
  kill(index: number): void {
    this.seats[index]!.worker?.terminate();
  }

  private onClosed(index: number, worker: Worker): void {
    const seat = this.seats[index]!;
    if (seat.worker !== worker) return;
    seat.worker = null;
    this.config.onWorkerLost?.(index);
    // At once: survivors may wait for such a lock, and so may the burial of one that died before.
    this.roster.freeLocks(index);
    this.halfOpen.freeLocks(index);
    this.dos.freeLocks(index);
    this.dns.freeLocks(index);
    // Nor shall they end circuits for memory that is gone, or wait for a link that is.
    this.memory.dropWorker(index);
    this.bandwidth.dropWorker(index);
    for (const waiting of this.waiting.values()) {
      waiting.missing.delete(index);
      if (waiting.missing.size === 0) waiting.done();
    }
    if (seat.leaving || this.stopping) return;
    if (!this.started) {
      // Nothing to carry on with: say why and end, instead of trying for ever.
      this.readies.get(index)?.failed(new Bug(`worker ${index} ended while it started`));
      return;
    }
    this.restarts++;
    if (!seat.ready) seat.stillborn++;
    log.warn('general', `Worker ${index} died. Its circuits are lost; a successor takes its place.`);
    this.mourning = this.mourning
      .then(() => this.replace(index))
      .catch((error: unknown) => log.err('bug', `Worker ${index} could not be replaced: ${String(error)}`));
  }

  private async replace(index: number): Promise<void> {
    const seat = this.seats[index]!;
    await this.tellAll({ kind: 'detach', generation: this.generation(), worker: index }, index);
    for (const shared of [this.roster, this.halfOpen, this.dos]) {
      while (!shared.dropWorker(index)) await Bun.sleep(DROP_RETRY_MS);
    }
    settleDead(this.scoreboard, new Scoreboard(this.shared.scoreboard, index), index);
    this.takeBack(seat);
    if (seat.stillborn > 0) {
      await Bun.sleep(Math.min(RESTART_DELAY_MOST_MS, RESTART_DELAY_MS * 2 ** (seat.stillborn - 1)));
    }
    if (this.stopping) return;
    for (let other = 0; other < this.config.workers; other++) {
      if (other === index) continue;
      this.rings[index]![other] = this.makeRing();
      this.rings[other]![index] = this.makeRing();
    }
    const generation = this.generation();
    await this.expect(
      'attach',
      generation,
      (other) => ({ kind: 'attach', generation, rings: this.pairFor(other, index) }),
      index,
    );
    if (this.stopping) return;
    await this.startSuccessor(index);
  }

  /** Start it; without a descriptor to spare for its listening sockets, try again until there is one. */
  private async startSuccessor(index: number): Promise<void> {
    for (let delayMs = RESTART_DELAY_MS; ; delayMs = Math.min(RESTART_DELAY_MOST_MS, delayMs * 2)) {
      try {
        // A successor that dies before it is ready comes back by way of onClosed; nobody waits for it here.
        void this.startWorker(index).then(() => log.notice('general', `Worker ${index} is back.`));
        return;
      } catch (error) {
        if (!(error instanceof OperatorError)) throw error;
        log.warn('general', `Worker ${index} cannot be started yet: ${error.message}`);
        await Bun.sleep(delayMs);
        if (this.stopping) return;
      }
    }
  }
}
