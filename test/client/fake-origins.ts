/** Circuits and streams of a client, played by the test. */

import type { CircuitEvents } from '../../src/origin/origin-circuit.ts';
import type { StreamEvents } from '../../src/origin/origin-stream.ts';
import type { Origins } from '../../src/origin/origins.ts';
import type { OriginHop } from '../../src/shm/origin-letter.ts';

/** A stream that takes as many bytes as the test allows. */
export class FakeStream {
  room = Number.POSITIVE_INFINITY;
  written = '';
  held: boolean[] = [];
  ended = false;
  readonly target: string;
  readonly events: StreamEvents;

  constructor(target: string, events: StreamEvents) {
    this.target = target;
    this.events = events;
  }
  write(bytes: Uint8Array): number {
    const taken = Math.min(bytes.length, this.room);
    this.room -= taken;
    this.written += Buffer.from(bytes.subarray(0, taken)).toString();
    return taken;
  }
  hold(isHeld: boolean): void {
    if (this.held.at(-1) !== isHeld) this.held.push(isHeld);
  }
  end(): void {
    this.ended = true;
  }
}

export class FakeCircuit {
  streams: FakeStream[] = [];
  streamCount = 0;
  isClosed = false;
  hasIds = true;
  readonly path: readonly OriginHop[];
  readonly events: CircuitEvents;

  constructor(path: readonly OriginHop[], events: CircuitEvents) {
    this.path = path;
    this.events = events;
  }
  connect(target: string, _flags: number, events: StreamEvents): FakeStream | null {
    if (!this.hasIds) return null;
    const stream = new FakeStream(target, events);
    this.streams.push(stream);
    this.streamCount++;
    return stream;
  }
  close(): void {
    this.isClosed = true;
  }
}

export class FakeOrigins {
  readonly circuits: FakeCircuit[] = [];
  open(path: readonly OriginHop[], _timeoutMs: number, events: CircuitEvents): FakeCircuit {
    const circuit = new FakeCircuit(path, events);
    this.circuits.push(circuit);
    return circuit;
  }
  get asOrigins(): Origins {
    return this as unknown as Origins;
  }
  get last(): FakeCircuit {
    return this.circuits.at(-1)!;
  }
}
