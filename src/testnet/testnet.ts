/**
 * A whole Tor network on loopback: an authority, relays as child processes, a client, and downloads through them.
 *
 * Everything listens on loopback and lies in one folder of the system's temporary directory. The parts are started in
 * this order: the folder and its reaper, what serves (payload, names, authority), the relays, the client. Whatever
 * fails ends all of it; `stop` leaves no process, port or file behind, and so does the reaper if this process dies.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { answers } from '../bench/target.ts';
import { encodeHex } from '../bytes/base.ts';
import { usableCores } from '../daemon/usable-cores.ts';
import { systemTiming } from '../directory/timing.ts';
import { OperatorError } from '../fault.ts';
import { loadOrCreateIdentity } from '../keys/identity.ts';
import { openKeyStore } from '../keys/key-store.ts';
import { parseCommandLine } from '../torrc/command-line.ts';
import { loadLayers } from '../torrc/torrc-file.ts';
import { buildOptions } from '../torrc/validate.ts';
import { Authority } from './authority.ts';
import { makeAuthorityKeys } from './authority-keys.ts';
import { castRelays, type Part } from './cast.ts';
import { ClientNetwork } from './client-network.ts';
import { makeClientStart } from './client-options.ts';
import { ClientThread } from './client-thread.ts';
import type { ListedRelay } from './consensus-text.ts';
import { DirectoryServer } from './directory-server.ts';
import { Download } from './download.ts';
import { Downloads } from './downloads.ts';
import { findFreePort } from './free-port.ts';
import { type NameServer, startNameServer } from './name-server.ts';
import type { TestnetWish } from './options.ts';
import { PayloadServer } from './payload.ts';
import { RateMeter } from './rate-meter.ts';
import { FOLDER_PREFIX, Reaper } from './reaper.ts';
import { RelayProcess } from './relay-process.ts';
import { joiningLines, LOOPBACK, type NetworkPlan, relayTorrc } from './relay-torrc.ts';
import type { NetworkView, Phase, RelayView } from './view.ts';

const HOST = Uint8Array.of(127, 0, 0, 1);
const AUTHORITY_NAME = 'authority';
const VITALS_MS = 1000;
/** How long relays may take to come up, and to be listed. */
const START_MS = 60_000;
const LIST_MS = 90_000;
const POLL_MS = 50;
const LOG_TAIL = 2000;

/** Parameters of the network's consensuses. */
const PARAMS: ReadonlyMap<string, number> = new Map([
  // As in the public network.
  ['ExtendByEd25519ID', 1],
]);

/** What is there for others to use. */
export interface Invitation {
  /** Lines of torrc that join a C tor or an onionrelay to the network. */
  readonly torrc: readonly string[];
  readonly socksPort: number;
  readonly payloadPort: number;
}

interface Child {
  readonly process: RelayProcess;
  readonly read: RateMeter;
  readonly written: RateMeter;
  readonly cpu: RateMeter;
}

/** A network. */
export class Testnet {
  /** Settles with what went wrong, if something does while the network runs. */
  readonly broken: Promise<Error>;
  private readonly wish: TestnetWish;
  private readonly command: readonly string[];
  private readonly timing = systemTiming();
  /** When it began, and then when it was up: how long it lives is counted from there. */
  private sinceMs: number;
  private readonly fail: (error: Error) => void;
  private readonly random = (): number => randomBytes(6).readUIntBE(0, 6) / 2 ** 48;
  private folder = '';
  private phase: Phase = 'starting';
  private reaper: Reaper | null = null;
  private payload: PayloadServer | null = null;
  private names: NameServer | null = null;
  private server: DirectoryServer | null = null;
  private authority: Authority | null = null;
  private client: ClientThread | null = null;
  private clientNetwork: ClientNetwork | null = null;
  private downloads: Downloads | null = null;
  private readonly downloadMeter = new RateMeter();
  private readonly children: Child[] = [];
  private listed: readonly ListedRelay[] = [];
  private consensuses = 0;
  private ticker: ReturnType<typeof setInterval> | null = null;

  /** @param command - words that start this program */
  constructor(wish: TestnetWish, command: readonly string[]) {
    this.wish = wish;
    this.command = command;
    this.sinceMs = this.timing.nowMs();
    const { promise, resolve } = Promise.withResolvers<Error>();
    this.broken = promise;
    this.fail = resolve;
  }

