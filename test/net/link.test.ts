/** Links over real TLS: between two of ours, and with C tor at either end. */

import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import type { Socket } from 'bun';
import { encodeBase64Unpadded, encodeHex } from '../../src/bytes/base.ts';
import { BODY_AT, buildCell, CELL_BYTES, getCircId, getCommand } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import { decodeCreatedFast, encodeCreateFast, HandshakeType } from '../../src/cell/create.ts';
import { encodeExtend2, specifiersOf } from '../../src/cell/extend.ts';
import { RelayCommand, writeRelayMessage } from '../../src/cell/relay-message.ts';
import { clientFast } from '../../src/crypto/handshake/fast.ts';
import { NTOR_ONIONSKIN_BYTES } from '../../src/crypto/handshake/ntor.ts';
import { TOR1_KEY_BYTES, Tor1ClientLayer } from '../../src/crypto/layer/tor1.ts';
import { makeTestRelay, type TestRelay } from '../channel/credentials.ts';
import { type CTor, HAS_C_TOR, identitiesOf, orPortOf, QUIET_RELAY, startCTor } from './c-tor.ts';
import { dialLive, type LiveLink, listenLive, TLS_1_2, TLS_1_3 } from './live-link.ts';

const VERSIONS = [
  ['TLSv1.3', TLS_1_3],
  ['TLSv1.2', TLS_1_2],
] as const;
const LOOPBACK = Uint8Array.of(127, 0, 0, 1);
const TIMEOUT_MS = 60_000;
const CIRC_ID = 0x80000001;

const nowSec = Math.floor(Date.now() / 1000);
const alice = makeTestRelay(nowSec);
const bob = makeTestRelay(nowSec);
const idsOf = (relay: TestRelay) => ({
  rsaId: relay.credentials.rsaId,
  ed25519Id: relay.credentials.ed25519Id,
});

const cleanup: (() => unknown)[] = [];
afterAll(async () => {
  for (const undo of cleanup) await undo();
});

async function cTor(lines: readonly string[]): Promise<CTor> {
  const tor = await startCTor(lines);
  cleanup.push(() => tor.stop());
  return tor;
}

function listen(relay: TestRelay, maxVersion: number) {
  const listener = listenLive(relay.credentials, maxVersion);
  cleanup.push(() => listener.stop());
  return listener;
}

describe('two of ours', () => {
  for (const [name, version] of VERSIONS) {
    test(`prove themselves to each other over ${name}`, async () => {
      const listener = listen(bob, version);
      const dialled = dialLive(listener.port, alice.credentials, idsOf(bob));
      const accepted = await listener.accept();
      const [atAlice, atBob] = await Promise.all([dialled.opened, accepted.opened]);
      expect([dialled.tlsVersion, accepted.tlsVersion]).toEqual([name, name]);
      expect(atAlice.peer).toEqual(idsOf(bob));
      expect(atBob.peer).toEqual(idsOf(alice));
      dialled.close();
      listener.stop();
    });
  }

  test('negotiate X25519MLKEM768', async () => {
    const listener = listen(bob, TLS_1_3);
    const recorder = recordServer(listener.port);
    cleanup.push(() => recorder.stop());
    const dialled = dialLive(recorder.port, alice.credentials, idsOf(bob));
    await dialled.opened;
    expect(keyShareGroup(recorder.bytes())).toBe(0x11ec);
    dialled.close();
    listener.stop();
  });

  test('do not open when the dialled one is another relay than expected', async () => {
    const listener = listen(bob, TLS_1_3);
    const dialled = dialLive(listener.port, alice.credentials, {
      rsaId: bob.credentials.rsaId,
      ed25519Id: alice.credentials.ed25519Id,
    });
    const refused = expect(dialled.opened).rejects.toThrow('another Ed25519 identity');
    await expect((await listener.accept()).opened).rejects.toThrow('closed');
    await refused;
    listener.stop();
  });
});

