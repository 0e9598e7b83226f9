/** tor1 against C tor's three-hop cells; whose digests move, and when. */
import { describe, expect, test } from 'bun:test';
import { ctr } from '@noble/ciphers/aes.js';
import { sha1 as nobleSha1 } from '@noble/hashes/legacy.js';
import { join } from '../../../src/crypto/join.ts';
import { shake256 } from '../../../src/crypto/kdf.ts';
import { PASS, RECOGNISED } from '../../../src/crypto/layer/layer.ts';
import { TOR1_KEY_BYTES, Tor1ClientLayer, Tor1Layer } from '../../../src/crypto/layer/tor1.ts';
import { Bug } from '../../../src/fault.ts';
import { Prng } from '../../fuzz/prng.ts';
import { readVectors } from '../../vectors/read.ts';

const vector = readVectors('tor1.txt');
const hopKeys = [0, 1, 2].map((n) => vector(`keys-${n}`).subarray(0, TOR1_KEY_BYTES));
const BODY = 509;
/** Where a cell's body lies in a chunk: anywhere, so not at 0. */
const AT = 5;

/** A DATA message: recognised and digest zero, the rest as told. */
function message(fill: number): Uint8Array {
  const bytes = new Uint8Array(AT + BODY + 9).fill(fill);
  bytes.fill(0, AT + 1, AT + 11);
  bytes[AT] = 2;
  return bytes;
}

describe('C tor cells', () => {
  test('a client seals and encrypts for three hops as C tor does', () => {
    const clients = hopKeys.map((keys) => new Tor1ClientLayer(keys));
    const relays = hopKeys.map((keys) => new Tor1Layer(keys));
    const data = shake256(vector('seed'), 51 * 498);
    let checked = 0;
    for (let n = 0; n < 51; n++) {
      const body = new Uint8Array(BODY);
      body[0] = 2;
      body[4] = 1;
      body.set([498 >> 8, 498 & 0xff], 9);
      body.set(data.subarray(n * 498, (n + 1) * 498), 11);
      const sent: Uint8Array = new Uint8Array(body);
      clients[2].originateForward(sent, 0);
      clients[1].encryptForward(sent, 0);
      clients[0].encryptForward(sent, 0);
      const expected = expectedCell(n);
      if (expected !== null) {
        expect(sent).toEqual(expected);
        checked++;
      }
      expect(relays[0].decryptForward(sent, 0)).toBe(PASS);
      expect(relays[1].decryptForward(sent, 0)).toBe(PASS);
      expect(relays[2].decryptForward(sent, 0)).toBe(RECOGNISED);
      sent.fill(0, 5, 9);
      expect(sent).toEqual(body);
      expect(relays[2].forwardTag).toEqual(clients[2].forwardTag);
    }
    expect(checked).toBe(8);
  });

  function expectedCell(n: number): Uint8Array | null {
    for (let i = 0; i < 8; i++) {
      const index = vector(`cells-${i}-index`);
      if (new DataView(index.buffer).getUint32(0) === n) return vector(`cells-${i}-cell`);
    }
    return null;
  }
});

