/**
 * Thread entry of the clerk: does jobs in the order in which they come, and answers each.
 *
 * It stands back behind the other threads, so that neither cells nor signals wait for it. What is wrong with a
 * document or a file is the answer; anything else ends the thread, and main starts a successor.
 */
import { ClerkWork } from './clerk/clerk-work.ts';
import { Malformed } from './fault.ts';
import { standBack } from './libc.ts';
import type { LetterFromClerk, LetterToClerk } from './shm/clerk-letter.ts';

declare const self: Worker & { postMessage(message: LetterFromClerk): void };

const work = new ClerkWork();
standBack();

self.onmessage = (event: MessageEvent<LetterToClerk>) => {
  const { id, job } = event.data;
  try {
    self.postMessage({ id, answer: work.do(job) });
  } catch (error) {
    const isFile = error instanceof Error && 'syscall' in error;
    if (!isFile && !(error instanceof Malformed)) process.exit(70);
    self.postMessage({ id, fault: error.message });
  }
};
