/**
 * Fuzzes both ends of the link handshake: what a peer sends is taken or refused, and how it is cut into chunks
 * makes no difference to either.
 */

import { deepStrictEqual } from 'node:assert';
import { createPrivateKey } from 'node:crypto';
import { type HandshakeConfig, LinkHandshake } from '../../src/channel/handshake.ts';
import { rsaFromPem } from '../../src/crypto/rsa.ts';
import { Malformed, Violation } from '../../src/fault.ts';
import { fixedEd25519, makeTestRelay } from '../channel/credentials.ts';
import { initiatorConfig, join, makePair, NOW_SEC, responderConfig, shakeHands } from '../channel/pair.ts';
import {
  certsCell,
  challengeCell,
  clientNetinfoCell,
  responderFlight,
  versionsCell,
  vpaddingCell,
} from '../channel/script.ts';
import { readVectors } from '../vectors/read.ts';
import { fuzz } from './fuzz.ts';

const vector = readVectors('link-identities.txt');

function fixedRelay(name: string, byte: number) {
  const key = createPrivateKey({ key: Buffer.from(vector(`rsa-${name}`)), format: 'der', type: 'pkcs1' });
  return makeTestRelay(NOW_SEC, {
    rsa: rsaFromPem(key.export({ type: 'pkcs1', format: 'pem' }).toString()),
    identity: fixedEd25519(byte),
    signing: fixedEd25519(byte + 1),
    auth: fixedEd25519(byte + 2),
    tlsCertDer: new Uint8Array(100).fill(byte),
  });
}

const alice = fixedRelay('initiator', 10);
const bob = fixedRelay('responder', 20);
const pairOptions = { initiator: alice.credentials, responder: bob.credentials };
const good = shakeHands(makePair(pairOptions));

/** Feed a whole stream in chunks of at most `most` bytes; what it came to, errors as text. */
function feed(config: HandshakeConfig, bytes: Uint8Array, most: number): unknown {
  const handshake = new LinkHandshake(config);
  const written = [handshake.start()];
  try {
    for (let at = 0; at < bytes.length; at += most) {
      const { write, outcome } = handshake.receive(bytes.slice(at, at + most));
      written.push(write);
      if (outcome !== null) return { outcome, written: join(written) };
    }
  } catch (fault) {
    if (fault instanceof Malformed || fault instanceof Violation) return fault;
    throw fault;
  }
  return { outcome: null, written: join(written) };
}

function run(makeConfig: () => HandshakeConfig, bytes: Uint8Array): void {
  const whole = feed(makeConfig(), bytes, Math.max(1, bytes.length));
  for (const most of [1 + (bytes.length % 7), 64 + (bytes.length % 97)]) {
    const pieces = feed(makeConfig(), bytes, most);
    if (whole instanceof Error) deepStrictEqual(String(pieces), String(whole));
    else deepStrictEqual(pieces, whole);
  }
  if (whole instanceof Error) throw whole;
}

fuzz('link-handshake-responder', {
  cases: 1000,
  corpus: [
    good.initiatorSent,
    join([versionsCell([3, 4, 5]), clientNetinfoCell()]),
    join([vpaddingCell(4, 2), versionsCell(), vpaddingCell(), certsCell(alice.credentials.initiatorCerts)]),
  ],
  run: (bytes) => run(() => responderConfig(pairOptions), bytes),
});

fuzz('link-handshake-initiator', {
  cases: 1000,
  corpus: [
    good.responderSent,
    responderFlight(bob, { challenge: new Uint8Array(0) }),
    responderFlight(bob, { challenge: join([vpaddingCell(), challengeCell([1, 3, 9])]) }),
  ],
  run: (bytes) => run(() => initiatorConfig(pairOptions), bytes),
});
