/**
 * Whether others can reach our ORPorts, found out by circuits that end at ourselves; and the bandwidth self-test.
 *
 * As C tor has it: an address family counts as reachable once some relay that dialled us at the address which we
 * publish asked us for a circuit (workers count those). Until then circuits to ourselves are built every minute in the
 * first twenty, later seldom; then the operator is told what nobody reaches and what to look at. An IPv6 address that
 * nobody wrote in torrc and nobody reaches is left out of the descriptor instead. Once publishing waits for nothing, four
 * such circuits carry DROP cells, so that a new relay has some bandwidth to report.
 *
 * Unlike C tor, which in a small network may wait for ever, a link of ours is given up when all relays have one.
 * @source C tor's selftest.c and relay_periodic.c
 */
import { type Endpoint, printEndpoint } from '../bytes/address.ts';
import { encodeHex } from '../bytes/base.ts';
import { CELL_BYTES } from '../cell/cell.ts';
import { destroyReasonName } from '../cell/reason.ts';
import type { ClientCircuit, OriginClient } from '../directory/origin-client.ts';
import type { AddressChoice } from '../directory/published-address.ts';
import { log } from '../log.ts';
import type { OriginHop } from '../shm/origin-letter.ts';

/** An address family. */
export type Family = 'ipv4' | 'ipv6';

/** What torrc and the consensus say, asked again each time. */
export interface ReachabilitySettings {
  /** AssumeReachable and AssumeReachableIPv6: nothing is tested then. */
  readonly assume: Readonly<Record<Family, boolean>>;
  /** The consensus lets relays publish what nobody is known to reach. */
  readonly publishAnyway: Readonly<Record<Family, boolean>>;
  /** PublishServerDescriptor. */
  readonly publishes: boolean;
  /** TestingTorNetwork: waits are short. */
  readonly testing: boolean;
  /** BandwidthRate, bytes per second. */
  readonly bandwidthRate: number;
}

export interface ReachabilityConfig {
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
  readonly client: Pick<OriginClient, 'open'>;
  readonly settings: () => ReachabilitySettings;
  readonly address: () => AddressChoice;
  /** Circuits so far that show a family's published address reachable; never falls. */
  readonly reachedCount: (family: Family) => number;
  /** A path that ends at ourselves and reaches us over a family; null while there is none. */
  readonly pathTo: (family: Family) => OriginHop[] | null;
  /** Whether we have a link to a relay, or are about to. */
  readonly isLinked: (rsaId: Uint8Array) => boolean;
  /** Give up the links to a relay: they are closed once they carry no circuit. */
  readonly retireLinks: (rsaId: Uint8Array) => void;
  /** Something changed that publishing depends on; a few words why. */
  readonly onChange: (why: string) => void;
}

const FAMILIES: readonly Family[] = ['ipv4', 'ipv6'];
const NAMES: Readonly<Record<Family, string>> = { ipv4: 'IPv4', ipv6: 'IPv6' };

const MINUTE_MS = 60_000;
/** For so long after the start, or after a new address, tests are frequent; then it is time to complain. */
const PATIENCE_MS = 20 * MINUTE_MS;
const EARLY_EVERY_MS = MINUTE_MS;
const EARLY_EVERY_TESTING_MS = 5000;
const BUILD_TIMEOUT_MS = MINUTE_MS;
/** A link that was given up is closed by then, unless it carries circuits. */
const RETIRED_MS = 5000;
/** A test circuit lives no longer. */
const CIRCUIT_LIFE_MS = 5 * MINUTE_MS;
/** What the bandwidth test sent has long arrived by then: its circuits have served. */
const AFTER_TEST_MS = 30_000;
/** Circuits that the bandwidth test wants open, cells that it sends at most, and how often it may be repeated. */
const TEST_CIRCUITS = 4;
const TEST_CELLS_MAX = 1000;
const TEST_SECONDS = 10;
const RETEST_MS = 12 * 60 * MINUTE_MS;
/** Below so many bytes per second a relay tests its bandwidth again. */
const RETEST_BELOW = 51_200;
/** Test circuits under way or open at once. */
const CIRCUITS_MAX = 12;

