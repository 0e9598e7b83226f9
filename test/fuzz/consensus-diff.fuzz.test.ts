/** Damaged diffs and documents: refused, or applied to what the diff says; and what is made gives its target. */
import { expect } from 'bun:test';
import { sha3_256 } from '../../src/crypto/digest.ts';
import {
  applyConsensusDiff,
  applyScript,
  parseConsensusDiffHead,
  splitLines,
} from '../../src/netdoc/consensus-diff.ts';
import { makeConsensusDiff } from '../../src/netdoc/consensus-differ.ts';
import { bytesOf, readVector, withoutHeader } from '../netdoc/fixture.ts';
import { fuzz } from './fuzz.ts';

const read = (name: string): Uint8Array => withoutHeader(readVector(`arti-consdiff-${name}.txt`));
const BASE = read('consensus1');
const TARGET = read('consensus2');
const DIFF = read('diff1');

fuzz('consensus-diff', {
  corpus: [DIFF, makeConsensusDiff(TARGET, BASE), makeConsensusDiff(BASE, BASE)],
  dictionary: ['\n0a\n', '\n.\n', '1,$d\n', '5c\n', '2147483647d\n', '\nhash ', ',', '$'].map(bytesOf),
  run: (bytes) => {
    const { toDigest } = parseConsensusDiffHead(bytes);
    // The commands alone: nearly no damaged diff gets past the digests.
    const result = applyScript(splitLines(BASE), splitLines(bytes), 2, 1 << 16);
    expect(result.length).toBeLessThanOrEqual(1 << 16);
    if (Buffer.compare(sha3_256(result), toDigest) === 0) expect(result.length).toBeGreaterThan(0);
  },
});

fuzz('consensus-differ', {
  corpus: [TARGET, BASE],
  dictionary: ['\nr name AAAA x\n', '\n.\n', '\ndirectory-signature ', '\r\n'].map(bytesOf),
  run: (bytes) => {
    expect(applyConsensusDiff(BASE, makeConsensusDiff(BASE, bytes))).toEqual(bytes);
    expect(applyConsensusDiff(bytes, makeConsensusDiff(bytes, BASE))).toEqual(BASE);
  },
});
