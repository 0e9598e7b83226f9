/** ntor-v3 against the published exchange; its messages; and everything that must fail. */
import { describe, expect, test } from 'bun:test';
import { curve25519FromSecret, generateCurve25519 } from '../../../src/crypto/curve25519.ts';
import { clientNtorV3, NTOR_V3_CIRCUIT, serverNtorV3 } from '../../../src/crypto/handshake/ntor-v3.ts';
import { readVectors } from '../../vectors/read.ts';

const vector = readVectors('ntor-v3.txt');
const ed25519Id = new Uint8Array(32).fill(3);
const current = generateCurve25519();
const previous = generateCurve25519();
const HELLO = new TextEncoder().encode('hello');
const WELCOME = new TextEncoder().encode('welcome');

function start(onionKey: Uint8Array, message: Uint8Array = HELLO, verification = NTOR_V3_CIRCUIT) {
  const ephemeral = generateCurve25519();
  return clientNtorV3({ ed25519Id, onionKey, ephemeral, verification, message })!;
}

function answer(onionskin: Uint8Array, respond: (m: Uint8Array) => Uint8Array | null = () => WELCOME) {
  const keys = [current, previous];
  return serverNtorV3(onionskin, ed25519Id, keys, generateCurve25519(), NTOR_V3_CIRCUIT, 72, respond);
}

describe('ntor-v3', () => {
  test('the published exchange, both sides', () => {
    const onionKey = curve25519FromSecret(vector('b'));
    const verification = new TextDecoder().decode(vector('verification'));
    const client = clientNtorV3({
      ed25519Id: vector('id'),
      onionKey: onionKey.publicKey,
      ephemeral: curve25519FromSecret(vector('x')),
      verification,
      message: vector('client-message'),
    });
    expect(client?.onionskin).toEqual(vector('client-handshake'));
    const y = curve25519FromSecret(vector('y'));
    const heard: Uint8Array[] = [];
    const server = serverNtorV3(
      client!.onionskin,
      vector('id'),
      [onionKey],
      y,
      verification,
      256,
      (message) => {
        heard.push(message);
        return vector('server-message');
      },
    );
    expect(heard).toEqual([vector('client-message')]);
    expect(server?.reply).toEqual(vector('server-handshake'));
    expect(server?.keys).toEqual(vector('keys'));
    const finished = client!.finish(vector('server-handshake'), 256);
    expect(finished?.message).toEqual(vector('server-message'));
    expect(finished?.keys).toEqual(vector('keys'));
  });

  test('the current and the previous onion key answer, with messages of any length', () => {
    for (const onionKey of [current, previous]) {
      for (const length of [0, 1, 16, 300]) {
        const message = new Uint8Array(length).fill(length);
        const client = start(onionKey.publicKey, message);
        expect(client.onionskin.length).toBe(128 + length);
        const server = answer(client.onionskin, (heard) => heard)!;
        expect(server.reply.length).toBe(64 + length);
        const finished = client.finish(server.reply, 72)!;
        expect(finished.message).toEqual(message);
        expect(finished.keys).toEqual(server.keys);
      }
    }
  });

  test('nothing is heard of a message unless all of the onionskin is whole', () => {
    const { onionskin } = start(current.publicKey);
    let heard = 0;
    const respond = (): Uint8Array => {
      heard++;
      return WELCOME;
    };
    for (let at = 0; at < onionskin.length; at++) {
      const changed = new Uint8Array(onionskin);
      changed[at] ^= 0x80;
      expect(answer(changed, respond)).toBeNull();
      expect(answer(onionskin.subarray(0, at), respond)).toBeNull();
    }
    expect(heard).toBe(0);
    expect(answer(onionskin, respond)).not.toBeNull();
    expect(heard).toBe(1);
  });

  test('an unknown onion key, another purpose, a refusal and a zero point get no answer', () => {
    expect(answer(start(generateCurve25519().publicKey).onionskin)).toBeNull();
    expect(answer(start(current.publicKey, HELLO, 'other purpose').onionskin)).toBeNull();
    expect(answer(start(current.publicKey).onionskin, () => null)).toBeNull();
    const zeroPoint = new Uint8Array(start(current.publicKey).onionskin);
    zeroPoint.fill(0, 64, 96);
    expect(answer(zeroPoint)).toBeNull();
    const toZero = { ed25519Id, ephemeral: generateCurve25519(), verification: '', message: HELLO };
    expect(clientNtorV3({ ...toZero, onionKey: new Uint8Array(32) })).toBeNull();
  });

  test("our ephemeral key can't be asked for as an onion key", () => {
    const ephemeral = generateCurve25519();
    const client = start(ephemeral.publicKey);
    const keys = [current];
    const respond = (): Uint8Array => WELCOME;
    expect(
      serverNtorV3(client.onionskin, ed25519Id, keys, ephemeral, NTOR_V3_CIRCUIT, 72, respond),
    ).toBeNull();
  });

  test('the client refuses every changed byte and every truncation', () => {
    const client = start(current.publicKey);
    const { reply } = answer(client.onionskin)!;
    for (let at = 0; at < reply.length; at++) {
      const changed = new Uint8Array(reply);
      changed[at] ^= 0x80;
      expect(client.finish(changed, 72)).toBeNull();
      expect(client.finish(reply.subarray(0, at), 72)).toBeNull();
    }
    expect(client.finish(new Uint8Array(64), 72)).toBeNull();
    expect(client.finish(reply, 72)?.message).toEqual(WELCOME);
  });
});