describe('tor1', () => {
  test('a relay seals for its client, and only that hop recognises', () => {
    const clients = hopKeys.map((keys) => new Tor1ClientLayer(keys));
    const relays = hopKeys.map((keys) => new Tor1Layer(keys));
    for (let n = 0; n < 30; n++) {
      const origin = n % 3;
      const bytes = message(n);
      relays[origin].originateBackward(bytes, AT);
      for (let hop = origin - 1; hop >= 0; hop--) relays[hop].encryptBackward(bytes, AT);
      for (let hop = 0; hop < origin; hop++) expect(clients[hop].decryptBackward(bytes, AT)).toBe(PASS);
      expect(clients[origin].decryptBackward(bytes, AT)).toBe(RECOGNISED);
      expect(clients[origin].backwardTag).toEqual(relays[origin].backwardTag);
      bytes.fill(0, AT + 5, AT + 9);
      expect(bytes).toEqual(message(n));
    }
  });

  test('agrees with noble: keystream, digest field and tag', () => {
    const keys = hopKeys[0];
    const client = new Tor1ClientLayer(keys);
    const stream = ctr(keys.subarray(40, 56), new Uint8Array(16)).encrypt(new Uint8Array(2 * BODY));
    let digested = keys.subarray(0, 20);
    for (const n of [0, 1]) {
      const bytes = message(n);
      const body = bytes.slice(AT, AT + BODY);
      digested = join(digested, body);
      const tag = nobleSha1(digested);
      client.originateForward(bytes, AT);
      expect(new Uint8Array(client.forwardTag)).toEqual(tag);
      body.set(tag.subarray(0, 4), 5);
      const expected = body.map((byte, i) => byte ^ stream[n * BODY + i]);
      expect(bytes.slice(AT, AT + BODY)).toEqual(expected);
    }
  });

  test('touches the body only', () => {
    const bytes = message(7);
    const layer = new Tor1Layer(hopKeys[0]);
    layer.originateBackward(bytes, AT);
    layer.encryptBackward(bytes, AT);
    layer.decryptForward(bytes, AT);
    expect(bytes.subarray(0, AT)).toEqual(new Uint8Array(AT).fill(7));
    expect(bytes.subarray(AT + BODY)).toEqual(new Uint8Array(9).fill(7));
  });

  test("a stranger's cell with a zero recognised field passes unharmed, and moves no digest", () => {
    const keys = hopKeys[1];
    const client = new Tor1ClientLayer(keys);
    const relay = new Tor1Layer(keys);
    const random = new Prng(65536);
    for (let n = 0; n < 20; n++) {
      const stranger = message(0);
      stranger.set(random.bytes(504), AT + 5);
      const plain = new Uint8Array(stranger);
      // Encrypted only, never sealed: the digest field is the stranger's.
      client.encryptForward(stranger, AT);
      expect(relay.decryptForward(stranger, AT)).toBe(PASS);
      expect(stranger).toEqual(plain);

      const ours = message(n);
      client.originateForward(ours, AT);
      expect(relay.decryptForward(ours, AT)).toBe(RECOGNISED);
      expect(relay.forwardTag).toEqual(client.forwardTag);
    }
  });

  test('a sealed cell whose recognised field, digest or data changed on the way is not ours', () => {
    for (const at of [1, 2, 5, 6, 7, 8, 0, 11, 508]) {
      const client = new Tor1ClientLayer(hopKeys[0]);
      const relay = new Tor1Layer(hopKeys[0]);
      const bytes = message(1);
      client.originateForward(bytes, AT);
      bytes[AT + at] ^= 1;
      expect(relay.decryptForward(bytes, AT)).toBe(PASS);
    }
  });

  test('a lost, doubled or swapped cell is noticed', () => {
    const client = new Tor1ClientLayer(hopKeys[0]);
    const relay = new Tor1Layer(hopKeys[0]);
    const first = message(1);
    const second = message(2);
    client.originateForward(first, AT);
    client.originateForward(second, AT);
    expect(relay.decryptForward(second, AT)).toBe(PASS);
    expect(relay.decryptForward(first, AT)).toBe(PASS);
  });

  test('directions are apart, and key material is copied', () => {
    const keys = new Uint8Array(hopKeys[0]);
    const relay = new Tor1Layer(keys);
    const client = new Tor1ClientLayer(hopKeys[0]);
    keys.fill(0);
    for (let n = 0; n < 5; n++) {
      const backward = message(n);
      relay.originateBackward(backward, AT);
      expect(client.decryptBackward(backward, AT)).toBe(RECOGNISED);
      if (n % 2 === 0) continue;
      const forward = message(n);
      client.originateForward(forward, AT);
      expect(relay.decryptForward(forward, AT)).toBe(RECOGNISED);
    }
  });

  test('takes exactly 72 bytes of key material', () => {
    for (const length of [0, 71, 73, 92]) {
      expect(() => new Tor1Layer(new Uint8Array(length))).toThrow(Bug);
      expect(() => new Tor1ClientLayer(new Uint8Array(length))).toThrow(Bug);
    }
  });
});

