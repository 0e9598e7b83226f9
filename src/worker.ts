/**
 * Thread entry of a data-plane worker: waits for its first letter and starts the loop.
 *
 * A bug ends the thread: it is said on stderr and to main, and main starts a successor. The exit is hard, because a
 * worker whose state is in doubt must not touch shared memory again.
 */
import type { LetterToWorker } from './shm/letter.ts';
import { Mailbox } from './worker/mailbox.ts';

declare const self: Worker & { postMessage(message: unknown): void };

const mailbox = new Mailbox(
  (letter) => self.postMessage(letter),
  () => process.exit(0),
);

function die(error: unknown): void {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`onionrelay: bug in a worker: ${text}\n`);
  try {
    mailbox.reportBug(text);
  } finally {
    process.exit(70);
  }
}

process.on('uncaughtException', die);
process.on('unhandledRejection', die);

self.onmessage = (event: MessageEvent<LetterToWorker>) => {
  try {
    mailbox.take(event.data);
  } catch (error) {
    die(error);
  }
};