interface Test {
  readonly circuit: ClientCircuit;
  readonly startedMs: number;
}

interface Standing {
  reached: boolean;
  /** What the workers had counted when nothing was known. */
  baseline: number;
  informed: boolean;
}

/** Self-tests. One per process. */
export class Reachability {
  private readonly config: ReachabilityConfig;
  private readonly standing: Readonly<Record<Family, Standing>>;
  private readonly tests = new Set<Test>();
  /** Families whose turn in a round of tests is still to come. */
  private due: Family[] = [];
  private running = false;
  private sinceMs = 0;
  private nextTestMs = 0;
  private nextComplaintMs = 0;
  private nextRetireMs = 0;
  private testedMs: number | null = null;
  private omits = false;
  /** How far circuits came: none of them got a first hop, or at least one its last but one. */
  private failedFirst = 0;
  private failedLast = 0;
  /** Circuits that opened and showed nothing. */
  private openedInVain = 0;

  constructor(config: ReachabilityConfig) {
    this.config = config;
    const standing = (): Standing => ({ reached: false, baseline: 0, informed: false });
    this.standing = { ipv4: standing(), ipv6: standing() };
  }

  /** Begin to test, as soon as paths can be laid. */
  start(): void {
    this.running = true;
    this.reset();
  }

  /** Give up what is under way. */
  stop(): void {
    this.running = false;
    this.closeTests();
  }

  private closeTests(): void {
    for (const { circuit } of this.tests) circuit.close();
    this.tests.clear();
  }

  /** Forget what is known: our address is another one now. */
  reset(): void {
    const nowMs = this.config.nowMs();
    this.closeTests();
    for (const family of FAMILIES) {
      const standing = this.standing[family];
      standing.reached = false;
      standing.informed = false;
      standing.baseline = this.config.reachedCount(family);
    }
    this.sinceMs = nowMs;
    this.nextTestMs = nowMs;
    this.nextComplaintMs = nowMs + PATIENCE_MS;
    this.omits = false;
    this.testedMs = null;
    this.nextRetireMs = nowMs;
    this.failedFirst = 0;
    this.failedLast = 0;
    this.openedInVain = 0;
  }

  /** Look for paths again: there is new directory information. */
  lookAgain(): void {
    if (this.nextTestMs !== Number.POSITIVE_INFINITY) this.nextTestMs = this.config.nowMs();
  }

  /** Our IPv6 address is left out of the descriptor: nobody asked for it, and nobody reaches it. */
  get omitsIpv6(): boolean {
    return this.omits;
  }

  /** Whether a family needs no test any more; one that we have no address of never did. */
  isReachable(family: Family): boolean {
    if (this.config.settings().assume[family]) return true;
    return this.config.address()[family] === null || this.standing[family].reached;
  }

  /** Why nothing may be published yet, as half a sentence; null: nothing is in the way. */
  get waitsFor(): string | null {
    const { publishAnyway } = this.config.settings();
    const missing = FAMILIES.filter(
      (family) => !publishAnyway[family] && !this.isReachable(family) && !(family === 'ipv6' && this.omits),
    );
    if (missing.length === 0) return null;
    return `nobody is known to reach our ORPort at ${this.placesOf(missing)}`;
  }

  private placesOf(families: readonly Family[]): string {
    const address = this.config.address();
    return families.map((family) => printEndpoint(address[family]!)).join(' and ');
  }

  /** Once a second. */
  tick(): void {
    if (!this.running || this.config.address().problem !== null) return;
    const nowMs = this.config.nowMs();
    this.lookWhatWasReached();
    const isTested = this.testedMs !== null && nowMs - this.testedMs >= AFTER_TEST_MS;
    for (const test of this.tests) {
      if (nowMs - test.startedMs < (isTested && test.circuit.isOpen ? 0 : CIRCUIT_LIFE_MS)) continue;
      this.tests.delete(test);
      test.circuit.close();
    }
    if (nowMs >= this.nextTestMs) {
      this.nextTestMs = nowMs + (nowMs - this.sinceMs < PATIENCE_MS ? this.earlyEveryMs : PATIENCE_MS);
      this.test();
    } else {
      this.testNext();
    }
    if (nowMs >= this.nextComplaintMs) {
      this.nextComplaintMs = nowMs + PATIENCE_MS;
      this.complain();
    }
  }