  /**
   * Start everything, and begin to download.
   * @throws OperatorError when something does not come up
   */
  async start(): Promise<Invitation> {
    this.folder = mkdtempSync(join(tmpdir(), FOLDER_PREFIX));
    this.reaper = new Reaper(this.command, this.folder);
    this.payload = new PayloadServer(LOOPBACK);
    this.names = await startNameServer(LOOPBACK);
    this.goOn();
    const parts = castRelays(this.wish.relays, usableCores());
    const orPort = findFreePort(LOOPBACK, this.random);
    const authorityLine = this.startAuthority(parts[0]!, orPort);
    const plan = {
      authorityLine,
      resolvConf: this.file('resolv.conf', `nameserver ${LOOPBACK}:${this.names.port}\n`),
    };
    const defaults = this.file('no-defaults', '');
    for (const part of parts) this.startRelay(part, part === parts[0] ? `${orPort}` : 'auto', plan, defaults);
    await this.until('the relays to start', START_MS, () =>
      this.children.every(({ process }) => process.orPort !== null),
    );
    this.phase = 'waiting';
    this.ticker = setInterval(() => this.tick(), VITALS_MS);
    await this.until('the relays to be listed', LIST_MS, () => this.listed.length >= parts.length);
    const socksPort = await this.startClient(plan, defaults);
    this.goOn();
    this.phase = 'running';
    this.sinceMs = this.timing.nowMs();
    this.startDownloads(socksPort);
    return { torrc: joiningLines(authorityLine), socksPort, payloadPort: this.payload.port };
  }

  /** Start nothing more once somebody wants to end: nobody would end it. @throws OperatorError */
  private goOn(): void {
    if (this.phase !== 'ending') return;
    this.names?.stop();
    throw new OperatorError('was ended while it started', 'testnet', '');
  }

  private file(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }

  private startAuthority(face: Part, orPort: number): string {
    const keys = makeAuthorityKeys();
    const rsaId = this.makeIdentity(face);
    // The server's port is in the certificate, and the server needs the authority.
    const dirPort = findFreePort(LOOPBACK, this.random);
    const voter = { nickname: AUTHORITY_NAME, host: HOST, dirPort, orPort, keys };
    const { timing } = this;
    const authority = new Authority(
      { voter, rsaId, awaited: this.wish.relays, params: PARAMS },
      {
        nowSec: () => timing.nowSec(),
        nowMs: () => timing.nowMs(),
        after: (delayMs, run) => timing.after(delayMs, run),
        random: (length) => new Uint8Array(randomBytes(length)),
        answers: ({ host, port }) => answers(port, host.join('.')),
      },
    );
    this.authority = authority;
    this.clientNetwork = new ClientNetwork(authority.documents, keys.v3Ident, this.random);
    authority.onConsensus = (relays) => {
      this.consensuses++;
      this.listed = relays;
      this.clientNetwork!.refresh(timing.nowSec());
    };
    this.server = new DirectoryServer(LOOPBACK, dirPort, (request) => authority.handle(request));
    return (
      `DirAuthority ${AUTHORITY_NAME} orport=${orPort} no-v2 v3ident=${encodeHex(keys.v3Ident)} ` +
      `${LOOPBACK}:${dirPort} ${encodeHex(rsaId)}`
    );
  }

  /** The identity of the relay that answers for the authority: the line that all need names it. */
  private makeIdentity(face: Part): Uint8Array {
    const directory = this.directoryOf(face);
    const store = openKeyStore({
      dataDirectory: directory,
      keyDirectory: join(directory, 'keys'),
      dataDirectoryGroupReadable: false,
      keyDirectoryGroupReadable: false,
      warn: () => undefined,
    });
    return loadOrCreateIdentity(store, this.timing.nowSec()).rsaId;
  }

  private directoryOf({ nickname }: Part): string {
    const directory = join(this.folder, nickname);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    return directory;
  }

  private startRelay(part: Part, orPort: string, plan: NetworkPlan, defaults: string): void {
    const directory = this.directoryOf(part);
    const torrc = join(directory, 'torrc');
    writeFileSync(torrc, relayTorrc(part, directory, orPort, plan), { mode: 0o600 });
    const process = new RelayProcess(
      part,
      [...this.command, '-f', torrc, '--defaults-torrc', defaults],
      directory,
    );
    this.reaper!.watch(process.pid);
    this.children.push({ process, read: new RateMeter(), written: new RateMeter(), cpu: new RateMeter() });
    void process.ended.then((code) => {
      if (this.phase === 'ending') return;
      const said = process.log.slice(-LOG_TAIL);
      this.fail(new OperatorError(`${part.nickname} ended with ${code}:\n${said}`, 'testnet', ''));
    });
  }

  private async startClient({ authorityLine }: NetworkPlan, defaults: string): Promise<number> {
    const lines = [`DataDirectory ${join(this.folder, 'client')}`, ...joiningLines(authorityLine), ''];
    const torrc = this.file('client-torrc', lines.join('\n'));
    const layers = loadLayers(parseCommandLine(['-f', torrc, '--defaults-torrc', defaults]), null);
    const { options } = buildOptions({ ...layers, home: null });
    const network = this.clientNetwork!;
    this.client = new ClientThread(
      {
        choosePath: (wish) => network.choose(wish),
        onDeath: (text) => this.fail(new Error(`the client died: ${text}`)),
      },
      makeClientStart(options, network.params),
      { host: LOOPBACK, port: this.wish.socksPort },
    );
    return Promise.race([this.client.ready, this.broken.then((error) => Promise.reject(error))]);
  }

