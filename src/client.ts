/**
 * Thread entry of the client of a test network: waits for its first letter and starts.
 *
 * A bug ends the thread: it is said to main, which ends the network.
 */
import { Client } from './client/client.ts';
import type { LetterFromClient, LetterToClient } from './shm/client-letter.ts';

declare const self: Worker & { postMessage(message: LetterFromClient): void };

const client = new Client(
  (letter) => self.postMessage(letter),
  () => process.exit(0),
);

function die(error: unknown): void {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  try {
    self.postMessage({ kind: 'bug', text });
  } finally {
    process.exit(70);
  }
}

process.on('uncaughtException', die);
process.on('unhandledRejection', die);

self.onmessage = (event: MessageEvent<LetterToClient>) => {
  try {
    client.take(event.data);
  } catch (error) {
    die(error);
  }
};
