/** Damaged zstd streams: walked to their end or refused, and never anything else. */
import { zstdCompressSync } from 'node:zlib';
import { checkZstdFrames } from '../../src/directory/zstd-frames.ts';
import { bytesOf } from '../netdoc/fixture.ts';
import { fuzz } from './fuzz.ts';
import { Prng } from './prng.ts';

fuzz('zstd-frames', {
  corpus: [bytesOf('a'), bytesOf('network-status-version 3\n'.repeat(40)), new Prng(1).bytes(400)].map(
    (body) => new Uint8Array(zstdCompressSync(body)),
  ),
  dictionary: ['28b52ffd', '502a4d1800000000', 'ffffff'].map((hex) => Uint8Array.fromHex(hex)),
  run: checkZstdFrames,
});
