/** Thread entry: a clerk that does what the length of a job's text tells it. */
import type { LetterFromClerk, LetterToClerk } from '../../src/shm/clerk-letter.ts';

declare const self: Worker & { postMessage(message: LetterFromClerk): void };

export const Length = { die: 1, dieOnce: 2, hang: 3, fault: 4 } as const;

self.onmessage = (event: MessageEvent<LetterToClerk>) => {
  const { id, job } = event.data;
  const text = job.kind === 'diff' ? job.target : job.text;
  const flag = new Int32Array(text.byteLength >= 8 ? text : new SharedArrayBuffer(8));
  const order = text.byteLength >= 8 ? flag[0]! : text.byteLength;
  if (order === Length.die) process.exit(1);
  if (order === Length.dieOnce && Atomics.add(flag, 1, 1) === 0) process.exit(1);
  if (order === Length.hang) return;
  if (order === Length.fault) {
    self.postMessage({ id, fault: 'does not read' });
    return;
  }
  const empty = new SharedArrayBuffer(0);
  const digest = Uint8Array.of(id);
  self.postMessage({
    id,
    answer: { kind: 'packed', deflate: empty, zstd: empty, digest, signedDigest: digest },
  });
};
