/** Keys over weeks of a time that the test owns: rotated, renewed, delivered in order, ended. */

import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { KeyKeeper, linkKeySec } from '../../src/daemon/key-keeper.ts';
import type { OperatorError } from '../../src/fault.ts';
import { openKeyStore } from '../../src/keys/key-store.ts';
import { setLogSink, setLogThreshold } from '../../src/log.ts';
import type { OnionKeysLetter } from '../../src/shm/letter.ts';
import type { LinkCredentials } from '../../src/shm/link-credentials.ts';
import { parseTorrc } from '../../src/torrc/line.ts';
import type { RelayOptions } from '../../src/torrc/relay-options.ts';
import { buildOptions } from '../../src/torrc/validate.ts';
import { memoryTimes, refusal, scratch } from '../keys/scratch.ts';

const NOW = 1_795_000_000;
const HOUR = 3600;
const DAY = 24 * HOUR;
const HOUR_MS = HOUR * 1000;

const warnings: string[] = [];

beforeEach(() => {
  warnings.length = 0;
  setLogThreshold((severity) => severity === 'warn');
  setLogSink((record) => void warnings.push(record.text));
});

afterEach(() => {
  setLogSink(null);
  setLogThreshold(null);
});

function optionsOf(...lines: string[]): RelayOptions {
  const parsed = parseTorrc(['ORPort 9001', ...lines].join('\n'), 'torrc', () => 'none');
  return buildOptions({ layers: [parsed], torrcName: 'torrc', home: '/root' }).options;
}

/** A keeper with workers that acknowledge when the test says so. */
class Bench {
  readonly at: string;
  readonly state;
  readonly keeper: KeyKeeper;
  readonly dirty: string[] = [];
  readonly expired: OperatorError[] = [];
  readonly links: LinkCredentials[] = [];
  readonly onions: OnionKeysLetter[] = [];
  private acknowledgements: (() => void)[] = [];
  isMute = false;
  rotations = 0;

  constructor(at = scratch(), nowSec = NOW, options = optionsOf(), times: Record<string, number> = {}) {
    this.at = at;
    this.state = memoryTimes(times);
    this.keeper = new KeyKeeper(
      {
        options,
        store: this.store(),
        state: this.state,
        onionParams: () => ({ rotationDays: 28, graceDays: 7 }),
        random: (n) => crypto.getRandomValues(new Uint8Array(n)),
        onDirty: (reason) => void this.dirty.push(reason),
        onRotated: () => void this.rotations++,
        onExpired: (error) => void this.expired.push(error),
      },
      nowSec,
    );
    this.keeper.openOnionKeys(nowSec);
    const acknowledged = () =>
      this.isMute
        ? new Promise<void>((resolve) => void this.acknowledgements.push(resolve))
        : Promise.resolve();
    this.keeper.deliverTo(
      {
        setCredentials: (credentials) => {
          this.links.push(credentials);
          return acknowledged();
        },
        setOnionKeys: (letter) => {
          this.onions.push(letter);
          return acknowledged();
        },
      },
      0,
    );
  }

  store() {
    return openKeyStore({ dataDirectory: this.at, warn: (text) => void warnings.push(text) });
  }

  acknowledge(): void {
    this.isMute = false;
    for (const resolve of this.acknowledgements.splice(0)) resolve();
  }
}

describe('onion keys', () => {
  test('rotate when due, and a descriptor names the new one only when every worker has it', async () => {
    const bench = new Bench();
    const first = bench.keeper.describedOnionKeys.current;
    await bench.keeper.maintain(NOW + 28 * DAY - 1, 0);
    expect(bench.onions).toEqual([]);

    bench.isMute = true;
    const done = bench.keeper.maintain(NOW + 28 * DAY, 0);
    while (bench.onions.length === 0) await Bun.sleep(1);
    const letter = bench.onions[0]!;
    expect(letter.generation).toBe(2);
    expect(bench.rotations).toBe(1);
    expect(letter.previous!.publicKey).toEqual(first.publicKey);
    expect(letter.current.publicKey).not.toEqual(first.publicKey);
    expect(bench.keeper.describedOnionKeys.current).toBe(first);
    expect(bench.dirty).toEqual([]);
    bench.acknowledge();
    await done;
    expect(bench.keeper.describedOnionKeys.current.publicKey).toEqual(letter.current.publicKey);
    expect(bench.dirty).toEqual(['rotated onion key']);
    expect(bench.state.map.get('LastRotatedOnionKey')).toBe(NOW + 28 * DAY);
  });

  test('drop the previous one after its grace, without a new descriptor', async () => {
    const bench = new Bench();
    await bench.keeper.rotateOnionKeysNow();
    const rotatedSec = NOW + 28 * DAY;
    await bench.keeper.maintain(rotatedSec + 7 * DAY - 1, 0);
    expect(bench.onions).toHaveLength(1);
    await bench.keeper.maintain(rotatedSec + 7 * DAY, 0);
    expect(bench.onions).toHaveLength(2);
    expect(bench.onions[1]!.previous).toBeNull();
    expect(bench.onions[1]!.current.publicKey).toEqual(bench.onions[0]!.current.publicKey);
    expect(bench.dirty.filter((reason) => reason === 'rotated onion key')).toHaveLength(1);
  });

  test('that are too old rotate at the start, and workers get both from the first', () => {
    const before = new Bench();
    const old = before.keeper.onionLetter().current.publicKey;
    const late = NOW + 40 * DAY;
    const options = optionsOf('SigningKeyLifetime 60 days');
    const after = new Bench(before.at, late, options, { LastRotatedOnionKey: NOW });
    const letter = after.keeper.onionLetter();
    expect(letter.previous!.publicKey).toEqual(old);
    expect(letter.current.publicKey).not.toEqual(old);
    expect(after.state.map.get('LastRotatedOnionKey')).toBe(late);
  });

  test('that cannot be written stay as they are, with a warning', async () => {
    const bench = new Bench();
    rmSync(join(bench.at, 'keys'), { recursive: true });
    await bench.keeper.rotateOnionKeysNow();
    expect(warnings.join('\n')).toContain('Key maintenance failed');
    expect(bench.onions).toEqual([]);
    expect(bench.dirty).toEqual([]);
    await bench.keeper.rotateLinkKey(NOW, 0);
    expect(bench.links).toHaveLength(1);
  });
});

