/**
 * The relay as a whole: start and stop in phases, and what happens once a second.
 *
 * Start: ports (while we may still be root) → privileges → logs → DataDirectory and lock → state → keys → PidFile →
 * workers → directory. Stop goes the other way. The daemon owns the control plane's objects and wires them; none of
 * them knows another.
 */
import { randomBytes } from 'node:crypto';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { printEndpoint } from '../bytes/address.ts';
import { encodeHex } from '../bytes/base.ts';
import type { DirectoryRequest } from '../directory/http-exchange.ts';
import type { BuiltDescriptor } from '../directory/publisher.ts';
import { OperatorError } from '../fault.ts';
import { writeFingerprintFiles } from '../keys/fingerprint-file.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { log, setSafeLogging } from '../log.ts';
import type { WorkerOptions } from '../shm/letter.ts';
import { printBytes } from '../stats/heartbeat.ts';
import { monotonicMs, noticeJump, wallSec } from '../time/clock.ts';
import { placeOf, type RelayOptions } from '../torrc/relay-options.ts';
import { COMMIT, VERSION } from '../version.ts';
import { BandwidthWatch } from './bandwidth-watch.ts';
import { CacheSide } from './cache-side.ts';
import { buildDescriptor } from './descriptor-builder.ts';
import { openDirectories, removeLeftovers, renewFingerprints } from './directories.ts';
import { DirectorySide } from './directory-side.ts';
import { dosLimits } from './dos-limits.ts';
import { ExitSide } from './exit-side.ts';
import { KeyKeeper } from './key-keeper.ts';
import { type DirectoryLock, lockDirectoryPatiently } from './lock-file.ts';
import { LogWriter, logFormat, type PreparedLogs, rulesFor } from './log-writer.ts';
import { MemoryWatch } from './memory-watch.ts';
import { removePidFile, writePidFile } from './pid-file.ts';
import { type OpenPorts, openPorts } from './ports.ts';
import { becomeUser, keepDebuggersOff, raiseFileLimit } from './privilege.ts';
import { affectsDescriptor } from './published-options.ts';
import { SelfSide } from './self-side.ts';
import { StateFile } from './state-file.ts';
import { Supervisor } from './supervisor.ts';
import { armTestDeath, listenForTestHooks } from './test-hook.ts';
import { usableCores } from './usable-cores.ts';
import { VitalSigns } from './vital-signs.ts';
import { defaultQueueMemory, queueMemory, workerOptions } from './worker-options.ts';

const SECOND_MS = 1000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
/** A wall clock that jumps further than this makes certificates doubtful. */
const JUMP_MS = HOUR_MS;
const FILES_WANTED = 1_000_000;
const NAME = `onionrelay ${VERSION}`;

/** What the command line says besides torrc. */
export interface DaemonConfig {
  readonly options: RelayOptions;
  readonly quiet: 'normal' | 'hush' | 'quiet';
  /** For the log, once logging works. */
  readonly notes: readonly string[];
  readonly warnings: readonly string[];
}

/** A running relay. */
export class Daemon {
  options: RelayOptions;
  /** Called when the relay cannot go on; the receiver ends it. */
  onFatal: (error: OperatorError) => void = () => {};
  private readonly config: DaemonConfig;
  private readonly writer = new LogWriter(`${NAME} (${COMMIT})`);
  private readonly startedMs = monotonicMs();
  private self!: SelfSide;
  private lock!: DirectoryLock;
  private store!: KeyStore;
  private state!: StateFile;
  private keys!: KeyKeeper;
  private supervisor!: Supervisor;
  private directory!: DirectorySide;
  private cache!: CacheSide;
  private exit!: ExitSide;
  private bandwidth!: BandwidthWatch;
  private ports!: OpenPorts;
  private dirPorts!: OpenPorts;
  private vitals!: VitalSigns;
  private memory!: MemoryWatch;
  private workers = 1;
  private files = 1024;
  private optionsGeneration = 1;
  private nextMinuteMs = 0;
  private nextHourMs = 0;
  private nextHeartbeatMs = 0;
  private ticker: ReturnType<typeof setInterval> | null = null;
  private hasPidFile = false;
  private testOptions: Partial<WorkerOptions> = {};
  private serial: Promise<void> = Promise.resolve();

