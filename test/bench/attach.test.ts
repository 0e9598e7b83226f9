/** Relays that run already: what is refused, and that one is found and loaded. */
import { afterAll, describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AttachWish, attachTarget, parseLoopback } from '../../src/bench/attach.ts';
import { killStarted, startTarget } from '../../src/bench/target.ts';
import { encodeBase64, encodeHex } from '../../src/bytes/base.ts';
import { OperatorError } from '../../src/fault.ts';

const MAIN = join(import.meta.dir, '../../src/main.ts');
const PATIENCE_MS = 90_000;
const folder = mkdtempSync(join(tmpdir(), 'onionrelay-'));

afterAll(() => {
  killStarted();
  rmSync(folder, { recursive: true });
});

const WISH: AttachWish = {
  dataDirectory: null,
  host: '127.0.0.1',
  port: 1,
  rsaId: null,
  ed25519Id: null,
  ntorKey: null,
  pid: null,
};

async function refusal(wish: Partial<AttachWish>): Promise<string> {
  const fault = await attachTarget({ ...WISH, ...wish }).catch((error: unknown) => error);
  expect(fault).toBeInstanceOf(OperatorError);
  expect((fault as OperatorError).exitCode).toBe(2);
  return (fault as OperatorError).message;
}

test('only 127/8 is loopback', () => {
  expect(parseLoopback('127.3.2.1:9001')).toEqual({ host: '127.3.2.1', port: 9001 });
  expect(parseLoopback('localhost:1')).toEqual({ host: '127.0.0.1', port: 1 });
  for (const bad of ['192.0.2.1:1', '10.0.0.1:1', '[::1]:1', 'a:1', '127.0.0.1:0', '127.0.0.1']) {
    expect(() => parseLoopback(bad)).toThrow(OperatorError);
  }
});

describe('refused', () => {
  test('a DataDirectory that is not there, or has no keys', async () => {
    expect(await refusal({ dataDirectory: '/no/such' })).toContain('no such folder');
    expect(await refusal({ dataDirectory: folder })).toContain('secret_onion_key_ntor');
  });

  test('keys that are missing or too short', async () => {
    expect(await refusal({})).toContain('--rsa-id: is missing');
    const rsaId = 'A'.repeat(40);
    expect(await refusal({ rsaId: 'ABCD' })).toContain('20 bytes');
    expect(await refusal({ rsaId })).toContain('--ed25519-id');
    expect(await refusal({ rsaId, ed25519Id: encodeBase64(new Uint8Array(32)), ntorKey: 'xx' })).toContain(
      '--ntor-key',
    );
  });

  test('a port where nobody listens', async () => {
    const key = encodeBase64(new Uint8Array(32));
    const wish = { rsaId: 'A'.repeat(40), ed25519Id: key, ntorKey: key };
    // Port 1 is nobody's on a machine that runs tests.
    expect(await refusal(wish)).toContain('nobody listens there');
  });
});

test(
  'a relay that runs is found by its port, and is left running',
  async () => {
    const command = [process.execPath, MAIN];
    const started = await startTarget({ kind: 'ours', command, workers: 1, torrc: [], cores: null });
    try {
      const { port, rsaId, ed25519Id, ntorOnionKey } = started.load;
      const attached = await attachTarget({
        ...WISH,
        port,
        rsaId: encodeHex(rsaId),
        ed25519Id: encodeBase64(ed25519Id),
        ntorKey: encodeBase64(ntorOnionKey),
      });
      expect(attached.pid).toBe(started.pid);
      expect(attached.load).toEqual(started.load);
      expect(attached.links).toBeNull();
      await attached.stop();
      expect(started.read().cpuSec).toBeGreaterThan(0);
    } finally {
      await started.stop();
    }
  },
  PATIENCE_MS,
);
