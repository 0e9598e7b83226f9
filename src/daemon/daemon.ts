/**
 * The relay as a whole: start and stop in phases, and what happens once a second, an hour, a rotation.
 *
 * Start: ports (while we may still be root) → logs → privileges → lock → state → keys → workers → directory. Stop
 * goes the other way. The daemon owns the control plane's objects and wires them; none of them knows another.
 */
import { randomBytes } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { isAnyIp, parseIp, printEndpoint, sameIp } from '../bytes/address.ts';
import { encodeHex } from '../bytes/base.ts';
import { type DirectoryAuthority, parseDirAuthority, publicAuthorities } from '../directory/authority.ts';
import { DirectoryCache } from '../directory/cache.ts';
import { Fetcher } from '../directory/fetcher.ts';
import { makeHttpExchange } from '../directory/http-exchange.ts';
import { Network } from '../directory/network.ts';
import { type AddressChoice, choosePublishedAddress } from '../directory/published-address.ts';
import { type BuiltDescriptor, Publisher } from '../directory/publisher.ts';
import type { Timing } from '../directory/timing.ts';
import { writeFingerprintFiles } from '../keys/fingerprint-file.ts';
import {
  loadOrCreateIdentity,
  type RelayIdentity,
  refreshIdentity,
  type SigningPolicy,
} from '../keys/identity.ts';
import { type KeyStore, openKeyStore } from '../keys/key-store.ts';
import { makeLinkCredentials } from '../keys/link-key.ts';
import { loadOrCreateOnionKeys, maintainOnionKeys, type OnionKeys } from '../keys/onion-key.ts';
import { log, setSafeLogging } from '../log.ts';
import type { Consensus } from '../netdoc/consensus.ts';
import type { OnionKeysLetter, RelayIndexBlock, WorkerOptions } from '../shm/letter.ts';
import { type IndexedRelay, RelayIndex } from '../shm/relay-index.ts';
import { Counter } from '../shm/scoreboard.ts';
import { BandwidthHistory } from '../stats/bandwidth-history.ts';
import { heartbeatLines } from '../stats/heartbeat.ts';
import { monotonicMs, noticeJump, wallSec } from '../time/clock.ts';
import type { RelayOptions } from '../torrc/relay-options.ts';
import { COMMIT, PROTOCOLS, VERSION } from '../version.ts';
import { buildDescriptor } from './descriptor-builder.ts';
import { type DirectoryLock, lockDirectoryPatiently } from './lock-file.ts';
import { LogWriter, rulesFor } from './log-writer.ts';
import { removePidFile, writePidFile } from './pid-file.ts';
import { type OpenPorts, openPorts } from './ports.ts';
import { becomeUser, raiseFileLimit } from './privilege.ts';
import { StateFile } from './state-file.ts';
import { Supervisor } from './supervisor.ts';
import { listenForTestHooks } from './test-hook.ts';
import { usableCores } from './usable-cores.ts';
import { workerOptions } from './worker-options.ts';

