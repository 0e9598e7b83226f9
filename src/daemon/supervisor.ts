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
import { Doorbell } from '../shm/doorbell.ts';
import type {
  LentListener,
  LetterToMain,
  LetterToWorker,
  OnionKeysLetter,
  RelayIndexBlock,
  RingPair,
  SharedBlocks,
  WorkerOptions,
} from '../shm/letter.ts';
import type { LinkCredentials } from '../shm/link-credentials.ts';
import { RelayIndex } from '../shm/relay-index.ts';
import { Ring, slotsPerRing } from '../shm/ring.ts';
import { Roster } from '../shm/roster.ts';
import { Counter, Scoreboard } from '../shm/scoreboard.ts';
import { WORKER_URL } from '../thread-entry.ts';

/** One ORPort's listening sockets: one per worker, kept by main for as long as it runs. */
export interface PortSockets {
  readonly endpoint: Endpoint;
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
}

const ACK_TIMEOUT_MS = 10_000;
const DROP_RETRY_MS = 20;
/** A worker that dies again and again at once is not started in a tight loop. */
const RESTART_DELAY_MS = 250;

/** A worker has no ring to itself. */
const NO_RING = new SharedArrayBuffer(0);

interface Seat {
  worker: Worker | null;
  /** Ends were asked for: a close is no death then. */
  leaving: boolean;
  lent: number[];
  startedMs: number;
}

interface Waiting {
  readonly missing: Set<number>;
  readonly done: () => void;
}

/** All workers of the process. */
export class Supervisor {
  readonly scoreboard: Scoreboard;
  restarts = 0;
  private readonly config: SupervisorConfig;
  private readonly shared: SharedBlocks;
  private readonly roster: Roster;
  private readonly halfOpen: AddressTable;
  private readonly seats: Seat[] = [];
  private readonly rings: SharedArrayBuffer[][] = [];
  private readonly waiting = new Map<string, Waiting>();
  private readonly readies = new Map<number, { ready: () => void; failed: (error: Error) => void }>();
  private options: WorkerOptions;
  private credentials: LinkCredentials;
  private onionKeys: OnionKeysLetter;
  private relayIndex: RelayIndexBlock = RelayIndex.create([]);
  private nextGeneration = 1;
  private started = false;
  private stopping = false;
  private mourning: Promise<void> = Promise.resolve();

  constructor(config: SupervisorConfig) {
    this.config = config;
    this.options = config.options;
    this.credentials = config.credentials;
    this.onionKeys = config.onionKeys;
    const { workers } = config;
    this.shared = {
      roster: Roster.create(),
      scoreboard: Scoreboard.create(workers),
      doorbells: Doorbell.create(workers),
      halfOpen: AddressTable.create(workers),
    };
    this.scoreboard = new Scoreboard(this.shared.scoreboard, workers);
    this.roster = new Roster(this.shared.roster, workers);
    this.halfOpen = new AddressTable(this.shared.halfOpen, workers);
    for (let from = 0; from < workers; from++) {
      this.rings.push([]);
      for (let to = 0; to < workers; to++) this.rings[from]!.push(to === from ? NO_RING : this.makeRing());
      this.seats.push({ worker: null, leaving: false, lent: [], startedMs: 0 });
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
    seat.startedMs = performance.now();
    const worker = new Worker(WORKER_URL);
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
    return this.config.ports.map(({ endpoint, fds }) => {
      const fd = dupFd(fds[index]!);
      if (isFault(fd)) {
        throw new OperatorError(
          `cannot hand the listening socket to a worker (${fd.text})`,
          printEndpoint(endpoint),
          'raise the limit of open files',
          EXIT_PORTS,
        );
      }
      return { fd, endpoint };
    });
  }

  private post(index: number, letter: LetterToWorker): void {
    this.seats[index]!.worker?.postMessage(letter);
  }

  private take(letter: LetterToMain): void {
    switch (letter.kind) {
      case 'ready':
        this.readies.get(letter.worker)?.ready();
        this.readies.delete(letter.worker);
        return;
      case 'log':
        this.config.onLog(letter.record);
        return;
      case 'ack':
        this.settle(letter.of, letter.generation, letter.worker);
        return;
      case 'bug':
        this.scoreboard.add(Counter.worker_bugs, 1);
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
      }, ACK_TIMEOUT_MS);
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

  setOnionKeys(onionKeys: OnionKeysLetter): Promise<void> {
    this.onionKeys = onionKeys;
    return this.tellAll({ kind: 'onion-keys', generation: this.generation(), onionKeys });
  }

  closeListeners(): Promise<void> {
    for (const { fds } of this.config.ports) for (const fd of fds) closeFd(fd);
    return this.tellAll({ kind: 'close-listeners', generation: this.generation() });
  }

  /** Mark channels that a better one supersedes, or that are too old, over all peers. About once a minute. */
  markSuperseded(nowMs: number): void {
    this.roster.markAllSuperseded(nowMs);
  }

  dump(): Promise<void> {
    return this.tellAll({ kind: 'dump', generation: this.generation() });
  }

  private generation(): number {
    return this.nextGeneration++;
  }

  /** End all workers. */
  async stop(): Promise<void> {
    this.stopping = true;
    for (const seat of this.seats) seat.leaving = true;
    await this.tellAll({ kind: 'stop', generation: this.generation() });
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
    log.warn('general', `Worker ${index} died. Its circuits are lost; a successor takes its place.`);
    this.mourning = this.mourning.then(() => this.replace(index));
  }

  private async replace(index: number): Promise<void> {
    const seat = this.seats[index]!;
    await this.tellAll({ kind: 'detach', generation: this.generation(), worker: index }, index);
    while (!this.roster.dropWorker(index) || !this.halfOpen.dropWorker(index)) await Bun.sleep(DROP_RETRY_MS);
    for (const fd of seat.lent) closeFd(fd);
    seat.lent = [];
    if (performance.now() - seat.startedMs < RESTART_DELAY_MS) await Bun.sleep(RESTART_DELAY_MS);
    if (this.stopping) return;
    for (let other = 0; other < this.config.workers; other++) {
      if (other === index) continue;
      this.rings[index]![other] = this.makeRing();
      this.rings[other]![index] = this.makeRing();
    }
    const generation = this.generation();
    const attached = this.expect(
      'attach',
      generation,
      (other) => ({ kind: 'attach', generation, rings: this.pairFor(other, index) }),
      index,
    );
    await attached;
    // A successor that dies before it is ready comes back here by way of onClosed.
    void this.startWorker(index).then(() => log.notice('general', `Worker ${index} is back.`));
  }
}