  constructor(config: DaemonConfig) {
    this.options = config.options;
    this.config = config;
  }

  /**
   * Start everything; resolves when connections are accepted.
   * @throws OperatorError with the exit code of the phase that failed
   */
  async start(): Promise<void> {
    try {
      this.begin();
      await this.openDirectory();
      await this.self.resolve();
      await this.startWorkers(wallSec());
      this.cache.start(this.supervisor);
      if (this.directory.start()) this.self.start();
    } catch (error) {
      if (error instanceof OperatorError && this.writer.isLasting) log.err('config', error.message);
      this.dropPidFile();
      throw error;
    }
    const nowMs = monotonicMs();
    this.keys.deliverTo(this.supervisor, nowMs);
    this.nextMinuteMs = nowMs + MINUTE_MS;
    this.nextHourMs = nowMs + HOUR_MS;
    this.nextHeartbeatMs = nowMs + this.options.heartbeatPeriodSec * 1000;
    this.ticker = setInterval(() => this.tick(), SECOND_MS);
    this.listenForTests();
  }

  /** Ports, user, logs: what needs root, and what tells of everything after it. */
  private begin(): void {
    const { options, config } = this;
    this.workers = options.numCpus > 0 ? options.numCpus : usableCores();
    const { disableNetwork } = options;
    this.ports = openPorts(disableNetwork ? [] : options.orPorts, this.workers);
    this.dirPorts = openPorts(disableNetwork ? [] : options.dirPort.ports, this.workers, 'directory');
    if (options.user !== null) becomeUser(options.user, placeOf(options, 'User'));
    keepDebuggersOff(options);
    this.prepareLogs(options).commit();
    setSafeLogging(options.safeLogging);
    log.notice('general', `${NAME} (${COMMIT}) starting with ${this.workers} worker(s).`);
    for (const text of config.warnings) log.warn('config', text);
    const notes = [...config.notes, ...this.ports.notes, ...this.dirPorts.notes];
    for (const text of notes) log.notice('config', text);
    this.files = raiseFileLimit(FILES_WANTED) ?? this.files;
  }

  private async openDirectory(): Promise<void> {
    const { options } = this;
    armTestDeath();
    this.store = openDirectories(options, warnOfFiles);
    this.lock = await lockDirectoryPatiently(options.dataDirectory);
    const nowSec = wallSec();
    this.state = StateFile.load(join(options.dataDirectory, 'state'), nowSec);
    this.keys = new KeyKeeper(
      {
        options,
        store: this.store,
        state: this.state,
        onionParams: () => this.directory.onionParams(),
        random: (n) => new Uint8Array(randomBytes(n)),
        onDirty: (reason) => this.directory.publisher.markDirty(reason),
        onRotated: () => void this.state.saveIfDue(wallSec(), NAME),
        onExpired: (error) => this.onFatal(error),
      },
      nowSec,
    );
    removeLeftovers(options, this.store);
    const { rsaId } = this.keys.identity;
    this.directory = this.makeDirectory(rsaId);
    const { documents, network } = this.directory;
    this.cache = new CacheSide({ options: () => this.options, documents, network, ownId: rsaId });
    this.self = this.makeSelf();
    this.exit = this.makeExit();
    this.exit.start();
    this.keys.openOnionKeys(nowSec);
    writeFingerprintFiles(this.store, options.nickname, this.keys.identity, options.bridgeRelay);
    log.notice('general', `Your relay's identity fingerprint is ${options.nickname} ${encodeHex(rsaId)}`);
    this.bandwidth = new BandwidthWatch(this.state, nowSec);
    if (options.pidFile === null) return;
    writePidFile(options.pidFile, placeOf(options, 'PidFile'));
    this.hasPidFile = true;
  }

