import { expect, test } from 'bun:test';
import {
  decodeCreate2,
  decodeCreateFast,
  encodeCreated2,
  encodeCreatedFast,
  HandshakeType,
} from '../../src/cell/create.ts';
import { decodeExtensions, encodeExtensions } from '../../src/cell/extension.ts';
import { generateCurve25519 } from '../../src/crypto/curve25519.ts';
import { serverFast } from '../../src/crypto/handshake/fast.ts';
import { serverNtor } from '../../src/crypto/handshake/ntor.ts';
import { NTOR_V3_CIRCUIT, serverNtorV3 } from '../../src/crypto/handshake/ntor-v3.ts';
import { TOR1_KEY_BYTES } from '../../src/crypto/layer/tor1.ts';
import { randomBytes } from '../../src/load/identity.ts';
import { makeOnionskin } from '../../src/load/onionskins.ts';

const onion = generateCurve25519();
const relay = { port: 1, rsaId: randomBytes(20), ed25519Id: randomBytes(32), onionKey: onion.publicKey };

test('an ntor onionskin can be answered again and again, each time with other keys', () => {
  const skin = makeOnionskin('ntor', relay);
  const { handshakeType, data } = decodeCreate2(skin.body);
  expect(handshakeType).toBe(HandshakeType.NTOR);
  const seen = new Set<string>();
  for (let i = 0; i < 3; i++) {
    const answer = serverNtor(
      data,
      relay.rsaId,
      [onion],
      generateCurve25519(),
      generateCurve25519(),
      TOR1_KEY_BYTES,
    )!;
    const keys = skin.finish(encodeCreated2(answer.reply));
    expect(keys).toEqual(answer.keys);
    seen.add(Buffer.from(keys!).toString('hex'));
  }
  expect(seen.size).toBe(3);
  expect(skin.finish(encodeCreated2(new Uint8Array(64)))).toBeNull();
});

test('an ntor-v3 onionskin asks for nothing besides', () => {
  const skin = makeOnionskin('ntor-v3', relay);
  const { handshakeType, data } = decodeCreate2(skin.body);
  expect(handshakeType).toBe(HandshakeType.NTOR_V3);
  const respond = (message: Uint8Array) => {
    expect(decodeExtensions(message)).toEqual([]);
    return encodeExtensions([]);
  };
  const ephemeral = generateCurve25519();
  const { ed25519Id } = relay;
  const answer = serverNtorV3(data, ed25519Id, [onion], ephemeral, NTOR_V3_CIRCUIT, TOR1_KEY_BYTES, respond)!;
  expect(skin.finish(encodeCreated2(answer.reply))).toEqual(answer.keys);
});

test('a fast one needs no onion key', () => {
  const skin = makeOnionskin('fast', { ...relay, onionKey: null });
  const y = randomBytes(20);
  const answer = serverFast(decodeCreateFast(skin.body), y, TOR1_KEY_BYTES);
  expect(skin.finish(encodeCreatedFast(y, answer.kh))).toEqual(answer.keys);
});
