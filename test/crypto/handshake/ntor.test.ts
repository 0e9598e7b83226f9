/** ntor against the published exchange; what a relay answers to wrong keys, ids and points. */
import { describe, expect, test } from 'bun:test';
import { curve25519FromSecret, generateCurve25519 } from '../../../src/crypto/curve25519.ts';
import {
  clientNtor,
  NTOR_ONIONSKIN_BYTES,
  NTOR_REPLY_BYTES,
  serverNtor,
} from '../../../src/crypto/handshake/ntor.ts';
import { readVectors } from '../../vectors/read.ts';

const vector = readVectors('ntor.txt');
const rsaId = new Uint8Array(20).fill(12);
const current = generateCurve25519();
const previous = generateCurve25519();
const junk = generateCurve25519();
const start = (onionKey: Uint8Array, id = rsaId) =>
  clientNtor({ rsaId: id, onionKey, ephemeral: generateCurve25519() });
const answer = (onionskin: Uint8Array) =>
  serverNtor(onionskin, rsaId, [current, previous], junk, generateCurve25519(), 72);

describe('ntor', () => {
  test('the published exchange, both sides', () => {
    const onionKey = curve25519FromSecret(vector('b-sk'));
    expect(onionKey.publicKey).toEqual(vector('b-pk'));
    const client = clientNtor({
      rsaId: vector('id'),
      onionKey: onionKey.publicKey,
      ephemeral: curve25519FromSecret(vector('x-sk')),
    });
    expect(client.onionskin).toEqual(vector('client-handshake'));
    const ephemeral = curve25519FromSecret(vector('y-sk'));
    const { length } = vector('keys');
    const server = serverNtor(client.onionskin, vector('id'), [onionKey], junk, ephemeral, length);
    expect(server?.reply).toEqual(vector('server-handshake'));
    expect(server?.keys).toEqual(vector('keys'));
    expect(client.finish(vector('server-handshake'), length)).toEqual(vector('keys'));
  });

  test('the current and the previous onion key answer', () => {
    for (const onionKey of [current, previous]) {
      const client = start(onionKey.publicKey);
      expect(client.onionskin.length).toBe(NTOR_ONIONSKIN_BYTES);
      const server = answer(client.onionskin)!;
      expect(server.reply.length).toBe(NTOR_REPLY_BYTES);
      expect(server.keys.length).toBe(72);
      expect(client.finish(server.reply, 72)).toEqual(server.keys);
    }
  });

  test('an unknown onion key gets an answer that the client refuses', () => {
    const client = start(generateCurve25519().publicKey);
    const server = answer(client.onionskin);
    expect(server?.reply.length).toBe(NTOR_REPLY_BYTES);
    expect(client.finish(server!.reply, 72)).toBeNull();
  });

  test('another identity, another length and a point of small order get none', () => {
    expect(answer(start(current.publicKey, new Uint8Array(20).fill(13)).onionskin)).toBeNull();
    const { onionskin } = start(current.publicKey);
    for (let length = 0; length < onionskin.length; length++) {
      expect(answer(onionskin.subarray(0, length))).toBeNull();
    }
    expect(answer(new Uint8Array(85))).toBeNull();
    const zeroPoint = new Uint8Array(onionskin);
    zeroPoint.fill(0, 52);
    expect(answer(zeroPoint)).toBeNull();
  });

  test('the client refuses every changed byte, every truncation and a zero point', () => {
    const client = start(current.publicKey);
    const { reply } = answer(client.onionskin)!;
    // The top bit of a Curve25519 key is ignored in the exchange, yet authenticated.
    for (let at = 0; at < reply.length; at++) {
      const changed = new Uint8Array(reply);
      changed[at] ^= 0x80;
      expect(client.finish(changed, 72)).toBeNull();
      expect(client.finish(reply.subarray(0, at), 72)).toBeNull();
    }
    expect(client.finish(new Uint8Array(64), 72)).toBeNull();
    expect(client.finish(reply, 72)).not.toBeNull();
  });

  test('more key material begins like less', () => {
    const client = start(current.publicKey);
    const { reply, keys } = answer(client.onionskin)!;
    expect(client.finish(reply, 200)?.subarray(0, 72)).toEqual(keys);
  });
});