  private startDownloads(socksPort: number): void {
    const { downloads: atATime, downloadBytes: bytes } = this.wish;
    const serverPort = this.payload!.port;
    this.downloads = new Downloads({
      atATime,
      start: ({ name }) => new Download({ host: LOOPBACK, socksPort, serverPort, bytes, name }),
      nowMs: () => this.timing.nowMs(),
    });
    this.downloads.start();
  }

  private async until(what: string, deadlineMs: number, holds: () => boolean): Promise<void> {
    const endMs = this.timing.nowMs() + deadlineMs;
    let broken: Error | null = null;
    void this.broken.then((error) => {
      broken = error;
    });
    while (!holds()) {
      await Bun.sleep(POLL_MS);
      this.goOn();
      if (broken !== null) throw broken;
      if (this.timing.nowMs() < endMs) continue;
      const silent =
        this.children.find(({ process }) => !this.isListed(process.part.nickname)) ?? this.children[0];
      const said = silent?.process.log.slice(-LOG_TAIL) ?? '';
      throw new OperatorError(
        `gave up waiting for ${what}:\n${said}`,
        'testnet',
        'is the machine very busy?',
      );
    }
  }

  private isListed(nickname: string): boolean {
    return this.listed.some(({ descriptor }) => descriptor.nickname === nickname);
  }

  /** Note what the relays told, and have them tell again. */
  private tick(): void {
    const nowMs = this.timing.nowMs();
    for (const { process, read, written, cpu } of this.children) {
      const vitals = process.read();
      read.note(nowMs, vitals.read);
      written.note(nowMs, vitals.written);
      cpu.note(nowMs, vitals.cpuSec);
      process.ask();
    }
  }

  /** How the network is now. */
  view(): NetworkView {
    const nowMs = this.timing.nowMs();
    if (this.downloads !== null && this.phase === 'running') {
      this.downloadMeter.note(nowMs, this.downloads.received);
    }
    const none = { done: 0, failed: 0, lastFailure: null, bytes: 0, rate: 0, meanRate: 0, running: 0 };
    return {
      phase: this.phase,
      elapsedSec: (nowMs - this.sinceMs) / 1000,
      totalSec: this.wish.minutes === null ? null : this.wish.minutes * 60,
      relays: [...this.children.map((child) => this.relayView(child)), ...this.joinedViews()],
      circuits: (this.client?.circuits ?? []).map(({ circuit, state, nicknames, streams, received }) => ({
        number: circuit,
        state,
        nicknames,
        streams,
        received,
      })),
      circuitsBuilt: this.client?.built ?? 0,
      downloads: this.downloads?.view(this.downloadMeter.rate) ?? none,
      consensuses: this.consensuses,
    };
  }

  private relayView({ process, read, written, cpu }: Child): RelayView {
    const { nickname, role } = process.part;
    const vitals = process.read();
    return {
      nickname,
      role,
      isAuthority: process === this.children[0]?.process,
      isListed: this.isListed(nickname),
      readRate: read.rate,
      writtenRate: written.rate,
      circuits: vitals.circuits,
      cpu: cpu.rate,
      readBytes: vitals.read,
      writtenBytes: vitals.written,
      cpuSec: vitals.cpuSec,
    };
  }

  /** Relays that others added. */
  private joinedViews(): RelayView[] {
    const ours = new Set(this.children.map(({ process }) => process.part.nickname));
    return this.listed
      .filter(({ descriptor }) => !ours.has(descriptor.nickname))
      .map(({ descriptor }) => ({
        nickname: descriptor.nickname,
        role: 'joined',
        isAuthority: false,
        isListed: true,
        readRate: null,
        writtenRate: null,
        circuits: null,
        cpu: null,
        readBytes: 0,
        writtenBytes: 0,
        cpuSec: 0,
      }));
  }

  /** End everything, in good order. Harmless when it was called before, or nothing has started. */
  async stop(): Promise<void> {
    if (this.phase === 'ending') return;
    this.tick();
    this.phase = 'ending';
    if (this.ticker !== null) clearInterval(this.ticker);
    this.downloads?.stop();
    await this.client?.stop();
    this.authority?.stop();
    await Promise.all(this.children.map(({ process }) => process.stop()));
    this.server?.stop();
    this.payload?.stop();
    this.names?.stop();
    await this.reaper?.finish();
  }
}