test('bodies that pass together are what they would be one by one, either way', () => {
  const keys = hopKeys[0]!;
  const bodies = shake256(vector('seed'), 7 * BODY);
  const [alone, together] = [new Tor1Layer(keys), new Tor1Layer(keys)];
  for (const count of [1, 2, 4]) {
    const backward = together.encryptBodies(bodies, BODY, count);
    const forward = together.decryptBodies(bodies, BODY, count);
    expect([backward.length, forward.length]).toEqual([count * BODY, count * BODY]);
    for (let i = 0; i < count; i++) {
      const body = bodies.slice((i + 1) * BODY, (i + 2) * BODY);
      alone.encryptBackward(body, 0);
      expect(Buffer.compare(backward.subarray(i * BODY, (i + 1) * BODY), body)).toBe(0);
    }
    for (let i = 0; i < count; i++) {
      const body = bodies.slice((i + 1) * BODY, (i + 2) * BODY);
      alone.decryptForward(body, 0);
      expect(Buffer.compare(forward.subarray(i * BODY, (i + 1) * BODY), body)).toBe(0);
    }
  }
});

test('of bodies that came together each own one is recognised in its turn', () => {
  const keys = hopKeys[0]!;
  const [client, relay] = [new Tor1ClientLayer(keys), new Tor1Layer(keys)];
  const bytes = new Uint8Array(3 * BODY);
  for (let i = 0; i < 3; i++) {
    bytes.set(message(i + 1).subarray(AT, AT + BODY), i * BODY);
    if (i === 1) {
      // A stranger's: this hop only takes its layer off.
      bytes.fill(0xab, i * BODY, (i + 1) * BODY);
      client.encryptForward(bytes, i * BODY);
    } else {
      client.originateForward(bytes, i * BODY);
    }
  }
  const plain = relay.decryptBodies(bytes, 0, 3);
  expect([0, 1, 2].map((i) => relay.recogniseForward(plain, i * BODY))).toEqual([
    RECOGNISED,
    PASS,
    RECOGNISED,
  ]);
});

test('messages sealed one by one and encrypted together are what each would be alone', () => {
  const keys = hopKeys[0]!;
  const [client, together, apart] = [new Tor1ClientLayer(keys), new Tor1Layer(keys), new Tor1Layer(keys)];
  for (let round = 0; round < 3; round++) {
    const bodies = new Uint8Array(4 * BODY);
    const alone = new Uint8Array(4 * BODY);
    for (let i = 0; i < 4; i++) {
      bodies.set(message(4 * round + i).subarray(AT, AT + BODY), i * BODY);
      alone.set(message(4 * round + i).subarray(AT, AT + BODY), i * BODY);
      together.sealBackward(bodies, i * BODY);
      apart.originateBackward(alone, i * BODY);
      expect(together.backwardTag).toEqual(apart.backwardTag);
    }
    const sealed = new Uint8Array(together.encryptBodies(bodies, 0, 4));
    expect(sealed).toEqual(alone);
    for (let i = 0; i < 4; i++) expect(client.decryptBackward(sealed, i * BODY)).toBe(RECOGNISED);
    expect(client.backwardTag).toEqual(together.backwardTag);
  }
});

test('the last hop recognises the same, and may go on as one that is not the last', () => {
  const keys = hopKeys[0]!;
  const [client, relay] = [new Tor1ClientLayer(keys), new Tor1Layer(keys)];
  const send = (fill: number): Uint8Array => {
    const bytes = message(fill);
    client.originateForward(bytes, AT);
    return new Uint8Array(relay.decryptBodies(bytes, AT, 1));
  };
  expect(relay.recogniseLast(send(1), 0)).toBe(RECOGNISED);
  expect(relay.recogniseForward(send(2), 0)).toBe(RECOGNISED);
  const third = send(3);
  expect(relay.recogniseLast(third, 0)).toBe(RECOGNISED);
  expect(relay.forwardTag).toEqual(client.forwardTag);
  // The plaintext is whole, digest field included.
  expect(third.subarray(5, 9)).toEqual(client.forwardTag.subarray(0, 4));
  const foreign = new Uint8Array(BODY).fill(7);
  expect(relay.recogniseLast(foreign, 0)).toBe(PASS);
  foreign.fill(0, 1, 3);
  expect(relay.recogniseLast(foreign, 0)).toBe(PASS);
});

test('layers have copies of their keys, though they use them only when the first cell comes', () => {
  const keys = hopKeys[0]!.slice();
  const [client, relay] = [new Tor1ClientLayer(keys), new Tor1Layer(keys)];
  keys.fill(0);
  const [sent, expected] = [message(1), message(1)];
  client.originateForward(sent, AT);
  new Tor1ClientLayer(hopKeys[0]!).originateForward(expected, AT);
  expect(sent).toEqual(expected);
  expect(relay.decryptForward(sent, AT)).toBe(RECOGNISED);
});
