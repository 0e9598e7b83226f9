/**
 * Destinations of exit streams in a simulated world, and the resolver that knows their names: everything happens when a
 * test says so.
 */
import { parseIp } from '../../src/bytes/address.ts';
import type { Connect, ConnectRequest, ExitSocket, ExitSocketEvents } from '../../src/edge/exit-socket.ts';
import type { Lookup, NameAnswer, NameResolver, OnAnswer, Wanted } from '../../src/edge/resolver.ts';

/** A connection as its destination sees it. */
export class SimConnection implements ExitSocket {
  readonly request: ConnectRequest;
  /** What came from the stream. */
  received: number[] = [];
  paused = false;
  /** It was accepted, or refused. */
  accepted = false;
  /** Ended by the relay. */
  ended = false;
  writes = 0;
  /** Bytes that it takes before it refuses. */
  capacity = Number.POSITIVE_INFINITY;
  private readonly events: ExitSocketEvents;
  private readonly begin: () => void;
  private refused = false;
  /** What came while paused: a real one keeps it in the kernel. */
  private waiting: Uint8Array[] = [];
  private finished = false;

  constructor(request: ConnectRequest, events: ExitSocketEvents, begin: () => void) {
    this.request = request;
    this.events = events;
    this.begin = begin;
  }

  get target(): string {
    return `${this.request.host}:${this.request.port}`;
  }

  get text(): string {
    return Buffer.from(this.received).toString('latin1');
  }

  /** The destination accepts. Returns whether the relay still wants it. */
  accept(): boolean {
    this.accepted = true;
    this.begin();
    const wanted = this.events.onConnected(this);
    if (!wanted) this.ended = true;
    return wanted;
  }

  fail(code: string): void {
    this.begin();
    this.events.onConnectFailed(code);
  }

  /** The destination sends bytes. */
  say(bytes: Uint8Array): void {
    if (this.ended) return;
    if (this.paused) {
      this.waiting.push(bytes.slice());
      return;
    }
    this.begin();
    this.events.onData(bytes.slice());
  }

  /** The destination sends no more. */
  finish(): void {
    this.finished = true;
    if (this.ended || this.waiting.length > 0) return;
    this.begin();
    this.events.onFinished();
  }

  /** The connection breaks. */
  reset(code: string | null): void {
    if (this.ended) return;
    this.ended = true;
    this.waiting.length = 0;
    this.begin();
    this.events.onClosed(code);
  }

  /** Take so many bytes more. */
  drain(bytes: number): void {
    this.capacity += bytes;
    if (!this.refused || this.ended) return;
    this.refused = false;
    this.begin();
    this.events.onDrain();
  }

  write(bytes: Uint8Array, from: number, length: number): number {
    this.writes++;
    const taken = Math.min(length, this.capacity);
    this.capacity -= taken;
    for (let i = 0; i < taken; i++) this.received.push(bytes[from + i]!);
    if (taken < length) this.refused = true;
    return taken;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    const list = this.waiting;
    this.waiting = [];
    for (const [i, bytes] of list.entries()) {
      // It may be paused again, or ended, by what it hears.
      if (this.paused) this.waiting.push(...list.slice(i));
      if (this.paused || this.ended) return;
      this.begin();
      this.events.onData(bytes);
    }
    if (this.finished && !this.ended) this.events.onFinished();
  }

  end(): void {
    this.ended = true;
  }
}

/** A question that waits for its answer. */
export interface SimQuestion {
  readonly name: string;
  readonly want: Wanted | null;
  /** Nobody waits for it: it was answered already, or taken back. */
  cancelled: boolean;
  answer(answer: Partial<NameAnswer>): void;
}

/** Everything that is connected to, and all that is asked. */
export class Destinations implements NameResolver {
  readonly connections: SimConnection[] = [];
  readonly questions: SimQuestion[] = [];
  /** Names with known answers. */
  readonly known = new Map<string, Partial<NameAnswer>>();
  /** Called for each connection that is asked for. */
  onConnect: ((connection: SimConnection) => void) | null = null;

  /** What a worker connects with. */
  connectFor(begin: () => void): Connect {
    return (request, events) => {
      const connection = new SimConnection(request, events, begin);
      this.connections.push(connection);
      this.onConnect?.(connection);
    };
  }

  get last(): SimConnection {
    return this.connections.at(-1)!;
  }

  resolve(name: string, want: Wanted, done: OnAnswer): Lookup {
    return this.ask(name, want, done);
  }

  reverse(host: Uint8Array, done: OnAnswer): Lookup {
    return this.ask(host.toHex(), null, done);
  }

  resolveMessage(text: string, done: OnAnswer): Lookup {
    const host = parseIp(text);
    if (host === null) return this.ask(text, null, done);
    done(answerOf(host.length === 4 ? { ipv4: host } : { ipv6: host }));
    return { cancel() {} };
  }

  private ask(name: string, want: Wanted | null, done: OnAnswer): Lookup {
    const known = this.known.get(name);
    if (known !== undefined) {
      done(answerOf(known));
      return { cancel() {} };
    }
    const question: SimQuestion = {
      name,
      want,
      cancelled: false,
      answer: (answer) => {
        if (question.cancelled) return;
        question.cancelled = true;
        done(answerOf(answer));
      },
    };
    this.questions.push(question);
    return {
      cancel: () => {
        question.cancelled = true;
      },
    };
  }
}

/** An answer of which only some is said. */
export function answerOf(answer: Partial<NameAnswer>): NameAnswer {
  const has = answer.ipv4 || answer.ipv6 || answer.hostname;
  return {
    ipv4: null,
    ipv6: null,
    hostname: null,
    ttlSec: 300,
    failure: has ? null : 'not-found',
    ...answer,
  };
}
