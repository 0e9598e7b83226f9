/** What TLS the running relay speaks, either way, and how little it minds being slow. */

import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { makeTestRelay } from '../channel/credentials.ts';
import { EchoRelay } from './echo-relay.ts';
import { TLS_1_2, TLS_1_3 } from './live-link.ts';
import { RelayProcess } from './relay-process.ts';
import { TcpProxy } from './tcp-proxy.ts';
import { TestCircuit } from './test-circuit.ts';
import { dialTestLink } from './test-link.ts';

const LOOPBACK = Uint8Array.of(127, 0, 0, 1);
const { credentials } = makeTestRelay(Math.floor(Date.now() / 1000));
const next = new EchoRelay();
let relay: RelayProcess;

beforeAll(async () => {
  relay = await RelayProcess.start();
}, 120_000);

afterAll(async () => {
  relay.assertWell();
  next.stop();
  await relay.stop();
});

/** Run openssl's client against the relay and return what it says. */
async function openssl(...options: string[]): Promise<string> {
  const child = Bun.spawn(['openssl', 's_client', '-connect', `127.0.0.1:${relay.port()}`, ...options], {
    stdin: Buffer.from(''),
    stdout: 'pipe',
    stderr: 'pipe',
  });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  await child.exited;
  return out + err;
}

for (const [name, version] of [
  ['TLSv1.2', TLS_1_2],
  ['TLSv1.3', TLS_1_3],
] as const) {
  test(`a link over ${name}, authenticated, carries circuits`, async () => {
    const expected = { rsaId: relay.rsaId, ed25519Id: relay.ed25519Id };
    const tls = { minVersion: version, maxVersion: version };
    const link = dialTestLink({ port: relay.port(), credentials, authenticate: true, expected, tls });
    await link.opened;
    expect(link.tlsVersion).toBe(name);
    const circuit = await TestCircuit.createFast(link);
    await circuit.extend(next.hop, { host: LOOPBACK, port: next.port });
    await circuit.echo();
    link.close();
  });
}

describe('as openssl sees it', () => {
  test('TLS 1.1 is refused', async () => {
    expect(await openssl('-tls1_1', '-cipher', 'DEFAULT@SECLEVEL=0')).not.toContain('BEGIN CERTIFICATE');
  });

  for (const [version, group] of [
    ['-tls1_2', 'X25519'],
    ['-tls1_2', 'P-256'],
    ['-tls1_3', 'X25519'],
    ['-tls1_3', 'P-256'],
  ] as const) {
    test(`${version.slice(1)} over ${group}, one certificate of an RSA key`, async () => {
      const seen = await openssl(version, '-groups', group);
      expect(seen.match(/BEGIN CERTIFICATE/g)?.length).toBe(1);
      expect(seen).toMatch(/Server public key is 2048 bit|Peer signature type: (RSA|rsa)/);
      expect(seen).toMatch(group === 'X25519' ? /X25519/ : /P-256|prime256v1/);
    });
  }
});

test('two of ours agree on X25519MLKEM768', async () => {
  const seen: Buffer[] = [];
  const proxy = new TcpProxy(relay.port(), { onServerBytes: (bytes) => seen.push(Buffer.from(bytes)) });
  const link = dialTestLink({ port: proxy.port, credentials });
  await link.opened;
  // The key share of the ServerHello names the group, and carries 1088 + 32 bytes.
  const hello = Buffer.concat(seen);
  expect(hello.indexOf(Buffer.of(0x00, 0x33, 0x04, 0x64, 0x11, 0xec, 0x04, 0x60))).toBeGreaterThan(0);
  link.close();
  proxy.stop();
});

describe('however the bytes come', () => {
  test('one at a time', async () => {
    const proxy = new TcpProxy(relay.port(), { pieces: 1 });
    const own = makeTestRelay(Math.floor(Date.now() / 1000)).credentials;
    const link = dialTestLink({ port: proxy.port, credentials: own, authenticate: true });
    await link.opened;
    const circuit = await TestCircuit.createFast(link);
    await circuit.extend(next.hop, { host: LOOPBACK, port: next.port });
    await circuit.echo();
    link.close();
    proxy.stop();
  }, 120_000);

  test('the end of the TLS handshake and the first cells in one packet', async () => {
    for (const maxVersion of [TLS_1_2, TLS_1_3]) {
      const proxy = new TcpProxy(relay.port(), { gatherMs: 30 });
      const link = dialTestLink({ port: proxy.port, credentials, tls: { maxVersion } });
      await link.opened;
      await TestCircuit.createFast(link);
      link.close();
      proxy.stop();
    }
  }, 120_000);

  test('the peer is gone right behind its last flight', async () => {
    for (let i = 0; i < 20; i++) {
      const own = i % 2 === 0 ? credentials : makeTestRelay(Math.floor(Date.now() / 1000)).credentials;
      const link = dialTestLink({ port: relay.port(), credentials: own, authenticate: true });
      // Not later than the turn in which AUTHENTICATE goes out.
      await link.secured;
      await Bun.sleep(i % 4);
      link.close();
      await link.closed;
    }
    const link = dialTestLink({ port: relay.port(), credentials });
    await link.opened;
    link.close();
  }, 120_000);
});
