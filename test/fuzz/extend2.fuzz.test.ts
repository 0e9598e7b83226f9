/** Fuzzes EXTEND2 with its link specifiers, and EXTENDED2. */
import { deepStrictEqual } from 'node:assert';
import {
  decodeExtend2,
  decodeExtended2,
  encodeExtend2,
  encodeExtended2,
  interpretSpecifiers,
  specifiersOf,
} from '../../src/cell/extend.ts';
import { RELAY_DATA_MAX } from '../../src/cell/relay-message.ts';
import { joined } from '../cell/laws.ts';
import { readVectors } from '../vectors/read.ts';
import { fuzz } from './fuzz.ts';

const vector = readVectors('relay-messages.txt');

fuzz('extend2', {
  corpus: [
    vector('extend2-two'),
    joined(vector('extend2-konami-head'), new Uint8Array(99).fill(7)),
    joined(vector('extend2-with-ed25519-head'), new Uint8Array(99)),
    joined(vector('extend2-ipv6-only-head'), new Uint8Array(32)),
  ],
  run: (bytes) => {
    const extend = decodeExtend2(bytes.subarray(0, RELAY_DATA_MAX));
    const again = encodeExtend2(extend);
    deepStrictEqual(again, bytes.slice(0, again.length));
    deepStrictEqual(decodeExtend2(again), extend);
    const target = interpretSpecifiers(extend.specifiers);
    deepStrictEqual(interpretSpecifiers(specifiersOf(target)), target);
  },
  cases: 5000,
});

fuzz('extended2', {
  corpus: [vector('extended2')],
  run: (bytes) => {
    const handshake = decodeExtended2(bytes.subarray(0, RELAY_DATA_MAX));
    deepStrictEqual(decodeExtended2(encodeExtended2(handshake)), handshake);
  },
});
