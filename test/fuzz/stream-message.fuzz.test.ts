/** Fuzzes the messages of streams, and SENDMEs: what is understood means the same when it is written again. */
import { deepStrictEqual } from 'node:assert';
import { printEndpoint } from '../../src/bytes/address.ts';
import { decodeSendme, encodeSendme } from '../../src/cell/sendme.ts';
import {
  decodeBegin,
  decodeConnected,
  decodeEnd,
  decodeResolve,
  decodeResolved,
  decodeXoff,
  decodeXon,
  encodeBegin,
  encodeConnected,
  encodeEnd,
  encodePolicyEnd,
  encodeResolve,
  encodeResolved,
  encodeXon,
} from '../../src/cell/stream-message.ts';
import { ascii } from '../cell/laws.ts';
import { readVectors } from '../vectors/read.ts';
import { fuzz } from './fuzz.ts';

const vector = readVectors('stream-messages.txt');

fuzz('begin', {
  corpus: [vector('begin'), vector('begin-flags'), vector('begin-ipv6')],
  dictionary: [ascii(':0'), ascii(']:'), ascii('['), ascii('::'), ascii('65536'), Uint8Array.of(0)],
  run: (bytes) => {
    const begin = decodeBegin(bytes);
    const { host, address, port, flags } = begin;
    const target = address === null ? `${host}:${port}` : printEndpoint({ host: address, port });
    const again = decodeBegin(encodeBegin(target, flags));
    deepStrictEqual({ ...again, host: '' }, { ...begin, host: '' });
    if (address === null) deepStrictEqual(again.host, host);
  },
  cases: 5000,
});

fuzz('connected', {
  corpus: [vector('connected'), vector('connected-ipv6'), new Uint8Array(0)],
  run: (bytes) => {
    const connected = decodeConnected(bytes);
    if (connected.address === null) return;
    deepStrictEqual(decodeConnected(encodeConnected(connected.address, connected.ttl)), connected);
  },
});

fuzz('end', {
  corpus: [Uint8Array.of(1), vector('end-policy'), vector('end-policy-ipv6')],
  run: (bytes) => {
    const end = decodeEnd(bytes);
    const again = end.address === null ? encodeEnd(end.reason) : encodePolicyEnd(end.address, end.ttl);
    deepStrictEqual(decodeEnd(again), end);
  },
});

fuzz('resolved', {
  corpus: ['two', 'ipv6', 'hostname', 'error', 'unknown'].map((name) => vector(`resolved-${name}`)),
  run: (bytes) => deepStrictEqual(encodeResolved(decodeResolved(bytes)), bytes),
});

fuzz('resolve', {
  corpus: [vector('resolve')],
  run: (bytes) => {
    const name = decodeResolve(bytes);
    deepStrictEqual(decodeResolve(encodeResolve(name)), name);
  },
});

fuzz('xon', {
  corpus: [encodeXon(0), encodeXon(123_456)],
  run: (bytes) => {
    const rate = decodeXon(bytes);
    decodeXoff(bytes);
    deepStrictEqual(decodeXon(encodeXon(rate)), rate);
  },
});

fuzz('sendme', {
  corpus: [new Uint8Array(0), Uint8Array.of(0, 0, 0), encodeSendme(new Uint8Array(20).fill(7))],
  run: (bytes) => {
    const { version, tag } = decodeSendme(bytes);
    if (tag !== null) deepStrictEqual(decodeSendme(encodeSendme(tag)), { version, tag });
  },
});