describe('link keys', () => {
  test('rotate every two hours of the clock that never jumps', async () => {
    const bench = new Bench();
    await bench.keeper.makeCredentials(NOW, 0);
    bench.keeper.tick(NOW + 10 * DAY, 2 * HOUR_MS - 1);
    bench.keeper.tick(NOW, 2 * HOUR_MS);
    bench.keeper.tick(NOW, 2 * HOUR_MS + 1);
    while (bench.links.length === 0) await Bun.sleep(1);
    expect(bench.links.map(({ generation }) => generation)).toEqual([2]);
  });

  test('rotate sooner where a test network gives their certificates less time', () => {
    expect(linkKeySec(optionsOf())).toBe(2 * HOUR);
    const testing = ['TestingTorNetwork 1', `DirAuthority 127.0.0.1:1 ${'1'.repeat(40)}`];
    const slops = ['TestingLinkKeySlop 10 minutes', 'TestingAuthKeySlop 30 minutes'];
    expect(linkKeySec(optionsOf(...testing, ...slops, 'TestingLinkCertLifetime 2 hours'))).toBe(1.5 * HOUR);
    expect(linkKeySec(optionsOf(...testing, ...slops, 'TestingAuthKeyLifetime 1 hour'))).toBe(0.5 * HOUR);
  });

  test('rotate when the wall clock jumped', async () => {
    const bench = new Bench();
    bench.keeper.onClockJump(NOW + 3 * DAY, 0);
    while (bench.links.length === 0) await Bun.sleep(1);
  });
});

describe('the signing key', () => {
  test('is renewed a day before its end, with new link certificates and a new descriptor', async () => {
    const bench = new Bench();
    const before = bench.keeper.identity.signing;
    await bench.keeper.maintain(before.expiresSec - DAY, 0);
    expect(bench.links).toEqual([]);
    await bench.keeper.maintain(before.expiresSec - DAY + 1, 0);
    expect(bench.keeper.identity.signing.publicKey).not.toEqual(before.publicKey);
    expect(bench.links).toHaveLength(1);
    expect(bench.dirty).toContain('new signing key');
  });

  test('that is renewed while a link key rotates is in the certificates of the last one', async () => {
    const bench = new Bench();
    const { expiresSec } = bench.keeper.identity.signing;
    const rotation = bench.keeper.rotateLinkKey(NOW, 0);
    const renewal = bench.keeper.maintain(expiresSec, 0);
    await Promise.all([rotation, renewal]);
    expect(bench.links).toHaveLength(2);
    const cert = Buffer.from(bench.keeper.identity.signing.cert);
    expect(Buffer.from(bench.links[0]!.responderCerts).includes(cert)).toBe(false);
    expect(Buffer.from(bench.links[1]!.responderCerts).includes(cert)).toBe(true);
  });

  test('under an offline master is warned of for a week, once a day, and its end is the end', async () => {
    const made = new Bench();
    const { expiresSec } = made.keeper.identity.signing;
    rmSync(join(made.at, 'keys/ed25519_master_id_secret_key'));
    const bench = new Bench(made.at, NOW, optionsOf('OfflineMasterKey 1'));
    await bench.keeper.maintain(expiresSec - 8 * DAY, 0);
    const told = () => warnings.filter((text) => text.includes('signing key ends in')).length;
    expect(told()).toBe(0);
    for (let hour = 0; hour < 48; hour++) {
      // A clock that goes wrong in between changes nothing of `once a day`.
      const jumpSec = hour === 20 ? 2 * DAY : 0;
      await bench.keeper.maintain(expiresSec - 7 * DAY + hour * HOUR + jumpSec, hour * HOUR_MS);
    }
    expect(told()).toBe(2);
    expect(bench.expired).toEqual([]);
    await bench.keeper.maintain(expiresSec + 1, 0);
    expect(bench.expired).toHaveLength(1);
    expect(bench.expired[0]!.exitCode).toBe(2);
    expect(bench.expired[0]!.message).toContain('ed25519_signing_cert: expired at');
  });

  test('is looked at on a reload before anything changes', () => {
    const bench = new Bench();
    rmSync(join(bench.at, 'keys/ed25519_signing_cert'));
    rmSync(join(bench.at, 'keys/ed25519_master_id_secret_key'));
    const error = refusal(() => bench.keeper.prepare(optionsOf('OfflineMasterKey 1'), bench.store(), NOW));
    expect(error.message).toContain('the signing key is missing');
  });
});
