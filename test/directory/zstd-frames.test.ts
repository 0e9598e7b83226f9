import { expect, test } from 'bun:test';
import { constants, zstdCompressSync } from 'node:zlib';
import { checkZstdFrames } from '../../src/directory/zstd-frames.ts';
import { Malformed } from '../../src/fault.ts';
import { Prng } from '../fuzz/prng.ts';

const random = new Prng(8);
const BODIES: [string, Uint8Array][] = [
  ['nothing', new Uint8Array(0)],
  ['one byte', Uint8Array.of(1)],
  ['one byte, often', new Uint8Array(300_000).fill(7)],
  ['noise over several blocks', random.bytes(300_000)],
  ['text', Buffer.from('network-status-version 3\n'.repeat(9000))],
];

test.each(BODIES)('%s: whole, alone and one behind the other', (_, body) => {
  const plain = zstdCompressSync(body);
  const checked = zstdCompressSync(body, { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
  const sizeless = zstdCompressSync(body, { params: { [constants.ZSTD_c_contentSizeFlag]: 0 } });
  const skippable = Buffer.from('552a4d1803000000aabbcc', 'hex');
  for (const stream of [plain, checked, sizeless, skippable, Buffer.concat([plain, skippable, checked])])
    expect(() => checkZstdFrames(stream)).not.toThrow();
});

test.each(BODIES)('%s: truncated, or with junk behind', (_, body) => {
  const stream = zstdCompressSync(body, { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
  const step = Math.max(1, Math.floor(stream.length / 300));
  for (let length = 0; length < stream.length; length += step)
    expect(() => checkZstdFrames(stream.subarray(0, length))).toThrow(Malformed);
  for (let length = Math.max(0, stream.length - 20); length < stream.length; length++)
    expect(() => checkZstdFrames(stream.subarray(0, length))).toThrow(Malformed);
  for (const junk of ['junk', 'more junk than that'])
    expect(() => checkZstdFrames(Buffer.concat([stream, Buffer.from(junk)]))).toThrow(Malformed);
});

test('a block of the reserved type', () => {
  expect(() => checkZstdFrames(Buffer.from('28b52ffd2000070000', 'hex'))).toThrow('no known type');
});
