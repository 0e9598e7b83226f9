/** Fuzzes the messages that join circuits to a conflux set. */
import { deepStrictEqual } from 'node:assert';
import {
  decodeConfluxLink,
  decodeConfluxSwitch,
  encodeConfluxLink,
  encodeConfluxSwitch,
} from '../../src/cell/conflux.ts';
import { readVectors } from '../vectors/read.ts';
import { fuzz } from './fuzz.ts';

const vector = readVectors('conflux.txt');

fuzz('conflux-link', {
  corpus: [vector('link-fresh'), vector('linked-numbers')],
  run: (bytes) => {
    const encoded = encodeConfluxLink(decodeConfluxLink(bytes));
    deepStrictEqual(encoded, bytes.slice(0, encoded.length));
  },
  cases: 5000,
});

fuzz('conflux-switch', {
  corpus: [vector('switch-31'), vector('switch-31-padded')],
  run: (bytes) => {
    deepStrictEqual(encodeConfluxSwitch(decodeConfluxSwitch(bytes)), bytes.slice(0, 4));
  },
  cases: 2000,
});
