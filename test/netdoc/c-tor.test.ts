/**
 * What we print, as C tor reads it: a tor without network is given our descriptor over its control port, parses
 * it and checks every signature and cross-certificate in it.
 *
 * Needs the program `tor`. Without it the tests are skipped with a warning; with CI=true that is a failure.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { curve25519FromSecret } from '../../src/crypto/curve25519.ts';
import { convertCurve25519ToEd25519 } from '../../src/crypto/ed25519.ts';
import { generateRsa } from '../../src/crypto/rsa.ts';
import type { ServerDescriptorInput } from '../../src/netdoc/server-descriptor.ts';
import { printServerDescriptor } from '../../src/netdoc/server-descriptor.ts';
import { descriptorInput, makeSigner, textOf } from './fixture.ts';

const START_TIMEOUT_MS = 60_000;
const isThere = Bun.which('tor') !== null;
if (!isThere) console.warn('tor is missing: descriptors are NOT checked against it');

/** A C tor that only listens on its control port, in a directory of its own. */
class OfflineTor {
  readonly #directory = mkdtempSync(join(tmpdir(), 'netdoc-c-tor-'));
  readonly #process: Bun.Subprocess;
  #socket: Socket | null = null;
  #received = '';

  constructor() {
    const torrc = join(this.#directory, 'torrc');
    const options = [
      `DataDirectory ${join(this.#directory, 'data')}`,
      'DisableNetwork 1',
      'SocksPort 0',
      'ControlPort auto',
      `ControlPortWriteToFile ${this.#portFile}`,
    ];
    writeFileSync(torrc, `${options.join('\n')}\n`);
    this.#process = Bun.spawn(['tor', '-f', torrc], { stdout: 'ignore', stderr: 'ignore' });
  }

  get #portFile(): string {
    return join(this.#directory, 'port');
  }

  async open(): Promise<void> {
    while (!existsSync(this.#portFile)) {
      if (this.#process.exitCode !== null) throw new Error(`tor ended with ${this.#process.exitCode}`);
      await Bun.sleep(20);
    }
    const port = Number(/:(\d+)/.exec(readFileSync(this.#portFile, 'utf8'))![1]);
    const socket = connect(port, '127.0.0.1');
    socket.on('data', (chunk) => {
      this.#received += chunk.toString('latin1');
    });
    this.#socket = socket;
    await this.ask('AUTHENTICATE\r\n');
  }

  /** Send a command and give the one line that answers it. */
  async ask(command: string): Promise<string> {
    this.#received = '';
    this.#socket!.write(command);
    while (!this.#received.endsWith('\r\n')) {
      if (this.#process.exitCode !== null) throw new Error(`tor ended with ${this.#process.exitCode}`);
      await Bun.sleep(2);
    }
    return this.#received.trimEnd();
  }

  async close(): Promise<void> {
    this.#socket?.destroy();
    this.#process.kill();
    await this.#process.exited;
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

function printed(changes: Partial<ServerDescriptorInput> = {}): string {
  const nowSec = Math.floor(Date.now() / 1000);
  const signer = makeSigner(nowSec + 30 * 86400);
  const address = Uint8Array.of(8, 8, 4, 4);
  return textOf(
    printServerDescriptor(descriptorInput({ publishedSec: nowSec, address, ...changes }), signer).bytes,
  );
}

function post(descriptor: string): string {
  return `+POSTDESCRIPTOR purpose=controller cache=no\r\n${descriptor.replaceAll('\n', '\r\n')}.\r\n`;
}

describe('C tor', () => {
  test('is there when it has to be', () => {
    expect(isThere || process.env['CI'] !== 'true').toBeTrue();
  });
});

describe.skipIf(!isThere)('C tor, given our descriptor,', () => {
  const tapOnionKey = generateRsa(1024);
  let tor: OfflineTor;

  beforeAll(async () => {
    tor = new OfflineTor();
    await tor.open();
  }, START_TIMEOUT_MS);
  afterAll(() => tor.close());

  test('takes it', async () => {
    const ipv6 = { host: Uint8Array.fromHex('20010db8000000000000000000000001'), port: 9001 };
    const family = ['$000102030405060708090A0B0C0D0E0F10111213'];
    expect(await tor.ask(post(printed({ tapOnionKey, ipv6, family, contact: 'relay' })))).toBe('250 OK');
  });

  test('takes it without the TAP onion key', async () => {
    expect(await tor.ask(post(printed()))).toBe('250 OK');
  });

  test.each([0, 1])('takes it with an onion key whose sign bit is %d', async (bit) => {
    const keys = [3, 4, 5, 6, 7, 8].map((n) => curve25519FromSecret(new Uint8Array(32).fill(n)));
    const ntorOnionKey = keys.find((key) => convertCurve25519ToEd25519(key.secretKey).signBit === bit)!;
    const text = printed({ tapOnionKey, ntorOnionKey });
    expect(text).toContain(`\nntor-onion-key-crosscert ${bit}\n`);
    expect(await tor.ask(post(text))).toBe('250 OK');
  });

  test('refuses it when it was changed', async () => {
    const text = printed({ tapOnionKey }).replace('uptime 27', 'uptime 28');
    expect(await tor.ask(post(text))).toStartWith('554');
  });
});
