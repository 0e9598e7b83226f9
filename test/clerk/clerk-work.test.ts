/** The clerk's work: what it compresses inflates again, and its diffs lead from one consensus to the other. */
import { describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateSync, gunzipSync, inflateSync, zstdDecompressSync } from 'node:zlib';
import { ClerkWork } from '../../src/clerk/clerk-work.ts';
import { sha3_256 } from '../../src/crypto/digest.ts';
import { Malformed } from '../../src/fault.ts';
import { applyConsensusDiff, DIFFED_BYTES_MAX, signedSha3 } from '../../src/netdoc/consensus-diff.ts';
import type { ClerkAnswer, ClerkJob } from '../../src/shm/clerk-letter.ts';
import { SyntheticNetwork } from '../netdoc/synthetic-network.ts';

const network = new SyntheticNetwork({ seed: 3, relays: 60 });
const old = network.consensus('microdesc');
network.pass(2);
const young = network.consensus('microdesc');
network.pass(1);
const newest = network.consensus('microdesc');

function shared(bytes: Uint8Array): SharedArrayBuffer {
  const sab = new SharedArrayBuffer(bytes.length);
  new Uint8Array(sab).set(bytes);
  return sab;
}

const bytesOf = (sab: SharedArrayBuffer): Uint8Array<ArrayBuffer> => Uint8Array.from(new Uint8Array(sab));
const diffJob = (base: Uint8Array, target: Uint8Array, targetNumber: number): ClerkJob => ({
  kind: 'diff',
  base: { kind: 'memory', deflated: shared(deflateSync(base)) },
  target: shared(target),
  targetNumber,
});

function diffed(answer: ClerkAnswer) {
  if (answer.kind !== 'diffed') throw new Error(`answered ${answer.kind}`);
  return answer;
}

test('a consensus is packed in both encodings, with its digests', () => {
  const answer = new ClerkWork().do({ kind: 'pack', text: shared(newest) });
  if (answer.kind !== 'packed') throw new Error(`answered ${answer.kind}`);
  expect(Buffer.compare(inflateSync(bytesOf(answer.deflate)), newest)).toBe(0);
  expect(Buffer.compare(zstdDecompressSync(bytesOf(answer.zstd)), newest)).toBe(0);
  expect(answer.digest).toEqual(sha3_256(newest));
  expect(answer.signedDigest).toEqual(signedSha3(newest));
});

test('diffs lead from each base to the target, and a new target is noticed by its number', () => {
  const work = new ClerkWork();
  for (const [base, target, number] of [
    [old, newest, 1],
    [young, newest, 1],
    [old, young, 2],
  ] as const) {
    const answer = diffed(work.do(diffJob(base, target, number)));
    expect(answer.baseDigest).toEqual(signedSha3(base));
    const diff = gunzipSync(bytesOf(answer.gzip));
    expect(Buffer.compare(zstdDecompressSync(bytesOf(answer.zstd)), diff)).toBe(0);
    expect(Buffer.compare(applyConsensusDiff(base, diff), target)).toBe(0);
  }
});

test('short documents are squeezed each by itself', () => {
  const texts = ['first document\n'.repeat(20), '', 'third\n'].map((text) => Buffer.from(text));
  const lengths = Uint32Array.from(texts, ({ length }) => length);
  const answer = new ClerkWork().do({ kind: 'squeeze', text: shared(Buffer.concat(texts)), lengths });
  if (answer.kind !== 'squeezed') throw new Error(`answered ${answer.kind}`);
  for (const [form, unpack] of [
    [answer.zstd, zstdDecompressSync],
    [answer.deflate, inflateSync],
  ] as const) {
    const bytes = bytesOf(form.bytes);
    let at = 0;
    for (const [i, length] of form.lengths.entries()) {
      expect(Buffer.compare(unpack(bytes.subarray(at, at + length)), texts[i]!)).toBe(0);
      at += length;
    }
    expect([at, form.lengths.length]).toEqual([bytes.length, texts.length]);
  }
});

describe('a base', () => {
  const base = (deflated: Uint8Array): ClerkJob => ({
    kind: 'diff',
    base: { kind: 'memory', deflated: shared(deflated) },
    target: shared(newest),
    targetNumber: 1,
  });

  test('is read from a file, behind its labels', () => {
    const directory = mkdtempSync(join(tmpdir(), 'onionrelay-clerk-'));
    try {
      const path = join(directory, '1000');
      const labels = Buffer.from('document-type consensus\n\0');
      writeFileSync(path, Buffer.concat([labels, deflateSync(old)]));
      const job = { ...base(old), base: { kind: 'file', path, offset: labels.length } } as ClerkJob;
      expect(diffed(new ClerkWork().do(job)).baseDigest).toEqual(signedSha3(old));
      rmSync(path);
      expect(() => new ClerkWork().do(job)).toThrow('ENOENT');
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test('that is damaged, cut off, no consensus, or far too long is malformed', () => {
    const deflated = deflateSync(old);
    const damaged = Buffer.from(deflated);
    damaged[100]! ^= 255;
    const work = new ClerkWork();
    expect(() => work.do(base(damaged))).toThrow(Malformed);
    expect(() => work.do(base(deflated.subarray(0, 200)))).toThrow(Malformed);
    expect(() => work.do(base(deflateSync(Buffer.from('no newline'))))).toThrow(Malformed);
    expect(() => work.do(base(deflateSync(Buffer.alloc(DIFFED_BYTES_MAX + 1))))).toThrow(Malformed);
    expect(diffed(work.do(base(deflated))).baseDigest).toEqual(signedSha3(old));
  });
});
