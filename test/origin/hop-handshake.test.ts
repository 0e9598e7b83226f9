/** The client's half of each handshake against our own relay's half, which C tor's vectors hold against. */
import { describe, expect, test } from 'bun:test';
import { decodeCreate2, encodeCreatedFast, HandshakeType } from '../../src/cell/create.ts';
import { ExtensionType, encodeCcResponse, encodeExtensions } from '../../src/cell/extension.ts';
import { answerExtensions } from '../../src/circuit/create.ts';
import { generateCurve25519 } from '../../src/crypto/curve25519.ts';
import { serverFast } from '../../src/crypto/handshake/fast.ts';
import { serverNtor } from '../../src/crypto/handshake/ntor.ts';
import { NTOR_V3_CIRCUIT, serverNtorV3 } from '../../src/crypto/handshake/ntor-v3.ts';
import { TOR1_KEY_BYTES } from '../../src/crypto/layer/tor1.ts';
import { Malformed } from '../../src/fault.ts';
import { beginHandshake, createBody, type HopHandshake } from '../../src/origin/hop-handshake.ts';
import type { OriginHop } from '../../src/shm/origin-letter.ts';

const onionKey = generateCurve25519();
const HOP: OriginHop = {
  rsaId: new Uint8Array(20).fill(1),
  ed25519Id: new Uint8Array(32).fill(2),
  onionKey: onionKey.publicKey,
  ipv4: null,
  ipv6: null,
  ntorV3: true,
  congestionControl: true,
};
const random = (n: number): Uint8Array => new Uint8Array(n).fill(3);

/** The relay's answer to an ntor-v3 onionskin; `respond` gives the extensions. */
function answerV3(handshake: HopHandshake, respond: (message: Uint8Array) => Uint8Array | null): Uint8Array {
  const { onionskin } = handshake;
  const made = serverNtorV3(
    onionskin,
    HOP.ed25519Id!,
    [onionKey],
    generateCurve25519(),
    NTOR_V3_CIRCUIT,
    TOR1_KEY_BYTES,
    respond,
  );
  return made!.reply;
}

function v3(askCc = true, hop = HOP, sendmeInc = 31): HopHandshake {
  const handshake = beginHandshake(hop, askCc, sendmeInc, random)!;
  expect(handshake.handshakeType).toBe(HandshakeType.NTOR_V3);
  return handshake;
}

test('CREATE_FAST where no onion key is known', () => {
  const handshake = beginHandshake({ ...HOP, onionKey: null }, true, 31, random)!;
  expect(handshake.isFast).toBe(true);
  const x = createBody(handshake);
  expect(x).toEqual(random(20));
  const y = new Uint8Array(20).fill(9);
  const { kh } = serverFast(x, y, TOR1_KEY_BYTES);
  expect(handshake.finish(encodeCreatedFast(y, kh))).toMatchObject({ ccSendmeInc: 0 });
  expect(handshake.finish(encodeCreatedFast(y, y))).toBeNull();
  expect(handshake.finish(new Uint8Array(39))).toBeNull();
});

test.each([{ ntorV3: false }, { ed25519Id: null }])('ntor with a hop of %p', (changed) => {
  const handshake = beginHandshake({ ...HOP, ...changed }, true, 31, random)!;
  const { handshakeType, data } = decodeCreate2(createBody(handshake));
  expect(handshakeType).toBe(HandshakeType.NTOR);
  const made = serverNtor(data, HOP.rsaId, [onionKey], onionKey, generateCurve25519(), TOR1_KEY_BYTES)!;
  expect(handshake.finish(made.reply)).toMatchObject({ ccSendmeInc: 0 });
  expect(handshake.finish(made.reply.subarray(1))).toBeNull();
});

test('an onion key of small order is nobody’s', () => {
  expect(beginHandshake({ ...HOP, onionKey: new Uint8Array(32) }, true, 31, random)).toBeNull();
});

describe('congestion control', () => {
  test('is asked for, and the hop says its SENDME increment', () => {
    const handshake = v3();
    const reply = answerV3(handshake, (message) => answerExtensions(message, 31)!.message);
    expect(handshake.finish(reply)).toMatchObject({ ccSendmeInc: 31 });
  });

  test.each([
    ['we do not want it', false, HOP, 31],
    ['the hop does not do it', true, { ...HOP, congestionControl: false }, 31],
    ['the consensus does without it', true, HOP, 0],
  ] as const)('is not asked for when %s', (_name, askCc, hop, sendmeInc) => {
    const handshake = v3(askCc, hop, sendmeInc);
    let asked: Uint8Array | null = null;
    const reply = answerV3(handshake, (message) => {
      asked = message;
      return encodeExtensions([]);
    });
    expect(asked as Uint8Array | null).toEqual(Uint8Array.of(0));
    expect(handshake.finish(reply)).toMatchObject({ ccSendmeInc: 0 });
  });

  test('an answer that was not asked for counts for nothing', () => {
    const handshake = v3(false);
    const body = encodeCcResponse(31);
    const reply = answerV3(handshake, () => encodeExtensions([{ type: ExtensionType.CC_RESPONSE, body }]));
    expect(handshake.finish(reply)).toMatchObject({ ccSendmeInc: 0 });
  });

  test.each([0, 15, 63, 255])('an increment of %p, far from the consensus, is refused', (theirs) => {
    const handshake = v3();
    const body = encodeCcResponse(theirs);
    const reply = answerV3(handshake, () => encodeExtensions([{ type: ExtensionType.CC_RESPONSE, body }]));
    expect(() => handshake.finish(reply)).toThrow(Malformed);
  });

  test.each([16, 62])('an increment of %p is near enough', (theirs) => {
    const handshake = v3();
    const body = encodeCcResponse(theirs);
    const reply = answerV3(handshake, () => encodeExtensions([{ type: ExtensionType.CC_RESPONSE, body }]));
    expect(handshake.finish(reply)).toMatchObject({ ccSendmeInc: theirs });
  });
});