  private listenForTests(): void {
    listenForTestHooks({
      kill: (worker) => this.supervisor.kill(worker),
      rotateLinkKey: () => void this.keys.rotateLinkKey(wallSec(), monotonicMs()),
      rotateOnionKey: () => void this.keys.rotateOnionKeysNow(),
      saveState: () => {
        this.state.markDirty(0);
        this.saveState(wallSec());
      },
      setWorkerOption: (name, value) => {
        this.testOptions = { ...this.testOptions, [name]: value };
        void this.supervisor.setOptions(this.workerOptions());
      },
      // The line behind them tells that all are there.
      tellLinks: () => void this.supervisor.tellLinks().then(() => log.notice('general', 'Links told.')),
    });
  }

  private prepareLogs(options: RelayOptions): PreparedLogs {
    return this.writer.prepare(
      rulesFor(options.logs, this.config.quiet, options.runAsDaemon),
      logFormat(options),
    );
  }

  private makeDirectory(rsaId: Uint8Array): DirectorySide {
    const host = {
      options: () => this.options,
      address: () => this.self.published,
      waitsFor: () => this.self.reachability.waitsFor,
      onAddressSeen: (text: string, from: Uint8Array) => this.self.takeHeader(text, from),
      tunnel: (request: DirectoryRequest) => this.self.tunnel(request),
      describe: (publishedSec: number) => {
        const built = this.describe(publishedSec);
        this.cache.noteOwn(built);
        return built;
      },
      observedBytesPerSec: () => this.bandwidth.observed(this.options),
      uptimeSec: () => this.uptimeSec(),
      onRelayIndex: (index: SharedArrayBuffer) => {
        void this.supervisor.setRelayIndex(index);
        void this.supervisor.setOptions(this.workerOptions());
      },
    };
    return new DirectorySide(host, rsaId);
  }

  private makeSelf(): SelfSide {
    const host = {
      options: () => this.options,
      ports: () => this.ports.advertised,
      keys: this.keys,
      workers: this.workers,
      supervisor: () => this.supervisor,
      observedBytesPerSec: () => this.bandwidth.observed(this.options),
      onAddress: () => void this.supervisor.setOptions(this.workerOptions()),
    };
    return new SelfSide(host, this.directory);
  }

  private makeExit(): ExitSide {
    return new ExitSide({
      options: () => this.options,
      address: () => this.self.address,
      listened: () => this.ports.advertised.map(({ host }) => host),
      onChange: (reason) => {
        void this.supervisor.setOptions(this.workerOptions());
        if (reason !== null) this.directory.publisher.markDirty(reason);
      },
    });
  }

  private async startWorkers(nowSec: number): Promise<void> {
    this.supervisor = new Supervisor({
      workers: this.workers,
      ports: [...this.ports.sockets, ...this.dirPorts.sockets],
      options: this.workerOptions(),
      credentials: await this.keys.makeCredentials(nowSec, monotonicMs()),
      onionKeys: this.keys.onionLetter(),
      onLog: (record) => this.writer.write(record),
      onDnsReport: (report) => this.exit.onReport(report),
      onOrigin: (news) => this.self.take(news),
      onAddressSeen: (host, peerHost) => this.self.suggest(host, peerHost),
      onWorkerLost: (worker) => this.self.circuits.onWorkerLost(worker),
    });
    this.vitals = new VitalSigns(this.supervisor.scoreboard);
    this.memory = new MemoryWatch(this.supervisor.scoreboard, this.supervisor.memory);
    if (this.options.maxMemInQueues === 0) {
      log.notice(
        'config',
        `MaxMemInQueues is ${printBytes(defaultQueueMemory(totalmem()))}, from the machine's memory; torrc may set it.`,
      );
    }
    await this.supervisor.start();
    for (const { endpoint } of this.ports.sockets) {
      log.notice('net', `Listening for OR connections on ${printEndpoint(endpoint)}`);
    }
    for (const { endpoint } of this.dirPorts.sockets) {
      log.notice('net', `Listening for directory requests on ${printEndpoint(endpoint)}`);
    }
  }