  private get earlyEveryMs(): number {
    return this.config.settings().testing ? EARLY_EVERY_TESTING_MS : EARLY_EVERY_MS;
  }

  /** The relay reports little bandwidth: test it again, if that is long ago. */
  noteBandwidth(observedBytesPerSec: number): void {
    if (this.testedMs === null || this.config.nowMs() - this.testedMs < RETEST_MS) return;
    const { bandwidthRate } = this.config.settings();
    if (observedBytesPerSec < Math.min(bandwidthRate, RETEST_BELOW)) this.testedMs = null;
  }

  private lookWhatWasReached(): void {
    for (const family of FAMILIES) {
      const standing = this.standing[family];
      if (standing.reached || this.config.reachedCount(family) <= standing.baseline) continue;
      const endpoint = this.config.address()[family];
      if (endpoint === null) continue;
      standing.reached = true;
      this.tellReached(family, endpoint);
    }
  }

  private tellReached(family: Family, endpoint: Endpoint): void {
    // A port that is assumed to be reachable is nothing to speak of.
    if (this.config.settings().assume[family]) return;
    if (family === 'ipv6') this.omits = false;
    const ready = this.config.settings().publishes && this.waitsFor === null;
    log.notice(
      'or',
      `Self-testing indicates your ORPort ${printEndpoint(endpoint)} is reachable from the outside. Excellent.` +
        (ready ? ' Publishing server descriptor.' : ''),
    );
    this.config.onChange(`${NAMES[family]} ORPort found reachable`);
  }

  private get openTests(): number {
    let open = 0;
    for (const { circuit } of this.tests) if (circuit.isOpen) open++;
    return open;
  }

  /**
   * Build circuits to what nobody is known to reach, and once nothing is waited for, for the bandwidth test. The second
   * family's has to wait for the next second: the links that the first one makes are known then, and left out.
   */
  private test(): void {
    this.due = [...FAMILIES];
    this.testNext();
  }

  private testNext(): void {
    for (let family = this.due.shift(); family !== undefined; family = this.due.shift()) {
      // Links that carry the bandwidth test cannot be made anew for the other one.
      const wantsMore = this.testedMs === null && this.waitsFor === null && this.openTests < TEST_CIRCUITS;
      const endpoint = this.config.address()[family];
      const isReachable = this.isReachable(family);
      if (endpoint === null || (isReachable && !wantsMore) || this.tests.size >= CIRCUITS_MAX) continue;
      this.launch(family, endpoint, isReachable);
      return;
    }
  }

  private launch(family: Family, endpoint: Endpoint, isReachable: boolean): void {
    const path = this.config.pathTo(family);
    if (path === null) {
      log.info('circ', `No path for a test of our ${NAMES[family]} ORPort: too few relays are known.`);
      return;
    }
    const standing = this.standing[family];
    if (!isReachable && !standing.informed) {
      standing.informed = true;
      log.notice(
        'or',
        `Now checking whether ${NAMES[family]} ORPort ${printEndpoint(endpoint)} is reachable... (this may take up to ` +
          '20 minutes -- look for log messages indicating success)',
      );
    }
    if (!isReachable && this.retires(path[path.length - 2]!, family)) return;
    let test: Test | null = null;
    const circuit = this.config.client.open(path, BUILD_TIMEOUT_MS, {
      onOpen: () => this.onOpen(circuit!),
      onClosed: (reason, hops) => {
        if (test !== null) this.tests.delete(test);
        this.onFailed(reason, hops, path.length);
      },
    });
    // Null: no worker is there. Over: it failed at once.
    if (circuit === null || circuit.isOver) return;
    test = { circuit, startedMs: this.config.nowMs() };
    this.tests.add(test);
  }

