/**
 * The client of a load on a directory: streams to the relay's directory, each asked once, so many at a time.
 *
 * The request goes out right behind BEGIN_DIR, as C tor's clients send it. An answer is whole when its stream has
 * ended; every answer is looked at by status and length, some are unpacked and compared byte by byte.
 */
import { inflateSync, zstdDecompressSync } from 'node:zlib';
import { EndReason } from '../cell/reason.ts';
import { RelayCommand } from '../cell/relay-message.ts';
import { assert } from '../fault.ts';
import type { LinkCredentials } from '../shm/link-credentials.ts';
import type { Hop } from './client.ts';
import type { DirectoryRequest } from './plan.ts';
import { StreamClient } from './stream-client.ts';

/** Every so many answers of a kind, one is unpacked and compared. */
const COMPARE_EVERY = 61;
const NOTHING = new Uint8Array(0);
const HEAD_END = '\r\n\r\n';

/** What the client is to ask, and how. */
export interface FetchSetup {
  readonly relay: Hop;
  readonly connections: number;
  readonly circuits: number;
  readonly streams: number;
  readonly requests: readonly DirectoryRequest[];
}

/** What a measurement came to. */
export interface FetchCount {
  readonly done: number;
  /** Bytes of answers, heads included. */
  readonly bytes: number;
}

/** Asks. */
export class FetchClient {
  readonly client: StreamClient;
  corrupt = 0;
  compared = 0;
  readonly #setup: FetchSetup;
  readonly #asked: Uint8Array[];
  #started = 0;
  #goal = 0;
  /** Answers with documents. */
  done = 0;
  #bytes = 0;
  /** Answers with documents, whichever. */
  #found = 0;
  #under = 0;
  #finish: (() => void) | null = null;

  constructor(setup: FetchSetup, credentials: LinkCredentials) {
    assert(setup.requests.length > 0, 'a directory is asked for something');
    this.#setup = setup;
    this.#asked = setup.requests.map(({ path, encodings }) =>
      Buffer.from(`GET ${path} HTTP/1.0\r\nHost: 127.0.0.1\r\nAccept-Encoding: ${encodings}\r\n\r\n`),
    );
    this.client = new StreamClient(setup.relay, credentials);
  }

  async connect(): Promise<void> {
    const { connections, circuits } = this.#setup;
    await this.client.connect(connections, false);
    await this.client.build(circuits, false);
  }

  /**
   * Ask for everything once. Returns whether all of it was there: a relay that has just started may not have read its
   * documents. Nothing of this counts.
   */
  async ready(): Promise<boolean> {
    const { length } = this.#setup.requests;
    this.#found = 0;
    await this.run(length, () => {});
    this.done = 0;
    this.corrupt = 0;
    this.compared = 0;
    return this.#found === length;
  }

  /** Ask so many times. `onDone` hears of every answer. */
  async run(total: number, onDone: () => void): Promise<FetchCount> {
    const [done, bytes] = [this.done, this.#bytes];
    this.#goal = this.#started + total;
    const finished = new Promise<void>((resolve) => {
      this.#finish = resolve;
    });
    for (let i = 0; i < Math.min(this.#setup.streams, total); i++) this.#ask(onDone);
    await finished;
    return { done: this.done - done, bytes: this.#bytes - bytes };
  }

  #ask(onDone: () => void): void {
    if (this.#started === this.#goal) {
      if (this.#under === 0) this.#finish?.();
      return;
    }
    const number = this.#started++;
    const { requests } = this.#setup;
    const kind = number % requests.length;
    const { circuits } = this.client;
    const circuit = circuits[number % circuits.length]!;
    const parts: Uint8Array[] = [];
    let request = this.#asked[kind]!;
    // Many streams at once fill the link's buffer: what finds no room goes out when there is some.
    const write = (): void => {
      request = request.subarray(stream.write(request));
    };
    this.#under++;
    const stream = circuit.open(RelayCommand.BEGIN_DIR, NOTHING, {
      onOpen: () => {},
      onData: (data) => {
        parts.push(data.slice());
        this.#bytes += data.length;
      },
      onRoom: write,
      onEnd: (reason) => {
        this.#under--;
        if (reason === EndReason.DONE) this.#look(number, requests[kind]!, parts);
        else this.client.losses.push(`a stream ended with reason ${reason}`);
        onDone();
        // Not from within the circuit's own turn: a chain of these would be as deep as the load is long.
        queueMicrotask(() => this.#ask(onDone));
      },
    });
    write();
  }

  #look(number: number, request: DirectoryRequest, parts: readonly Uint8Array[]): void {
    const answer = Buffer.concat(parts);
    const headEnd = answer.indexOf(HEAD_END);
    const head = answer.toString('latin1', 0, Math.max(0, headEnd));
    const isFound = /^HTTP\/1\.\d 200 /.test(head);
    if (isFound) this.#found++;
    const isLooked = number % COMPARE_EVERY === 0;
    if (isLooked) this.compared++;
    if (isFound && (!isLooked || isRight(request, head, answer.subarray(headEnd + HEAD_END.length))))
      this.done++;
    else this.corrupt++;
  }
}

/** Whether an answer is in the coding that comes first, and holds just the documents, in whatever order. */
function isRight({ encodings, documents }: DirectoryRequest, head: string, body: Buffer): boolean {
  const coding = /\r\nContent-Encoding: (\S+)/i.exec(head)?.[1] ?? 'identity';
  if (coding !== encodings.split(',')[0]) return false;
  const whole = Buffer.from(unpack(body, coding));
  const length = documents.reduce((total, document) => total + document.length, 0);
  return whole.length === length && documents.every((document) => whole.includes(document));
}

/** Take an answer's body out of its coding; what cannot be taken out of it is nothing. */
function unpack(body: Uint8Array, coding: string): Uint8Array {
  try {
    if (coding === 'deflate') return inflateSync(body);
    if (coding === 'x-zstd') return zstdDecompressSync(body);
    return body;
  } catch {
    return NOTHING;
  }
}
