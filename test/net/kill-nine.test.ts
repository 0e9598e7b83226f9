/**
 * `kill -9` of a relay two hundred times: while it makes its keys, rotates them, writes `state` and its caches. It
 * always starts again, as the same relay, and no file that has its name is half written.
 *
 * Half of the deaths are placed: behind each step on disk of a first start, a rotation, a state write and of a later
 * start, which caches what it fetches and with some relays renews the signing key. The others come from outside at
 * random moments; KILL_NINE_SEED repeats a run. Several relays live and die side by side; each start is at once the
 * proof that the last death did no harm.
 */

import { afterAll, beforeAll, expect, test } from 'bun:test';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeHex } from '../../src/bytes/base.ts';
import { FakeAuthority, reply } from '../directory/fake-authority.ts';
import {
  makeAuthority,
  type PaperAuthority,
  printCertificate,
  printConsensus,
} from '../directory/paper-network.ts';
import { seededRandom } from '../directory/virtual-time.ts';
import { complaints, HAS_TOR, startTor } from '../keys/c-tor.ts';
import { onionrelayCommand } from './network-node.ts';
import { checkWholeFiles, type FoundKeys, temporaries } from './whole-files.ts';

const KILLS = 200;
const LANES = 4;
/** Steps on disk, counted generously: who lives on after the last dies in a later state write. */
const STEPS = { birth: 54, rotation: 22, state: 6, start: 26 };
const RELAYS_IN_CONSENSUS = 1500;
const DEADLINE_MS = 60_000;
const TEST_MS = 900_000;

const seed = Number(process.env['KILL_NINE_SEED'] ?? Date.now() % 1_000_000);
const random = seededRandom(seed);

/** How a life ends: behind the n-th step of something, or at a random moment. */
interface Death {
  readonly kind: 'birth' | 'rotation' | 'state' | 'start' | 'random';
  /** The step; for a random death, where in its life it comes: from 0 to 1. */
  readonly at: number;
}

let home = '';
let authority: FakeAuthority;
let paper: PaperAuthority;
const served = new Set<string>();
const tally = { kills: 0, random: 0, interrupted: 0, randomInterrupted: 0, renewals: 0, cTorStarts: 0 };

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'onionrelay-'));
  authority = new FakeAuthority(({ path }, socket) => {
    const document = path.startsWith('/tor/keys/') ? certificate() : consensus(path);
    served.add(document);
    socket.end(reply('200 OK', document));
  });
  await authority.listen();
  paper = makeAuthority('authority', authority.endpoint.port);
});

afterAll(() => {
  authority.close();
  rmSync(home, { recursive: true, force: true });
});

let certificateText = '';

function certificate(): string {
  const nowSec = Math.floor(Date.now() / 1000);
  if (certificateText === '') certificateText = printCertificate(paper, nowSec - 86_400, nowSec + 86_400);
  return certificateText;
}

const printed = new Map<string, string>();

/** The consensus of this second: valid for so short that each start fetches another, and long, for long writes. */
function consensus(path: string): string {
  const flavour = path.includes('/consensus-microdesc/') ? 'microdesc' : 'ns';
  const validAfterSec = Math.floor(Date.now() / 1000);
  const key = `${flavour} ${validAfterSec}`;
  let text = printed.get(key);
  if (text === undefined) {
    const relays = Array.from({ length: RELAYS_IN_CONSENSUS }, (_, i) => {
      const rsaId = new Uint8Array(20);
      new DataView(rsaId.buffer).setUint32(0, i + 1);
      return { rsaId, flags: 'Fast Running Valid', weight: 'Bandwidth=1' };
    });
    text = printConsensus({ flavour, validAfterSec, intervalSec: 1, relays }, [paper]);
    printed.set(key, text);
  }
  return text;
}

function wasServed(_name: string, bytes: Uint8Array): boolean {
  return served.has(new TextDecoder('latin1').decode(bytes));
}

/** A relay's directory, over all its lives. */
class Victim {
  readonly directory: string;
  readonly #torrc: readonly string[];
  readonly #renews: boolean;
  #lives = 0;
  #rsaId: string | null = null;
  #ed25519Id: string | null = null;
  #child!: Bun.Subprocess<'pipe', 'ignore', Bun.BunFile>;
  #from = 0;
  #bornMs = 0;
  /** How long its last start took. */
  startMs = 500;

