/** Fuzzes the SOCKS handshake: bytes mean the same in one piece and one by one, and nothing is held for ever. */
import { deepStrictEqual } from 'node:assert';
import { SocksHandshake } from '../../src/client/socks-handshake.ts';
import { fuzz } from './fuzz.ts';

/** Longer ones may be refused earlier when they come in pieces. */
const COMPARED_BYTES_MAX = 1000;

function run(bytes: Uint8Array, step: number) {
  const handshake = new SocksHandshake();
  const written: number[] = [];
  for (let at = 0; at < bytes.length; at += step) {
    const { write, request, failed } = handshake.push(bytes.subarray(at, at + step));
    written.push(...write);
    if (failed || request !== null) return { written, request, failed };
  }
  return { written, request: null, failed: false };
}

const text = (value: string): number[] => [...Buffer.from(value, 'latin1')];

fuzz('socks', {
  corpus: [
    Uint8Array.of(5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, 0, 80),
    Uint8Array.of(5, 2, 0, 2, 1, 3, ...text('bob'), 2, ...text('pw'), 5, 1, 0, 3, 4, ...text('name'), 1, 187),
    Uint8Array.of(5, 1, 0, 5, 1, 0, 4, ...new Uint8Array(15), 1, 0, 80),
    Uint8Array.of(4, 1, 0, 80, 127, 0, 0, 1, ...text('bob'), 0),
    Uint8Array.of(4, 1, 0, 80, 0, 0, 0, 1, 0, ...text('name'), 0),
  ],
  run: (bytes) => {
    const whole = run(bytes, Math.max(1, bytes.length));
    if (bytes.length <= COMPARED_BYTES_MAX) deepStrictEqual(run(bytes, 1), whole);
    else if (whole.request === null && !whole.failed) throw new Error('such a long handshake is refused');
  },
  cases: 5000,
});
