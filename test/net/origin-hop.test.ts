/** Circuits of our own to one C tor that has no network: every way to its first hop, and its directory. */

import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DestroyReason } from '../../src/cell/reason.ts';
import { systemTiming } from '../../src/directory/timing.ts';
import { Tunnels } from '../../src/directory/tunnel-exchange.ts';
import { decodeTagged, TaggedForms } from '../../src/keys/tagged-file.ts';
import type { OriginHop } from '../../src/shm/origin-letter.ts';
import { type CTor, HAS_C_TOR, identitiesOf, orPortOf, QUIET_RELAY, startCTor } from './c-tor.ts';
import { OriginLoop } from './origin-loop.ts';

const TIMEOUT_MS = 60_000;

describe.skipIf(!HAS_C_TOR)('one C tor', () => {
  let tor: CTor;
  let loop: OriginLoop;
  let hop: OriginHop;

  beforeAll(async () => {
    tor = await startCTor([...QUIET_RELAY, 'ExitRelay 1', 'ExitPolicy accept *:*', 'ProtocolWarnings 1']);
    const ids = await identitiesOf(tor);
    const keyFile = new Uint8Array(readFileSync(join(tor.directory, 'keys/secret_onion_key_ntor')));
    hop = {
      ...ids,
      onionKey: decodeTagged(TaggedForms.onionKey, keyFile).slice(32),
      ipv4: { host: Uint8Array.of(127, 0, 0, 1), port: await orPortOf(tor) },
      ipv6: null,
      ntorV3: false,
      congestionControl: false,
    };
    loop = new OriginLoop();
  }, TIMEOUT_MS);

  afterAll(async () => {
    loop?.stop();
    await tor?.stop();
  }, TIMEOUT_MS);

  const get = async (along: readonly OriginHop[], path: string) => {
    const tunnels = new Tunnels(loop.client, systemTiming());
    const { reply } = tunnels.exchange({
      endpoint: along[0]!.ipv4!,
      hops: along,
      method: 'GET',
      path,
      headers: {},
      body: null,
      bytesMax: 1_000_000,
      stallMs: 30_000,
      deadlineMs: 30_000,
    });
    const answer = await reply;
    tunnels.stop();
    return answer;
  };

  test('CREATE_FAST, and its directory', async () => {
    expect((await get([{ ...hop, onionKey: null }], '/tor/robots.txt')).status).toBe(200);
  });

  test.each([
    ['ntor', { ntorV3: false }],
    ['ntor-v3', { ntorV3: true }],
    ['ntor-v3 with congestion control', { ntorV3: true, congestionControl: true }],
  ])('%s, and its directory again', async (_name, changed) => {
    const circuit = await loop.open([{ ...hop, ...changed }]);
    expect(circuit.hasStreamWindows).toBe(!('congestionControl' in changed));
    circuit.close();
    expect((await get([{ ...hop, ...changed }], '/tor/robots.txt')).status).toBe(200);
    expect((await get([{ ...hop, ...changed }], '/tor/nothing')).status).toBe(404);
  });

  test('with another identity: refused at the link', async () => {
    const failed = loop.open([{ ...hop, rsaId: new Uint8Array(20).fill(9), ed25519Id: null }]);
    await expect(failed).rejects.toThrow(`ended after 0 hops, reason ${DestroyReason.CHANNEL_CLOSED}`);
  });

  test('with a wrong onion key: refused by ntor-v3, not proven by ntor', async () => {
    const onionKey = hop.onionKey!.slice();
    onionKey[0]! ^= 1;
    await expect(loop.open([{ ...hop, onionKey, ntorV3: true }])).rejects.toThrow('ended after 0 hops');
    await expect(loop.open([{ ...hop, onionKey }])).rejects.toThrow('ended after 0 hops');
    expect(loop.count('origin_handshake_failed')).toBe(1);
  });

  test('hundreds of DROP cells are taken, and the circuit lives on', async () => {
    const circuit = await loop.open([{ ...hop, ntorV3: true }]);
    for (let i = 0; i < 250; i++) expect(circuit.drop()).toBe(true);
    const seen = await new Promise<number>((resolve) => {
      let bytes = 0;
      const stream = circuit.connectDirectory({
        onOpen() {},
        onData: (data) => {
          bytes += data.length;
        },
        onRoom() {},
        onEnd: () => resolve(bytes),
      });
      stream!.write(Buffer.from('GET /tor/robots.txt HTTP/1.0\r\n\r\n'));
    });
    expect(seen).toBeGreaterThan(50);
    circuit.close();
  });

  test('C tor warned of nothing of ours', () => {
    const warnings = tor
      .log()
      .split('\n')
      .filter((line) => / \[(warn|err)\] /.test(line))
      .filter(
        (line) =>
          !/TestingTorNetwork|DirAuthority|running Tor as root|ContactInfo|sensitive information/.test(line),
      );
    expect(warnings).toEqual([]);
  });
});