  constructor(nth: number) {
    this.directory = join(home, `victim-${nth}`);
    mkdirSync(this.directory, { mode: 0o700 });
    const { nickname, v3Ident, dir, rsaId } = paper.authority;
    this.#torrc = [
      `DataDirectory ${this.directory}`,
      `Log info file ${join(this.directory, 'log')}`,
      'ORPort 127.0.0.1:auto',
      'Address 127.0.0.1',
      'AssumeReachable 1',
      'ContactInfo nobody@example.com',
      'NumCPUs 1',
      'PublishServerDescriptor 0',
      'ShutdownWaitLength 0',
      'TestingTorNetwork 1',
      `DirAuthority ${nickname} orport=1 no-v2 v3ident=${encodeHex(v3Ident!)} 127.0.0.1:${dir.port} ${encodeHex(rsaId)}`,
    ];
    writeFileSync(join(this.directory, 'log'), '');
    this.#renews = nth % 2 === 0;
  }

  log(): string {
    return readFileSync(join(this.directory, 'log'), 'utf8').slice(this.#from);
  }

  start(dieAtStep: number | null = null): void {
    // The key of the last life has less left than this one wants: it is renewed at once.
    const slopDays = Math.ceil(2.5 ** this.#lives++);
    const renewal = [`SigningKeyLifetime ${2 * slopDays} days`, `TestingSigningKeySlop ${slopDays} days`];
    const torrc = [...this.#torrc, ...(this.#renews ? renewal : [])];
    writeFileSync(join(this.directory, 'torrc'), `${torrc.join('\n')}\n`);
    this.#from = readFileSync(join(this.directory, 'log'), 'utf8').length;
    this.#bornMs = Date.now();
    const arm = dieAtStep === null ? {} : { ONIONRELAY_TEST_DIE_AT_STEP: String(dieAtStep) };
    this.#child = Bun.spawn([...onionrelayCommand(), '-f', join(this.directory, 'torrc'), '--quiet'], {
      env: { ...process.env, ONIONRELAY_TEST_HOOKS: '1', ...arm },
      stdin: 'pipe',
      stdout: 'ignore',
      stderr: Bun.file(join(this.directory, 'stderr')),
    });
  }

  get #isDead(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Wait until it is up. Returns whether it came that far. @throws Error when it ended by itself */
  async up(): Promise<boolean> {
    for (const end = performance.now() + DEADLINE_MS; performance.now() < end; await Bun.sleep(10)) {
      if (this.log().includes('Listening for OR connections on')) {
        this.startMs = Date.now() - this.#bornMs;
        return true;
      }
      if (this.#child.signalCode === 'SIGKILL') return false;
      if (this.#isDead) break;
    }
    const said = readFileSync(join(this.directory, 'stderr'), 'utf8') + this.log().slice(-2000);
    throw new Error(
      `${this.directory}: not up, exit ${this.#child.exitCode} ${this.#child.signalCode}\n${said}`,
    );
  }

  hook(line: string): void {
    if (this.#isDead) return;
    const ignored = (): void => {};
    try {
      this.#child.stdin.write(`${line}\n`);
      const flushed = this.#child.stdin.flush();
      if (flushed instanceof Promise) flushed.catch(ignored);
    } catch {
      // It has just died.
    }
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** Let it do things until it is dead, which is soon. */
  async untilDead(...stimuli: readonly string[]): Promise<void> {
    for (const end = performance.now() + DEADLINE_MS; !this.#isDead; await Bun.sleep(10)) {
      if (performance.now() > end) throw new Error(`${this.directory}: does not die`);
      for (const line of stimuli) this.hook(line);
    }
    await this.#child.exited;
    expect(this.#child.signalCode).toBe('SIGKILL');
  }

  /** End it as an operator would: all is in its place then, and nothing else. */
  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    expect(await this.#child.exited).toBe(0);
    expect(temporaries(this.directory)).toEqual([]);
    this.examine();
  }

  /** Look at all files, and that it is the relay that it was. */
  examine(): FoundKeys {
    const found = checkWholeFiles(this.directory, wasServed);
    this.#rsaId ??= found.rsaId;
    this.#ed25519Id ??= found.ed25519Id;
    expect([found.rsaId, found.ed25519Id]).toEqual([this.#rsaId, this.#ed25519Id]);
    return found;
  }

  /** Look at a relay that came up: who it is, and that it cleaned up behind the last one. */
  examineLife(): void {
    const [, rsaId] = this.log().match(/identity fingerprint is \S+ ([0-9A-F]{40})/)!;
    expect(rsaId).toBe(this.#rsaId ?? rsaId!);
    this.#rsaId = rsaId!;
    for (const name of temporaries(this.directory)) {
      const madeMs = statSync(join(this.directory, name), { throwIfNoEntry: false })?.mtimeMs;
      if (madeMs !== undefined) expect([name, madeMs]).toEqual([name, Math.max(madeMs, this.#bornMs - 1000)]);
    }
    if (existsSync(join(this.directory, 'keys/ed25519_signing_cert.old'))) tally.renewals++;
    expect(this.log()).not.toMatch(/\[(err|warn)\].*(damaged|not a text file|mismatch|cannot)/i);
  }
}

/** Kill it so, after it has shown that the death before did no harm. */
async function die(victim: Victim, { kind, at }: Death): Promise<void> {
  victim.start(kind === 'birth' || kind === 'start' ? at : null);
  let inForce: string | null = null;
  if (kind === 'random' && at < 0.25) {
    // Anywhere in the start.
    await Bun.sleep(at * 4 * victim.startMs);
    victim.kill();
  } else if (await victim.up()) {
    victim.examineLife();
    if (kind === 'rotation') {
      inForce = checkWholeFiles(victim.directory, () => true).onionKey;
      victim.hook(`die-at-step ${at}`);
      victim.hook('rotate-onion-key');
    } else if (kind === 'state') {
      victim.hook(`die-at-step ${at}`);
    } else if (kind === 'random') {
      setTimeout(() => victim.kill(), (at - 0.25) * 600);
    }
  }
  await victim.untilDead(
    ...(kind === 'random' ? ['rotate-onion-key', 'save-state', 'rotate-link-key'] : ['save-state']),
  );
  const found = victim.examine();
  if (inForce !== null) expect([found.onionKey, found.previousOnionKey]).toContain(inForce);
  const wasInterrupted = temporaries(victim.directory).length > 0;
  tally.kills++;
  if (wasInterrupted) tally.interrupted++;
  if (kind !== 'random') return;
  tally.random++;
  if (wasInterrupted) tally.randomInterrupted++;
}

/** All deaths, in an order that mixes them. */
function planDeaths(): Death[] {
  const placed = (kind: Death['kind'], steps: number): Death[] =>
    Array.from({ length: steps }, (_, i) => ({ kind, at: i + 1 }));
  const deaths = [
    ...placed('rotation', STEPS.rotation),
    ...placed('state', STEPS.state),
    ...placed('start', STEPS.start),
  ];
  while (deaths.length < KILLS - STEPS.birth) deaths.push({ kind: 'random', at: random() });
  for (let i = deaths.length - 1; i > 0; i--) {
    const other = Math.floor(random() * (i + 1));
    [deaths[i], deaths[other]] = [deaths[other]!, deaths[i]!];
  }
  const births = placed('birth', STEPS.birth);
  // A relay is born, dies of that, and of some more.
  return births.flatMap((birth, i) => [birth, ...deaths.filter((_, j) => j % births.length === i)]);
}

/** Whether C tor takes the keys as they lie there, and for the same relay. */
async function tryWithCTor(victim: Victim): Promise<void> {
  const copy = mkdtempSync(join(home, 'c-tor-'));
  for (const name of ['keys', 'state']) {
    if (existsSync(join(victim.directory, name))) {
      cpSync(join(victim.directory, name), join(copy, name), { recursive: true });
    }
  }
  const before = victim.examine();
  const tor = await startTor(copy);
  const log = await tor.stop();
  expect(complaints(log)).toEqual([]);
  expect(log).toContain(`identity key fingerprint is 'unnamed1 ${before.rsaId}'`);
  expect(log).toContain(`identity key ed25519 fingerprint is 'unnamed1 ${before.ed25519Id}'`);
  tally.cTorStarts++;
}

test(
  `a relay that is killed ${KILLS} times starts again each time, as the same relay, with whole files`,
  async () => {
    const deaths = planDeaths();
    expect(deaths.length).toBe(KILLS);
    let victims = 0;
    const lane = async (): Promise<void> => {
      let victim: Victim | null = null;
      const bury = async (): Promise<void> => {
        if (victim === null) return;
        if (HAS_TOR && victims % 3 === 0 && victim.examine().onionKey !== null) await tryWithCTor(victim);
        victim.start();
        expect(await victim.up()).toBe(true);
        victim.examineLife();
        await victim.stop();
        rmSync(victim.directory, { recursive: true });
      };
      for (;;) {
        const next = deaths[0];
        if (next === undefined || next.kind === 'birth') {
          await bury();
          victim = null;
        }
        const death = deaths.shift();
        if (death === undefined) return;
        if (victim === null) victim = new Victim(++victims);
        await die(victim, death);
      }
    };
    try {
      await Promise.all(Array.from({ length: LANES }, lane));
    } finally {
      console.info(
        `kill-nine: seed ${seed}: ${tally.kills} kills, ${tally.interrupted} left temporary files; ` +
          `of ${tally.random} at random moments ${tally.randomInterrupted}; C tor took ${tally.cTorStarts} as they lay`,
      );
    }
    expect(tally.kills).toBe(KILLS);
    expect(tally.renewals).toBeGreaterThan(0);
    expect(tally.interrupted).toBeGreaterThan(KILLS / 10);
  },
  TEST_MS,
);
