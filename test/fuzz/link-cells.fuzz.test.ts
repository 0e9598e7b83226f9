/** Fuzzes the bodies of all link and circuit handshake cells but CERTS: refused, or decoded to what encodes the same. */
import { deepStrictEqual } from 'node:assert';
import { parseIp } from '../../src/bytes/address.ts';
import {
  decodeCreate2,
  decodeCreated2,
  decodeCreatedFast,
  decodeCreateFast,
  encodeCreate2,
  encodeCreated2,
  encodeCreatedFast,
  encodeCreateFast,
} from '../../src/cell/create.ts';
import { decodeDestroy, encodeDestroy } from '../../src/cell/destroy.ts';
import {
  decodeAuthChallenge,
  decodeAuthenticate,
  decodeNetinfo,
  decodeVersions,
  encodeAuthChallenge,
  encodeAuthenticate,
  encodeNetinfo,
  encodeVersions,
} from '../../src/cell/link-handshake.ts';
import { decodePaddingNegotiate, encodePaddingNegotiate } from '../../src/cell/padding.ts';
import { readVectors } from '../vectors/read.ts';
import { fuzz } from './fuzz.ts';

const vector = readVectors('channel-bodies.txt');
const v4 = parseIp('192.0.2.1')!;
const v6 = parseIp('2001:db8::7')!;

/** Whatever is decoded, encodes to something that decodes to the same. */
function roundTrip<T>(decode: (bytes: Uint8Array) => T, encode: (value: T) => Uint8Array) {
  return (bytes: Uint8Array): void => {
    const value = decode(bytes);
    deepStrictEqual(decode(encode(value)), value);
  };
}

fuzz('versions', {
  corpus: [vector('versions-3-4-5'), encodeVersions([4, 5]), encodeVersions([])],
  run: roundTrip(decodeVersions, encodeVersions),
});

fuzz('auth-challenge', {
  corpus: [vector('auth-challenge')],
  run: roundTrip(decodeAuthChallenge, ({ challenge, methods }) => encodeAuthChallenge(challenge, methods)),
});

fuzz('authenticate', {
  corpus: [vector('authenticate')],
  run: roundTrip(decodeAuthenticate, ({ method, authentication }) =>
    encodeAuthenticate(method, authentication),
  ),
});

fuzz('netinfo', {
  corpus: [
    vector('netinfo-client'),
    vector('netinfo-relay'),
    vector('netinfo-relay-ipv6'),
    encodeNetinfo({ timestampSec: 1, otherAddress: v4, myAddresses: [v4, v6, v4, v6] }),
  ],
  run: roundTrip(decodeNetinfo, encodeNetinfo),
});

fuzz('create2', {
  corpus: [vector('create2-ntor'), encodeCreate2({ handshakeType: 3, data: new Uint8Array(505) })],
  run: (bytes) => {
    const body = bytes.subarray(0, 509);
    roundTrip(decodeCreate2, encodeCreate2)(body);
  },
});

fuzz('created2', {
  corpus: [vector('created2-ntor'), encodeCreated2(new Uint8Array(507))],
  run: (bytes) => roundTrip(decodeCreated2, encodeCreated2)(bytes.subarray(0, 509)),
});

fuzz('create-fast', {
  corpus: [vector('create-fast')],
  run: roundTrip(decodeCreateFast, encodeCreateFast),
  cases: 500,
});

fuzz('created-fast', {
  corpus: [vector('created-fast')],
  run: roundTrip(decodeCreatedFast, ({ y, kh }) => encodeCreatedFast(y, kh)),
  cases: 500,
});

fuzz('destroy', {
  corpus: [vector('destroy-hibernating'), vector('destroy-none')],
  run: roundTrip(decodeDestroy, encodeDestroy),
  cases: 500,
});

fuzz('padding-negotiate', {
  corpus: [vector('padding-negotiate-start'), vector('padding-negotiate-stop')],
  run: roundTrip(decodePaddingNegotiate, encodePaddingNegotiate),
});
