/**
 * The destination of exit streams: a server on loopback that checks and counts what comes, and sends as much as it is
 * told to.
 *
 * A connection begins with the four bytes of its stream's number.
 */
import type { Socket } from 'bun';
import { isPattern, patternAt } from './stream-pattern.ts';
import { StreamTally } from './stream-tally.ts';

/** Bytes by which a stream says which one it is. */
export const STREAM_NAME_BYTES = 4;

interface Line {
  readonly name: number[];
  /** Its number; -1 until it has said it. */
  index: number;
}

/** The server. */
export class StreamServer {
  readonly port: number;
  corrupt = 0;
  readonly #tally: StreamTally;
  readonly #goals: Float64Array;
  readonly #lines = new Set<Socket<Line>>();
  readonly #listener: { stop(closeAll?: boolean): void };

  constructor(tally: SharedArrayBuffer) {
    this.#tally = new StreamTally(tally);
    this.#goals = new Float64Array(this.#tally.backwardSent.length);
    const listener = Bun.listen<Line>({
      hostname: '127.0.0.1',
      port: 0,
      socket: {
        open: (socket) => {
          socket.data = { name: [], index: -1 };
          this.#lines.add(socket);
        },
        data: (socket, chunk) => this.#take(socket, chunk),
        drain: (socket) => this.#send(socket),
        close: (socket) => {
          this.#lines.delete(socket);
        },
      },
    });
    this.port = listener.port;
    this.#listener = listener;
  }

  /** Connections that are open. */
  get open(): number {
    return this.#lines.size;
  }

  /** Streams that have said which one they are. */
  get known(): number {
    let known = 0;
    for (const { data } of this.#lines) if (data.index >= 0) known++;
    return known;
  }

  /** Send so many more bytes on every stream. */
  pump(bytes: number): void {
    const { backwardSent } = this.#tally;
    for (let i = 0; i < this.#goals.length; i++) this.#goals[i] = backwardSent[i]! + bytes;
    for (const line of this.#lines) this.#send(line);
  }

  stop(): void {
    this.#listener.stop(true);
  }

  #take(socket: Socket<Line>, chunk: Uint8Array): void {
    const line = socket.data;
    let at = 0;
    while (line.index < 0 && at < chunk.length) {
      line.name.push(chunk[at++]!);
      if (line.name.length === STREAM_NAME_BYTES) {
        line.index = Buffer.from(line.name).readUInt32BE() % this.#goals.length;
      }
    }
    if (at === chunk.length) return;
    const { forwardReceived } = this.#tally;
    const before = forwardReceived[line.index]!;
    const bytes = chunk.subarray(at);
    if (!isPattern(line.index, before, bytes)) this.corrupt++;
    forwardReceived[line.index] = before + bytes.length;
  }

  #send(socket: Socket<Line>): void {
    const { index } = socket.data;
    if (index < 0) return;
    const { backwardSent } = this.#tally;
    for (;;) {
      const already = backwardSent[index]!;
      const left = this.#goals[index]! - already;
      if (left <= 0) return;
      const bytes = patternAt(index, already, left);
      const taken = Math.max(0, socket.write(bytes));
      backwardSent[index] = already + taken;
      if (taken < bytes.length) return;
    }
  }
}
