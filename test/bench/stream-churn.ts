/**
 * Many short streams through an exit: ended by the client, by the destination, refused, reset, given up before they
 * were open, or still open when their link goes.
 *
 * Streams go in rounds, each on links and circuits of its own, with congestion control in every other one.
 */
import { EndReason, endReasonName } from '../../src/cell/reason.ts';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import { encodeBegin } from '../../src/cell/stream-message.ts';
import type { Hop } from '../../src/load/client.ts';
import { makeIdentity, makeTlsKey } from '../../src/load/identity.ts';
import type { StreamCircuit } from '../../src/load/stream-circuit.ts';
import { answered, StreamClient } from '../../src/load/stream-client.ts';
import { freePorts } from '../net/free-ports.ts';
import { GREETING_BYTES, StreamDestinations } from './stream-destinations.ts';

/** torrc lines of an exit that takes these streams. */
export const CHURNED_EXIT: readonly string[] = [
  'ExitRelay 1',
  'ExitPolicy reject 127.0.0.7:*',
  'ExitPolicy accept *:*',
  'ExitPolicyRejectPrivate 0',
  'RefuseUnknownExits 0',
  'DoSCircuitCreationEnabled 0',
  'DoSConnectionEnabled 0',
  'DoSStreamCreationEnabled 0',
  'DisableDebuggerAttachment 0',
];

const LINKS = 4;
const CIRCUITS = 8;
/** Streams under way at once. */
const LANES = 32;
/** Streams that are open when their round ends. */
const LEFT_OPEN = 16;
const UPLOAD_BYTES = 1500;
const FAULTS_MAX = 20;
const GONE_MS = 30_000;

/** How a stream goes: to which destination, when the client ends it, and how else it may end. */
interface Course {
  readonly name: string;
  readonly target: (churn: StreamDestinations, refused: number) => string;
  /** The client ends it after so many bytes have come; null: not by itself. */
  readonly endsAfter: number | null;
  /** Bytes that the client sends once it is open. */
  readonly sends: number;
  /** Ends by the exit that are in order. */
  readonly reasons: readonly number[];
  /** Bytes that must have come by then. */
  readonly bytes: number;
}

const local = (port: number): string => `127.0.0.1:${port}`;
const COURSES: readonly Course[] = [
  {
    name: 'the destination closes',
    target: ({ ports }) => local(ports.closes),
    endsAfter: null,
    sends: 0,
    reasons: [EndReason.DONE],
    bytes: GREETING_BYTES,
  },
  {
    name: 'the client ends',
    target: ({ ports }) => local(ports.waits),
    endsAfter: GREETING_BYTES,
    sends: UPLOAD_BYTES,
    reasons: [],
    bytes: GREETING_BYTES,
  },
  {
    name: 'nobody listens',
    target: (_, refused) => local(refused),
    endsAfter: null,
    sends: 0,
    reasons: [EndReason.CONNECTREFUSED],
    bytes: 0,
  },
  {
    name: 'the destination resets',
    target: ({ ports }) => local(ports.resets),
    endsAfter: null,
    sends: 0,
    // What it sent before may come first, and be whole.
    reasons: [EndReason.CONNRESET, EndReason.DONE],
    bytes: 0,
  },
  {
    name: 'the client gives up at once',
    target: ({ ports }) => local(ports.waits),
    endsAfter: 0,
    sends: 0,
    reasons: [],
    bytes: 0,
  },
  {
    name: 'the client ends amid what comes',
    target: ({ ports }) => local(ports.endless),
    endsAfter: 10_000,
    sends: UPLOAD_BYTES,
    reasons: [],
    bytes: 10_000,
  },
  {
    name: 'the policy refuses',
    target: ({ ports }) => `127.0.0.7:${ports.closes}`,
    endsAfter: null,
    sends: 0,
    reasons: [EndReason.EXITPOLICY],
    bytes: 0,
  },
];

/** A load of short streams. */
export class StreamChurn {
  /** Streams that went their course. */
  done = 0;
  readonly faults: string[] = [];
  readonly #relay: Hop;
  readonly #destinations: StreamDestinations;
  readonly #credentials = makeIdentity(makeTlsKey(), Math.floor(Date.now() / 1000));
  readonly #refused = freePorts(1)[0]!;
  #rounds = 0;

  static async start(relay: Hop): Promise<StreamChurn> {
    return new StreamChurn(relay, await StreamDestinations.start());
  }

  private constructor(relay: Hop, destinations: StreamDestinations) {
    this.#relay = relay;
    this.#destinations = destinations;
  }

  /** Connections that came to the destinations. */
  get accepted(): number {
    return this.#destinations.accepted;
  }

  /** Let so many streams go their courses, and then some be cut off by the end of their links. */
  async round(streams: number): Promise<void> {
    const client = new StreamClient(this.#relay, this.#credentials);
    await client.connect(LINKS, true);
    await client.build(CIRCUITS, this.#rounds++ % 2 === 1);
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < streams) {
        const index = next++;
        await this.#run(client.circuits[index % CIRCUITS]!, COURSES[index % COURSES.length]!);
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    const open = Array.from({ length: LEFT_OPEN }, (_, i) => this.#leaveOpen(client.circuits[i % CIRCUITS]!));
    await answered(Promise.all(open), 'BEGIN', 'the round’s end');
    for (const loss of client.losses) this.#fault(loss);
    for (const link of client.links) link.close();
    await this.#gone();
  }

  /** Let one stream go its course. */
  async #run(circuit: StreamCircuit, course: Course): Promise<void> {
    let got = 0;
    const over = new Promise<void>((resolve) => {
      const target = course.target(this.#destinations, this.#refused);
      const stream = circuit.open(RelayCommand.BEGIN, encodeBegin(target, 0), {
        onOpen: () => {
          if (course.sends > 0) stream.write(new Uint8Array(course.sends));
        },
        onData: (data) => {
          got += data.length;
          if (course.endsAfter === null || got < course.endsAfter) return;
          stream.end(EndReason.DONE);
          resolve();
        },
        onRoom: () => {},
        onEnd: (reason) => {
          if (!course.reasons.includes(reason)) this.#fault(`${course.name}: END ${endReasonName(reason)}`);
          resolve();
        },
      });
      if (course.endsAfter !== 0) return;
      stream.end(EndReason.DONE);
      resolve();
    });
    try {
      await answered(over, 'a stream', course.name);
      if (got < course.bytes) this.#fault(`${course.name}: ${got} bytes of ${course.bytes}`);
      this.done++;
    } catch (error) {
      this.#fault(`${course.name}: ${error instanceof Error ? error.message : error}`);
    }
  }

  /** Open a stream and wait for its first bytes. */
  #leaveOpen(circuit: StreamCircuit): Promise<void> {
    const target = local(this.#destinations.ports.waits);
    return new Promise((resolve) => {
      circuit.open(RelayCommand.BEGIN, encodeBegin(target, 0), {
        onOpen: () => {},
        onData: () => resolve(),
        onRoom: () => {},
        onEnd: () => resolve(),
      });
    });
  }

  /** See that the exit closes what it connected to. */
  async #gone(): Promise<void> {
    for (const sinceMs = performance.now(); this.#destinations.open > 0; ) {
      if (performance.now() - sinceMs > GONE_MS) {
        this.#fault(`the exit left ${this.#destinations.open} connections open`);
        return;
      }
      await Bun.sleep(20);
    }
  }

  #fault(what: string): void {
    if (this.faults.length < FAULTS_MAX) this.faults.push(what);
  }

  stop(): void {
    this.#destinations.stop();
  }
}