  /**
   * Where each relay that could dial us has a link to us already, they all use that one, and no test shows anything, for
   * as long as tests keep those links in use: then one of them is given up now and then, and tested by soon after.
   */
  private retires({ rsaId }: OriginHop, family: Family): boolean {
    const nowMs = this.config.nowMs();
    if (nowMs < this.nextRetireMs || !this.config.isLinked(rsaId)) return false;
    log.info(
      'or',
      `Every relay that could test our ${NAMES[family]} ORPort has a link to us: giving up the one to ` +
        `${encodeHex(rsaId).toUpperCase()}, so that it makes a new one.`,
    );
    this.nextRetireMs = nowMs + 2 * this.earlyEveryMs;
    this.nextTestMs = Math.min(this.nextTestMs, nowMs + RETIRED_MS);
    this.config.retireLinks(rsaId);
    return true;
  }

  private onFailed(reason: number, hops: number, length: number): void {
    if (hops === 0) this.failedFirst++;
    else if (hops === length - 1) this.failedLast++;
    if (FAMILIES.every((family) => this.isReachable(family))) return;
    log.info(
      'circ',
      `A circuit to ourselves ended after ${hops} of ${length} hops (${destroyReasonName(reason)}); trying again later.`,
    );
  }

  private onOpen(circuit: ClientCircuit): void {
    if (!this.running) return;
    this.lookWhatWasReached();
    if (this.testedMs !== null || this.waitsFor !== null || !this.isReachable('ipv4')) {
      // It has served, or it came about by a link that there was already and shows nothing.
      this.openedInVain++;
      this.forget(circuit);
      circuit.close();
    } else if (this.openTests >= TEST_CIRCUITS) {
      this.testBandwidth();
    } else {
      this.test();
    }
  }

  private forget(circuit: ClientCircuit): void {
    for (const test of this.tests) if (test.circuit === circuit) this.tests.delete(test);
  }

  private testBandwidth(): void {
    this.testedMs = this.config.nowMs();
    const wanted = Math.floor((this.config.settings().bandwidthRate * TEST_SECONDS) / CELL_BYTES);
    const perCircuit = Math.floor(Math.min(wanted, TEST_CELLS_MAX) / TEST_CIRCUITS);
    log.notice('or', 'Performing bandwidth self-test...done.');
    for (const { circuit } of this.tests) if (circuit.isOpen) circuit.drop(perCircuit);
  }

  private complain(): void {
    const address = this.config.address();
    const missing = FAMILIES.filter((family) => !this.isReachable(family));
    if (missing.length === 0 || this.omits) return;
    const onlyIpv6 = missing.length === 1 && missing[0] === 'ipv6';
    if (onlyIpv6 && address.ipv6Origin !== 'torrc') {
      this.omits = true;
      log.notice(
        'config',
        `Auto-discovered IPv6 address ${this.placesOf(missing)} has not been found reachable. However, IPv4 address ` +
          'is reachable. Publishing server descriptor without IPv6 address.',
      );
      this.config.onChange('IPv4 is reachable, IPv6 is not but was found without torrc');
      return;
    }
    log.warn(
      'config',
      `Your server has not managed to confirm reachability for its ORPort(s) at ${this.placesOf(missing)}. Relays do ` +
        `not publish descriptors until their ORPorts are reachable. ${this.advice()}`,
    );
  }

  private advice(): string {
    const usual =
      'Please check that firewalls and routers let connections in to this address and port, and that Address in torrc ' +
      'is what others see of this host.';
    if (this.failedLast > 0) return `Relays tried and could not connect. ${usual}`;
    if (this.failedFirst > 0) {
      return 'No circuit got even to its first relay: please check that this host may open connections to the outside.';
    }
    if (this.openedInVain > 0)
      return `Test circuits came in by links that were already there, which shows nothing. ${usual}`;
    return `No test could be made yet: the directory documents that it takes are not there. ${usual}`;
  }
}