  private workerOptions(): WorkerOptions {
    const options = workerOptions(this.options, {
      generation: this.optionsGeneration++,
      lowestSeverity: this.writer.lowest,
      param: (name, fallback) => this.directory.network.param(name, fallback),
      ownAddresses: this.self.hosts,
      publishedHosts: this.self.publishedHosts,
      authorityIds: this.self.authorityIds,
      ipv6Extends: this.ports.advertised.some(({ host }) => host.length === 16),
      exit: this.exit.params((name) => this.directory.network.param(name)),
      files: this.files,
      workers: this.workers,
      machineBytes: totalmem(),
      directory: this.cache.directoryOptions(),
    });
    return { ...options, ...this.testOptions };
  }

  private queueMemory(): number {
    return (
      this.testOptions.maxMemInQueues ?? queueMemory(this.options.maxMemInQueues, totalmem(), this.workers)
    );
  }

  private uptimeSec(): number {
    return Math.floor((monotonicMs() - this.startedMs) / 1000);
  }

  private describe(publishedSec: number): BuiltDescriptor {
    const { options } = this;
    return buildDescriptor(
      {
        options,
        identity: this.keys.identity,
        onionKeys: this.keys.describedOnionKeys,
        address: this.self.published,
        uptimeSec: this.uptimeSec(),
        observedBytesPerSec: this.bandwidth.observed(options),
        histories: this.bandwidth.published(options),
        statistics: this.bandwidth.overloadLines(publishedSec, options),
        exitPolicy: this.exit.published(),
        rotationDays: this.directory.onionParams().rotationDays,
        publishTap: this.directory.network.param('publish-dummy-tap-key') === 1,
      },
      publishedSec,
    );
  }

  /** Once a second. */
  private tick(): void {
    const nowSec = wallSec();
    const nowMs = monotonicMs();
    this.bandwidth.sample(
      nowSec,
      this.supervisor,
      this.directory.traffic,
      this.options.countPrivateBandwidth,
    );
    this.memory.tick(this.queueMemory());
    this.self.tick();
    const jumpMs = noticeJump();
    if (jumpMs !== null) this.onClockJump(jumpMs, nowSec, nowMs);
    this.keys.tick(nowSec, nowMs);
    this.exit.tick(nowMs);
    if (nowMs >= this.nextMinuteMs) {
      this.nextMinuteMs = nowMs + MINUTE_MS;
      this.supervisor.markSuperseded(nowMs);
      this.cache.countMemory();
    }
    if (nowMs >= this.nextHourMs) {
      this.nextHourMs = nowMs + HOUR_MS;
      void this.lookUpAddress();
    }
    const { heartbeatPeriodSec } = this.options;
    if (heartbeatPeriodSec > 0 && nowMs >= this.nextHeartbeatMs) {
      this.nextHeartbeatMs = nowMs + heartbeatPeriodSec * 1000;
      this.heartbeat();
    }
    this.saveState(nowSec);
  }

  /** Write the state file, if that is due. */
  private saveState(nowSec: number): void {
    if (!this.state.isDue) return;
    this.bandwidth.save(this.state);
    this.state.saveIfDue(nowSec, NAME);
  }

  private onClockJump(jumpMs: number, nowSec: number, nowMs: number): void {
    const way = jumpMs > 0 ? 'forward' : 'back';
    log.warn(
      'general',
      `The clock jumped ${way} by ${Math.abs(Math.round(jumpMs / 1000))} seconds; deadlines and waits stand, ` +
        'the dates of documents are looked at anew.',
    );
    this.directory.publisher.markDirty('clock jumped');
    if (Math.abs(jumpMs) > JUMP_MS) this.keys.onClockJump(nowSec, nowMs);
  }