describe.skipIf(!HAS_C_TOR)('a C tor relay', () => {
  let relay: CTor;
  let port: number;
  let ids: { rsaId: Uint8Array; ed25519Id: Uint8Array };

  beforeAll(async () => {
    relay = await cTor(QUIET_RELAY);
    port = await orPortOf(relay);
    ids = await identitiesOf(relay);
  }, TIMEOUT_MS);

  for (const [name, version] of VERSIONS) {
    test(
      `knows us by our identity when we dial it over ${name}`,
      async () => {
        const us = makeTestRelay(nowSec);
        const link = dialLive(port, us.credentials, ids, version);
        const outcome = await link.opened;
        expect(link.tlsVersion).toBe(name);
        expect(outcome.peer).toEqual(ids);
        expect(outcome.weAuthenticated).toBe(true);
        expect(outcome.linkProtocol).toBe(5);
        expect(outcome.ourAddressSeen).toEqual(LOOPBACK);
        expect(Math.abs(outcome.clockSkewSec!)).toBeLessThan(5);
        const id = encodeHex(us.credentials.rsaId);
        await relay.logged(
          new RegExp(`Got good NETINFO.* using protocol version 5\\. Its ID digest is ${id}`),
        );
        link.close();
      },
      TIMEOUT_MS,
    );

    test(
      `proves its identity when it dials us over ${name}`,
      async () => {
        const us = makeTestRelay(nowSec);
        const listener = listen(us, version);
        const client = dialLive(port, alice.credentials, ids);
        await client.opened;
        await extendThrough(client, us, listener.port);

        const link = await listener.accept();
        const outcome = await link.opened;
        expect(link.tlsVersion).toBe(name);
        expect(outcome.peer).toEqual(ids);
        const create = await link.read(CELL_BYTES);
        expect(getCommand(create, 0)).toBe(Command.CREATE2);
        expect(getCircId(create, 0) >>> 31).toBe(1);
        client.close();
        link.close();
        listener.stop();
      },
      TIMEOUT_MS,
    );
  }

  test('was never worried about our links', () => {
    const worries = relay
      .log()
      .split('\n')
      .filter((line) => line.includes('[warn]'))
      .filter((line) => /channel|connection_or|CERTS|AUTH|NETINFO|VERSIONS|TLS|cell/.test(line));
    expect(worries).toEqual([]);
    expect(relay.log()).not.toMatch(/Received a bad|Unhandled OpenSSL/);
  });

  test(
    'refuses us when another key than our certificates name has signed',
    async () => {
      const us = makeTestRelay(nowSec);
      const credentials = { ...us.credentials, authSecret: alice.credentials.authSecret };
      const link = dialLive(port, credentials, ids);
      await link.opened;
      await relay.logged(/Received a bad AUTHENTICATE cell .*: Ed25519 signature wasn't valid/);
    },
    TIMEOUT_MS,
  );
});

describe.skipIf(!HAS_C_TOR)('a C tor client', () => {
  for (const [name, version] of VERSIONS) {
    test(
      `opens a link to us as its bridge over ${name}`,
      async () => {
        const us = makeTestRelay(nowSec);
        const listener = listen(us, version);
        const fingerprint = encodeHex(us.credentials.rsaId);
        const client = await cTor(['UseBridges 1', `Bridge 127.0.0.1:${listener.port} ${fingerprint}`]);
        const link = await listener.accept();
        const outcome = await link.opened;
        expect(link.tlsVersion).toBe(name);
        expect(outcome).toMatchObject({ linkProtocol: 5, peer: null, peerAddresses: [], clockSkewSec: null });
        expect(outcome.ourAddressSeen).toEqual(LOOPBACK);

        const ed25519Id = encodeBase64Unpadded(us.credentials.ed25519Id).replaceAll('+', '\\+');
        await client.logged(new RegExp(`learned peer id for .*: ${fingerprint}, ${ed25519Id}`));
        await client.logged(
          new RegExp(`Got good NETINFO.* using protocol version 5\\. Its ID digest is ${fingerprint}`),
        );
        const create = await link.read(CELL_BYTES);
        expect([Command.CREATE_FAST, Command.PADDING_NEGOTIATE]).toContain(getCommand(create, 0) as 5 | 12);
        expect(client.log()).not.toMatch(/Received a bad|Unhandled OpenSSL/);
        link.close();
        await client.stop();
        listener.stop();
      },
      TIMEOUT_MS,
    );
  }
});

/** Make a circuit to the relay behind `link` and ask it to extend to `target` on loopback. */
async function extendThrough(link: LiveLink, target: TestRelay, port: number): Promise<void> {
  const x = crypto.getRandomValues(new Uint8Array(20));
  link.send(buildCell(CIRC_ID, Command.CREATE_FAST, encodeCreateFast(x)));
  const created = await link.read(CELL_BYTES);
  expect(getCommand(created, 0)).toBe(Command.CREATED_FAST);
  const { y, kh } = decodeCreatedFast(created.subarray(BODY_AT));
  const layer = new Tor1ClientLayer(clientFast(x, y, kh, TOR1_KEY_BYTES)!);

  const { rsaId, ed25519Id } = target.credentials;
  const ipv4 = { host: LOOPBACK, port };
  const cell = buildCell(CIRC_ID, Command.RELAY_EARLY, new Uint8Array(0));
  const extend = encodeExtend2({
    specifiers: specifiersOf({ rsaId, ed25519Id, ipv4, ipv6: null }),
    handshakeType: HandshakeType.NTOR,
    data: new Uint8Array(NTOR_ONIONSKIN_BYTES),
  });
  writeRelayMessage(cell, BODY_AT, RelayCommand.EXTEND2, 0, extend);
  layer.originateForward(cell, BODY_AT);
  link.send(cell);
}

/** Pass TCP bytes on to a port, and keep what the server says. */
function recordServer(port: number): { port: number; bytes(): Uint8Array; stop(): void } {
  type Ends = { far: Socket<Socket<Ends>> | null; early: Uint8Array[] };
  const said: Uint8Array[] = [];
  const listener = Bun.listen<Ends>({
    hostname: '127.0.0.1',
    port: 0,
    socket: {
      open(near) {
        near.data = { far: null, early: [] };
        Bun.connect<Socket<Ends>>({
          hostname: '127.0.0.1',
          port,
          data: near,
          socket: {
            open(far) {
              near.data.far = far;
              for (const chunk of near.data.early) far.write(chunk);
            },
            data(far, chunk) {
              said.push(new Uint8Array(chunk));
              far.data.write(chunk);
            },
            close(far) {
              far.data.end();
            },
            error() {},
          },
        });
      },
      data(near, chunk) {
        if (near.data.far === null) near.data.early.push(new Uint8Array(chunk));
        else near.data.far.write(chunk);
      },
      close(near) {
        near.data.far?.end();
      },
      error() {},
    },
  });
  return {
    port: listener.port,
    bytes: () => new Uint8Array(Buffer.concat(said)),
    stop: () => listener.stop(true),
  };
}

/** Read the group of the ServerHello's key share. @source RFC 8446 "Server Hello" */
function keyShareGroup(bytes: Uint8Array): number | null {
  const u16 = (at: number) => (bytes[at]! << 8) | bytes[at + 1]!;
  // A handshake record, in it a ServerHello.
  if (bytes[0] !== 22 || bytes[5] !== 2) return null;
  let at = 5 + 4 + 2 + 32;
  at += 1 + bytes[at]! + 2 + 1;
  const end = at + 2 + u16(at);
  for (at += 2; at < end; at += 4 + u16(at + 2)) {
    if (u16(at) === 0x0033) return u16(at + 4);
  }
  return null;
}