const SECOND_MS = 1000;
const MINUTE_MS = 60_000;
const HOUR_SEC = 3600;
const DAY_SEC = 24 * HOUR_SEC;
/** C tor's bound on the internal life of a link key. */
const LINK_KEY_SEC = 2 * HOUR_SEC;
const FILES_WANTED = 1_000_000;

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
  private readonly quiet: DaemonConfig['quiet'];
  private readonly writer = new LogWriter();
  private readonly timing: Timing = {
    nowSec: wallSec,
    nowMs: monotonicMs,
    after: (delayMs, run) => {
      const timer = setTimeout(run, delayMs);
      return () => clearTimeout(timer);
    },
  };
  private readonly startedMs = monotonicMs();
  private lock!: DirectoryLock;
  private store!: KeyStore;
  private state!: StateFile;
  private identity!: RelayIdentity;
  private onionKeys!: OnionKeys;
  private supervisor!: Supervisor;
  private network!: Network;
  private fetcher!: Fetcher;
  private publisher!: Publisher;
  private history!: BandwidthHistory;
  private ports!: OpenPorts;
  private workers = 1;
  private linkGeneration = 1;
  private linkKeyMadeSec = 0;
  private onionGeneration = 1;
  private optionsGeneration = 1;
  private nextHourSec = 0;
  private nextMinuteMs = 0;
  private nextHeartbeatMs = 0;
  private rotating = false;
  private ticker: ReturnType<typeof setInterval> | null = null;
  private reloading: Promise<void> = Promise.resolve();
  private readonly startNotes: DaemonConfig;
  private testOptions: Partial<WorkerOptions> = {};
  private handshakesBefore: readonly number[] = [0, 0, 0, 0];

  constructor(config: DaemonConfig) {
    this.options = config.options;
    this.quiet = config.quiet;
    this.startNotes = config;
  }

  /**
   * Start everything; resolves when connections are accepted.
   * @throws OperatorError with the exit code of the phase that failed
   */
  async start(): Promise<void> {
    const { options } = this;
    const nowSec = wallSec();
    this.workers = options.numCpus > 0 ? options.numCpus : usableCores();
    raiseFileLimit(FILES_WANTED);
    this.ports = openPorts(options.orPorts, this.workers);
    this.useLogs(options);
    setSafeLogging(options.safeLogging);
    log.notice('general', `onionrelay ${VERSION} (${COMMIT}) starting with ${this.workers} worker(s).`);
    for (const text of this.startNotes.warnings) log.warn('config', text);
    for (const text of this.startNotes.notes) log.notice('config', text);
    if (options.user !== null) becomeUser(options.user, 'User');
    this.store = openKeyStore({
      dataDirectory: options.dataDirectory,
      keyDirectory: options.keyDirectory,
      dataDirectoryGroupReadable: options.dataDirectoryGroupReadable,
      keyDirectoryGroupReadable: options.keyDirectoryGroupReadable,
      warn: (text) => log.warn('fs', text),
    });
    this.lock = await lockDirectoryPatiently(options.dataDirectory);
    this.state = StateFile.load(join(options.dataDirectory, 'state'), nowSec);
    this.identity = loadOrCreateIdentity(this.store, nowSec, signingPolicy(options));
    this.network = new Network({
      authorities: this.authorities(),
      ownRsaId: this.identity.rsaId,
      ownProtocols: PROTOCOLS,
      timing: this.timing,
    });
    const cache = new DirectoryCache(options.cacheDirectory);
    cache.load(this.network);
    this.onionKeys = loadOrCreateOnionKeys(this.store, this.state, nowSec, this.onionParams());
    writeFingerprintFiles(this.store, options.nickname, this.identity, options.bridgeRelay);
    log.notice(
      'general',
      `Your relay's identity fingerprint is ${options.nickname} ${encodeHex(this.identity.rsaId)}`,
    );
    this.history = new BandwidthHistory(nowSec);
    this.history.load(this.state, nowSec);
    await this.startWorkers(nowSec);
    this.startDirectory(cache);
    if (options.pidFile !== null) writePidFile(options.pidFile);
    this.nextHourSec = nowSec + HOUR_SEC;
    this.nextHeartbeatMs = monotonicMs() + options.heartbeatPeriodSec * 1000;
    this.ticker = setInterval(() => this.tick(), SECOND_MS);
    listenForTestHooks({
      kill: (worker) => this.supervisor.kill(worker),
      rotateLinkKey: () => void this.rotateLinkKey(),
      rotateOnionKey: () =>
        void this.hourly(this.onionKeys.rotatedSec + this.onionParams().rotationDays * DAY_SEC),
      setWorkerOption: (name, value) => {
        this.testOptions = { ...this.testOptions, [name]: value };
        void this.supervisor.setOptions(this.workerOptions());
      },
    });
  }

  private useLogs(options: RelayOptions): void {
    this.writer.use(rulesFor(options.logs, this.quiet), {
      granularityMs: options.logTimeGranularityMs,
      withDomains: options.logMessageDomains,
      truncate: options.truncateLogFile,
      syslogTag: options.syslogIdentityTag,
    });
  }

  private authorities(): DirectoryAuthority[] {
    const { dirAuthorities } = this.options;
    if (dirAuthorities.length === 0) return publicAuthorities();
    return dirAuthorities.map(({ text, where }) => {
      const { authority, warnings } = parseDirAuthority(text, where);
      for (const warning of warnings) log.warn('config', warning);
      return authority;
    });
  }

  private async startWorkers(nowSec: number): Promise<void> {
    const credentials = await makeLinkCredentials(this.identity, this.linkGeneration, nowSec, random);
    this.linkKeyMadeSec = nowSec;
    this.supervisor = new Supervisor({
      workers: this.workers,
      ports: this.ports.sockets,
      options: this.workerOptions(),
      credentials,
      onionKeys: this.onionLetter(),
      onLog: (record) => this.writer.write(record),
    });
    await this.supervisor.start();
    for (const { endpoint } of this.ports.sockets) {
      log.notice('net', `Listening for OR connections on ${printEndpoint(endpoint)}`);
    }
  }

  private startDirectory(cache: DirectoryCache): void {
    const { options } = this;
    const random01 = (): number => randomBytes(6).readUIntBE(0, 6) / 2 ** 48;
    const bind = options.outboundBindAddress.any.ipv4;
    const exchange = makeHttpExchange(this.timing, bind === null ? null : bind.join('.'));
    const authorities = this.authorities();
    const shared = { authorities, network: this.network, exchange, timing: this.timing, random: random01 };
    this.publisher = new Publisher({
      ...shared,
      settings: () => ({
        publish: this.options.publishServerDescriptor !== 'none',
        assumeReachable: this.options.assumeReachable,
        testing: this.options.testingTorNetwork,
        address: this.address(),
      }),
      buildDescriptor: (_reason, publishedSec) => this.describe(publishedSec),
      observedBytesPerSec: () => this.observed(),
      uptimeSec: () => this.uptimeSec(),
    });
    this.network.onConsensus((_flavour, consensus) => {
      void this.supervisor.setRelayIndex(indexOf(consensus));
      void this.supervisor.setOptions(this.workerOptions());
      this.publisher.check();
    });
    const cached = this.network.newest;
    if (cached !== null) void this.supervisor.setRelayIndex(indexOf(cached));
    this.fetcher = new Fetcher({ ...shared, cache, testing: options.testingTorNetwork });
    if (options.disableNetwork) return;
    // A local relay that nobody configured talks to no one.
    if (options.dirAuthorities.length === 0 && options.orPorts.every((port) => port.where === 'default'))
      return;
    this.fetcher.start();
    this.publisher.start();
  }

  private onionParams() {
    return {
      rotationDays: this.network.param('onion-key-rotation-days'),
      graceDays: this.network.param('onion-key-grace-period-days'),
    };
  }

  private onionLetter(): OnionKeysLetter {
    const pair = ({ publicKey, secretKey }: { publicKey: Uint8Array; secretKey: Uint8Array }) => ({
      publicKey,
      secretKey,
    });
    const { current, previous } = this.onionKeys;
    return {
      generation: this.onionGeneration,
      current: pair(current),
      previous: previous === null ? null : pair(previous),
    };
  }

  private workerOptions(): WorkerOptions {
    const listened = this.ports.advertised.filter(({ host }) => !isAnyIp(host)).map(({ host }) => host);
    const { ipv4, ipv6 } = this.address();
    const own: Uint8Array[] = [];
    for (const host of [ipv4?.host, ipv6?.host, ...listened]) {
      if (host !== undefined && !own.some((known) => sameIp(known, host))) own.push(host);
    }
    const options = workerOptions(this.options, {
      generation: this.optionsGeneration++,
      lowestSeverity: this.writer.lowest,
      param: (name, fallback) => this.network.param(name, fallback),
      ownAddresses: own,
      ipv6Extends: this.ports.advertised.some(({ host }) => host.length === 16),
    });
    return { ...options, ...this.testOptions };
  }

  /** Where the network shall find us. */
  private address(): AddressChoice {
    const interfaces: Uint8Array[] = [];
    for (const list of Object.values(networkInterfaces())) {
      for (const { address } of list ?? []) {
        const host = parseIp(address);
        if (host !== null) interfaces.push(host);
      }
    }
    return choosePublishedAddress(
      this.options.addresses,
      this.ports.advertised,
      interfaces,
      this.options.testingTorNetwork,
    );
  }

  private uptimeSec(): number {
    return Math.floor((monotonicMs() - this.startedMs) / 1000);
  }

  private observed(): number {
    return this.history.observedBytesPerSec(this.options.testing.minTimeToReportBandwidthSec);
  }

  private describe(publishedSec: number): BuiltDescriptor {
    const { options } = this;
    return buildDescriptor(
      {
        options,
        identity: this.identity,
        onionKeys: this.onionKeys,
        address: this.address(),
        uptimeSec: this.uptimeSec(),
        observedBytesPerSec: this.observed(),
        histories: this.history.published(options.relayBandwidthRate),
        rotationDays: this.onionParams().rotationDays,
        publishTap: this.network.param('publish-dummy-tap-key') === 1,
      },
      publishedSec,
    );
  }

  /** Once a second. */
  private tick(): void {
    const nowSec = wallSec();
    const board = this.supervisor.scoreboard;
    this.history.sample(nowSec, {
      read: board.total(Counter.bytes_read),
      written: board.total(Counter.bytes_written),
      ipv6Read: board.total(Counter.bytes_read_ipv6),
      ipv6Written: board.total(Counter.bytes_written_ipv6),
      dirRead: 0,
      dirWritten: 0,
    });
    if (monotonicMs() >= this.nextMinuteMs) {
      this.nextMinuteMs = monotonicMs() + MINUTE_MS;
      this.supervisor.markSuperseded(monotonicMs());
    }
    const jumpMs = noticeJump();
    if (jumpMs !== null) {
      const way = jumpMs > 0 ? 'forward' : 'back';
      log.warn(
        'general',
        `The clock jumped ${way} by ${Math.abs(Math.round(jumpMs / 1000))} seconds; no deadline moved.`,
      );
    }
    if (nowSec - this.linkKeyMadeSec >= LINK_KEY_SEC || nowSec < this.linkKeyMadeSec)
      void this.rotateLinkKey();
    if (nowSec >= this.nextHourSec || nowSec < this.nextHourSec - 2 * HOUR_SEC) {
      this.nextHourSec = nowSec + HOUR_SEC;
      void this.hourly(nowSec);
    }
    const { heartbeatPeriodSec } = this.options;
    if (heartbeatPeriodSec > 0 && monotonicMs() >= this.nextHeartbeatMs) {
      this.nextHeartbeatMs = monotonicMs() + heartbeatPeriodSec * 1000;
      this.heartbeat();
    }
    this.history.save(this.state);
    this.state.saveIfDue(nowSec, `onionrelay ${VERSION}`);
  }

  /** A new TLS key for later connections; those under way keep theirs. */
  async rotateLinkKey(): Promise<void> {
    if (this.rotating) return;
    this.rotating = true;
    try {
      const nowSec = wallSec();
      this.linkGeneration++;
      const credentials = await makeLinkCredentials(this.identity, this.linkGeneration, nowSec, random);
      this.linkKeyMadeSec = nowSec;
      await this.supervisor.setCredentials(credentials);
      log.info('handshake', `Link key ${this.linkGeneration} is in use.`);
    } finally {
      this.rotating = false;
    }
  }

  private async hourly(nowSec: number): Promise<void> {
    try {
      const onionKeys = maintainOnionKeys(this.store, this.state, this.onionKeys, nowSec, this.onionParams());
      if (onionKeys !== this.onionKeys) {
        const rotated = onionKeys.current !== this.onionKeys.current;
        this.onionKeys = onionKeys;
        this.onionGeneration++;
        // Every worker answers to the new key before a descriptor names it.
        await this.supervisor.setOnionKeys(this.onionLetter());
        if (rotated) this.publisher.markDirty('rotated onion key');
      }
      await this.renewSigningKey(nowSec);
    } catch (error) {
      log.warn('fs', `Key maintenance failed: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  private async renewSigningKey(nowSec: number): Promise<void> {
    const identity = refreshIdentity(this.store, this.identity, nowSec, signingPolicy(this.options));
    if (identity === this.identity) return;
    this.identity = identity;
    log.notice('general', 'A new Ed25519 signing key is in use.');
    await this.rotateLinkKey();
    this.publisher.markDirty('new signing key');
  }

  private heartbeat(): void {
    const board = this.supervisor.scoreboard;
    const total = (name: keyof typeof Counter): number => board.total(Counter[name]);
    const ntor = total('ntor_processed') - this.handshakesBefore[0]!;
    const v3 = total('ntor_v3_processed') - this.handshakesBefore[1]!;
    const ntorBad = total('circuit_ntor_failed') - this.handshakesBefore[2]!;
    const v3Bad = total('circuit_ntor_v3_failed') - this.handshakesBefore[3]!;
    this.handshakesBefore = [
      total('ntor_processed'),
      total('ntor_v3_processed'),
      total('circuit_ntor_failed'),
      total('circuit_ntor_v3_failed'),
    ];
    const listing = this.network.ownListing(wallSec());
    const lines = heartbeatLines({
      uptimeSec: this.uptimeSec(),
      circuits: total('circuits_created') - total('circuits_closed'),
      channels: total('channels_opened') - total('channels_closed'),
      bytesRead: total('bytes_read'),
      bytesWritten: total('bytes_written'),
      acceptedIpv4: total('links_accepted') - total('links_accepted_ipv6'),
      acceptedIpv6: total('links_accepted_ipv6'),
      dialledIpv4: total('links_dialled') - total('links_dialled_ipv6'),
      dialledIpv6: total('links_dialled_ipv6'),
      cellsRelayed: total('cells_read'),
      handshakes: [
        { name: 'ntor', asked: ntor + ntorBad, answered: ntor },
        { name: 'ntor-v3', asked: v3 + v3Bad, answered: v3 },
      ],
      listed: this.options.publishServerDescriptor === 'none' ? null : (listing?.listed ?? null),
      workers: this.workers,
      workersRestarted: this.supervisor.restarts,
    });
    for (const line of lines) log.notice('heartbeat', line);
  }

  /** Say what is going on (USR1). */
  async dump(): Promise<void> {
    this.heartbeat();
    await this.supervisor.dump();
    const board = this.supervisor.scoreboard;
    const counted = Object.entries(Counter).map(([name, column]) => [name, board.total(column)] as const);
    const seen = counted.filter(([, count]) => count > 0).map(([name, count]) => `${name} ${count}`);
    log.notice('general', `Counters: ${seen.join(', ')}.`);
    for (const { nickname, state, reason } of this.publisher.uploads()) {
      log.notice('dir', `Authority ${nickname}: descriptor ${state}${reason === '' ? '' : ` (${reason})`}.`);
    }
  }

  /** Log everything from now until the next reload (USR2). */
  debug(): void {
    this.writer.debugAll();
    void this.supervisor.setOptions(this.workerOptions());
    log.notice('general', 'Logging everything; send HUP to go back to what torrc says.');
  }

  /** Act on new options; the caller has checked the transition. Resolves when every worker acts on them. */
  apply(options: RelayOptions, changes: readonly string[]): Promise<void> {
    this.reloading = this.reloading.then(async () => {
      this.useLogs(options);
      this.options = options;
      setSafeLogging(options.safeLogging);
      this.nextHeartbeatMs = monotonicMs() + options.heartbeatPeriodSec * 1000;
      await this.supervisor.setOptions(this.workerOptions());
      await this.renewSigningKey(wallSec());
      if (changes.length > 0) this.publisher.markDirty('config change');
    });
    return this.reloading;
  }

  /** Take no new connections and circuits; carry the rest on. */
  async closeListeners(): Promise<void> {
    this.publisher.stop();
    await this.supervisor.closeListeners();
  }

  /** End: links closed, state saved, lock released. */
  async stop(): Promise<void> {
    if (this.ticker !== null) clearInterval(this.ticker);
    this.fetcher.stop();
    this.publisher.stop();
    await this.supervisor.stop();
    this.history.save(this.state);
    try {
      this.state.save(wallSec(), `onionrelay ${VERSION}`);
    } catch (error) {
      log.warn('fs', error instanceof Error ? error.message : String(error));
    }
    if (this.options.pidFile !== null) removePidFile(this.options.pidFile);
    this.lock.release();
    log.notice('general', 'Stopped.');
    this.writer.close();
  }
}

function random(n: number): Uint8Array {
  return new Uint8Array(randomBytes(n));
}

/** The part of a consensus that workers look things up in. */
function indexOf(consensus: Consensus): RelayIndexBlock {
  const relays: IndexedRelay[] = [];
  for (let row = 0; row < consensus.routers.count; row++) {
    const { rsaId, address, orPort, ipv6 } = consensus.routers.at(row);
    relays.push({ rsaId, ipv4: orPort === 0 ? null : { host: address, port: orPort }, ipv6 });
  }
  return RelayIndex.create(relays);
}

function signingPolicy(options: RelayOptions): SigningPolicy {
  return {
    lifetimeSec: options.signingKeyLifetimeSec,
    slopSec: options.testing.signingKeySlopSec,
    offlineMaster: options.offlineMasterKey,
  };
}