  /** Look names up again. The publisher sees a new address by itself. */
  private async lookUpAddress(): Promise<void> {
    await this.self.resolve();
    await this.supervisor.setOptions(this.workerOptions());
  }

  private heartbeat(): void {
    const listing = this.directory.network.ownListing(wallSec());
    this.vitals.heartbeat({
      uptimeSec: this.uptimeSec(),
      listed: this.options.publishServerDescriptor === 'none' ? null : (listing?.listed ?? null),
      workers: this.workers,
      workersRestarted: this.supervisor.restarts,
      dos: dosLimits(this.options.dos, (name) => this.directory.network.param(name)),
    });
  }

  /** Say what is going on (USR1). */
  async dump(): Promise<void> {
    this.heartbeat();
    await this.supervisor.dump();
    const { publisher } = this.directory;
    this.memory.dump(this.queueMemory());
    this.vitals.dump(publisher.uploads(), publisher.silence);
  }

  /** Log everything from now until the next reload (USR2). */
  debug(): void {
    this.writer.debugAll();
    void this.supervisor.setOptions(this.workerOptions());
    log.notice('general', 'Logging everything; send HUP to go back to what torrc says.');
  }

  /** Do one thing after another: reloads never overlap. A failure is the caller's, and holds up nothing. */
  serially(run: () => Promise<void>): Promise<void> {
    const done = this.serial.then(run);
    this.serial = done.catch(() => {});
    return done;
  }

  /**
   * Act on new options; the caller has checked the transition. Resolves when every worker acts on them.
   * @throws OperatorError when something cannot be had; the old options are in force then, all of them
   */
  async apply(options: RelayOptions, changes: readonly string[]): Promise<void> {
    const nowSec = wallSec();
    const logs = this.prepareLogs(options);
    let store: KeyStore;
    let identity: typeof this.keys.identity;
    try {
      store = openDirectories(options, warnOfFiles);
      identity = this.keys.prepare(options, store, nowSec);
    } catch (error) {
      logs.abort();
      throw error;
    }
    // From here on nothing fails.
    const before = this.options;
    logs.commit();
    this.options = options;
    this.store = store;
    setSafeLogging(options.safeLogging);
    if (options.heartbeatPeriodSec !== before.heartbeatPeriodSec) {
      this.nextHeartbeatMs = monotonicMs() + options.heartbeatPeriodSec * 1000;
    }
    if (options.nickname !== before.nickname)
      renewFingerprints(options, store, this.keys.identity, warnOfFiles);
    this.self.onOptions();
    await this.self.resolve();
    this.exit.reload();
    this.cache.update();
    await this.supervisor.setOptions(this.workerOptions());
    await this.keys.adopt(options, store, identity, nowSec, monotonicMs());
    if (changes.some(affectsDescriptor)) this.directory.publisher.markDirty('config change');
  }

  /** Take no new connections and circuits; carry the rest on. */
  async closeListeners(): Promise<void> {
    this.directory.leave();
    await this.supervisor.closeListeners();
  }

  /** End: links closed, state saved, lock released. */
  async stop(): Promise<void> {
    if (this.ticker !== null) clearInterval(this.ticker);
    this.self.stop();
    this.directory.stop();
    this.cache.stop();
    await this.supervisor.stop();
    this.bandwidth.save(this.state);
    try {
      this.state.save(wallSec(), NAME);
    } catch (error) {
      log.warn('fs', error instanceof Error ? error.message : String(error));
    }
    this.dropPidFile();
    this.lock.release();
    log.notice('general', 'Stopped.');
    this.writer.close();
  }

  /** Give a start up that is under way; the process ends right after. */
  abandon(): void {
    this.dropPidFile();
  }

  private dropPidFile(): void {
    if (this.hasPidFile && this.options.pidFile !== null) removePidFile(this.options.pidFile);
    this.hasPidFile = false;
  }
}

function warnOfFiles(text: string): void {
  log.warn('fs', text);
}
