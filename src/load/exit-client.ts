/** The client of a load on an exit: streams to the destination, which carry what they are told to, and check what comes. */
import { EndReason } from '../cell/reason.ts';
import { RelayCommand } from '../cell/relay-message.ts';
import { encodeBegin } from '../cell/stream-message.ts';
import type { OriginStream } from '../origin/origin-stream.ts';
import type { LinkCredentials } from '../shm/link-credentials.ts';
import { broken, type Hop } from './client.ts';
import { answered, StreamClient } from './stream-client.ts';
import { isPattern, patternAt } from './stream-pattern.ts';
import { STREAM_NAME_BYTES } from './stream-server.ts';
import { StreamTally } from './stream-tally.ts';

/** Streams that are opened at once. */
const OPENING = 16;

/** A C tor that has just started refuses all streams by its policy until it has made its descriptor. */
const POLICY_MS = 20_000;
const POLICY_POLL_MS = 250;

/** What the client is to open. */
export interface ExitSetup {
  readonly relay: Hop;
  readonly connections: number;
  readonly circuits: number;
  readonly streams: number;
  /** Ask for congestion control. */
  readonly congestion: boolean;
  /** Where the destination listens, on 127.0.0.1. */
  readonly destination: number;
}

/** Streams through an exit. */
export class ExitClient {
  corrupt = 0;
  readonly client: StreamClient;
  readonly #setup: ExitSetup;
  readonly #tally: StreamTally;
  readonly #goals: Float64Array;
  readonly #streams: OriginStream[] = [];

  constructor(setup: ExitSetup, credentials: LinkCredentials, tally: SharedArrayBuffer) {
    this.#setup = setup;
    this.#tally = new StreamTally(tally);
    this.#goals = new Float64Array(setup.streams);
    this.client = new StreamClient(setup.relay, credentials);
  }

  connect(): Promise<void> {
    return this.client.connect(this.#setup.connections, true);
  }

  /** Make the circuits and the streams. Returns how many circuits have congestion control. */
  async build(): Promise<number> {
    const { circuits, congestion, streams } = this.#setup;
    const controlled = await this.client.build(circuits, congestion);
    let next = 0;
    const untilMs = performance.now() + POLICY_MS;
    const lane = async (): Promise<void> => {
      while (next < streams) {
        const index = next++;
        while (!(await this.#open(index, performance.now() < untilMs))) await Bun.sleep(POLICY_POLL_MS);
      }
    };
    await Promise.all(Array.from({ length: Math.min(OPENING, streams) }, lane));
    return controlled;
  }

  /** Open a stream. False, where that `mayFail`: the exit says that its policy refuses it. */
  #open(index: number, mayFail: boolean): Promise<boolean> {
    const { circuits, destination, relay } = this.#setup;
    const circuit = this.client.circuits[index % circuits]!;
    const answer = new Promise<boolean>((resolve, reject) => {
      let isOpen = false;
      const stream = circuit.open(RelayCommand.BEGIN, encodeBegin(`127.0.0.1:${destination}`, 0), {
        onOpen: () => {
          isOpen = true;
          const name = Buffer.alloc(STREAM_NAME_BYTES);
          name.writeUInt32BE(index);
          if (stream.write(name) === name.length) resolve(true);
          else reject(broken('a new stream takes no bytes', `port ${this.#setup.relay.port}`));
        },
        onData: (data) => this.#take(index, data),
        onRoom: () => this.#send(index),
        onEnd: (reason) => {
          const why = `stream ${index} ended with reason ${reason}`;
          if (isOpen) this.client.losses.push(why);
          else if (mayFail && reason === EndReason.EXITPOLICY) resolve(false);
          else reject(broken(why, `port ${this.#setup.relay.port}`));
        },
      });
      this.#streams[index] = stream;
    });
    return answered(answer, 'BEGIN', `port ${relay.port}`);
  }

  #take(index: number, data: Uint8Array): void {
    const { backwardReceived } = this.#tally;
    const before = backwardReceived[index]!;
    if (!isPattern(index, before, data)) this.corrupt++;
    backwardReceived[index] = before + data.length;
  }

  /** Send so many more bytes on every stream. */
  pump(bytes: number): void {
    for (let i = 0; i < this.#goals.length; i++) {
      this.#goals[i] = this.#tally.forwardSent[i]! + bytes;
      this.#send(i);
    }
  }

  #send(index: number): void {
    const { forwardSent } = this.#tally;
    const stream = this.#streams[index]!;
    for (;;) {
      const already = forwardSent[index]!;
      const left = this.#goals[index]! - already;
      if (left <= 0) return;
      const bytes = patternAt(index, already, left);
      const taken = stream.write(bytes);
      forwardSent[index] = already + taken;
      if (taken < bytes.length) return;
    }
  }

  /** Streams that are open. */
  get open(): number {
    return this.#streams.filter(({ isConnected, isOver }) => isConnected && !isOver).length;
  }

  /** End all streams. */
  end(): void {
    for (const stream of this.#streams) stream.end(EndReason.DONE);
  }
}
