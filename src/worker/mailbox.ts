/**
 * Letters in and out of a worker. Everything that is not a cell comes through here.
 */
import { type LogRecord, log, SEVERITIES, setLogSink, setLogThreshold, setSafeLogging } from '../log.ts';
import type { LetterToMain, LetterToWorker, WorkerOptions } from '../shm/letter.ts';
import { Loop } from './loop.ts';

/** Sends a letter to main. */
export type Post = (letter: LetterToMain) => void;

/** The worker's end of the mail. */
export class Mailbox {
  private readonly post: Post;
  private readonly leave: () => void;
  private loop: Loop | null = null;
  private worker = -1;

  /** @param leave ends the thread */
  constructor(post: Post, leave: () => void) {
    this.post = post;
    this.leave = leave;
  }

  /** Take a letter and acknowledge it. */
  take(letter: LetterToWorker): void {
    if (letter.kind === 'start') {
      this.worker = letter.worker;
      setLogSink((record: LogRecord) => this.post({ kind: 'log', worker: this.worker, record }));
      applyLogging(letter.options);
      const { worker } = letter;
      this.loop = new Loop(
        letter,
        {
          origin: (news) => this.post({ kind: 'origin', worker, news }),
          addressSeen: (host, peerHost) => this.post({ kind: 'address-seen', worker, host, peerHost }),
        },
        (oldest) => this.post({ kind: 'shelf-in-use', worker, oldest }),
        (report) => this.post({ kind: 'dns', worker, report }),
      );
      this.post({ kind: 'ready', worker: this.worker });
      return;
    }
    const loop = this.loop;
    if (loop === null) return;
    switch (letter.kind) {
      case 'origin':
        loop.takeOriginOrder(letter.order);
        return;
      case 'options':
        applyLogging(letter.options);
        loop.setOptions(letter.options);
        this.acknowledge(letter.kind, letter.options.generation);
        return;
      case 'credentials':
        loop.setCredentials(letter.credentials);
        break;
      case 'onion-keys':
        loop.setOnionKeys(letter.onionKeys);
        break;
      case 'relay-index':
        loop.setRelayIndex(letter.relayIndex);
        break;
      case 'shelf':
        loop.setShelf(letter.shelf);
        break;
      case 'detach':
        loop.detach(letter.worker);
        break;
      case 'attach':
        loop.attach(letter.rings);
        break;
      case 'close-listeners':
        loop.closeListeners();
        break;
      case 'dump':
        loop.dump();
        break;
      case 'links':
        loop.tellLinks();
        break;
      case 'stop':
        loop.stop();
        this.acknowledge(letter.kind, letter.generation);
        this.leave();
        return;
    }
    this.acknowledge(letter.kind, letter.generation);
  }

  private acknowledge(of: LetterToWorker['kind'], generation: number): void {
    this.post({ kind: 'ack', worker: this.worker, of, generation });
  }

  /** Say that a bug ended this worker. */
  reportBug(text: string): void {
    log.err('bug', text);
    this.post({ kind: 'bug', worker: this.worker, text });
  }
}

function applyLogging(options: WorkerOptions): void {
  setSafeLogging(options.safeLogging);
  setLogThreshold((severity) => SEVERITIES.indexOf(severity) >= options.logThreshold);
}
