/** Runs one C tor on loopback for a test, with a DataDirectory of its own that goes away with it. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeBase64, decodeHex } from '../../src/bytes/base.ts';

/** Whether this machine has C tor. Tests against it are skipped where it has not. */
export const HAS_C_TOR = Bun.which('tor') !== null;

/** A C tor that runs. */
export interface CTor {
  readonly directory: string;
  /** Everything that it logged so far, from info upwards. */
  log(): string;
  /** Wait until the log matches. @throws Error with the end of the log when it takes over 60 s. */
  logged(pattern: RegExp): Promise<RegExpMatchArray>;
  stop(): Promise<void>;
}

/** Lines that make a C tor a relay on loopback which speaks with nobody on its own. */
export const QUIET_RELAY: readonly string[] = [
  'ORPort 127.0.0.1:auto',
  'Address 127.0.0.1',
  'Nickname ctor',
  'AssumeReachable 1',
  'PublishServerDescriptor 0',
  'ExtendAllowPrivateAddresses 1',
  'ShutdownWaitLength 0',
];

/** Start a C tor with these torrc lines beside those that keep it to loopback. */
export async function startCTor(lines: readonly string[]): Promise<CTor> {
  const directory = mkdtempSync(join(tmpdir(), 'c-tor-'));
  const logPath = join(directory, 'log');
  const torrc = [
    `DataDirectory ${directory}`,
    `Log info file ${logPath}`,
    'SafeLogging 0',
    'TestingTorNetwork 1',
    // An authority that does not exist: a testing network must name one.
    `DirAuthority nobody orport=1 no-v2 127.0.0.1:1 ${'A'.repeat(40)}`,
    'SocksPort 0',
    ...lines,
  ];
  writeFileSync(join(directory, 'torrc'), `${torrc.join('\n')}\n`);
  writeFileSync(logPath, '');
  const child = Bun.spawn(['tor', '--quiet', '-f', join(directory, 'torrc')], {
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'ignore',
  });
  const log = () => readFileSync(logPath, 'utf8');
  return {
    directory,
    log,
    async logged(pattern) {
      for (const end = performance.now() + 60_000; performance.now() < end; ) {
        const match = log().match(pattern);
        if (match !== null) return match;
        if (child.exitCode !== null) break;
        await Bun.sleep(50);
      }
      throw new Error(`C tor never logged ${pattern}; its log ends:\n${log().slice(-3000)}`);
    },
    async stop() {
      child.kill('SIGKILL');
      await child.exited;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Find the port that a relay's `ORPort auto` became. */
export async function orPortOf(tor: CTor): Promise<number> {
  const [, port] = await tor.logged(/Opened OR listener connection \(ready\) on 127\.0\.0\.1:(\d+)/);
  return Number(port);
}

/** Learn a relay's identities from its log. */
export async function identitiesOf(tor: CTor): Promise<{ rsaId: Uint8Array; ed25519Id: Uint8Array }> {
  const [, rsa] = await tor.logged(/identity key fingerprint is '\S+ ([0-9A-F]{40})'/);
  const [, ed25519] = await tor.logged(/identity key ed25519 fingerprint is '\S+ (\S{43})'/);
  return { rsaId: decodeHex(rsa!)!, ed25519Id: decodeBase64(ed25519!)! };
}
