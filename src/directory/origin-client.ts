/**
 * Circuits that main asks workers for: what `origin/` in a worker does, as objects here.
 *
 * Workers take turns. Each circuit and stream is told its end exactly once, also when its worker dies; nothing here
 * knows why a circuit is wanted.
 */
import { DestroyReason, EndReason } from '../cell/reason.ts';
import type { OriginHop, OriginNews, OriginOrder } from '../shm/origin-letter.ts';

/** Sends an order to a worker. False when that worker is not there. */
export type PostOrder = (worker: number, order: OriginOrder) => boolean;

/** What a circuit tells. */
export interface ClientEvents {
  onOpen(): void;
  /** It is over, for this reason of DESTROY; `hops` were built. Not told after `close`. */
  onClosed(reason: number, hops: number): void;
}

/** What a directory stream tells. */
export interface AskEvents {
  /** Bytes of the answer, in order; the receiver's own. */
  onBytes(bytes: Uint8Array): void;
  /** No more comes, for this reason of END. Not told after `end`. */
  onEnd(reason: number): void;
}

/** A directory stream under way. */
export interface Asking {
  /** Give it up. */
  end(): void;
}

/** A circuit that a worker holds for us. */
export class ClientCircuit {
  readonly id: number;
  readonly worker: number;
  isOpen = false;
  isOver = false;
  readonly asks = new Map<number, AskEvents>();
  readonly events: ClientEvents;
  private readonly client: OriginClient;
  private nextStream = 1;

  /** Use `OriginClient.open`. */
  constructor(client: OriginClient, id: number, worker: number, events: ClientEvents) {
    this.client = client;
    this.id = id;
    this.worker = worker;
    this.events = events;
  }

  /** Send a request to the last hop's directory, once the circuit is open. */
  ask(request: Uint8Array, events: AskEvents): Asking {
    const stream = this.nextStream++;
    this.asks.set(stream, events);
    const order: OriginOrder = { kind: 'ask', circuit: this.id, stream, request };
    if (this.isOver || !this.client.post(this.worker, order)) this.endAsk(stream, EndReason.DESTROY);
    return {
      end: () => {
        if (this.asks.delete(stream)) {
          this.client.post(this.worker, { kind: 'end', circuit: this.id, stream });
        }
      },
    };
  }

  /** Send so many DROP cells to the last hop. */
  drop(cells: number): void {
    if (!this.isOver) this.client.post(this.worker, { kind: 'drop', circuit: this.id, cells });
  }

  /** End it. Its streams are told, the circuit's opener is not. */
  close(): void {
    if (this.isOver) return;
    this.client.post(this.worker, { kind: 'close', circuit: this.id });
    this.client.forget(this);
    this.finish();
  }

  /** @internal A stream ended. */
  endAsk(stream: number, reason: number): void {
    const events = this.asks.get(stream);
    this.asks.delete(stream);
    events?.onEnd(reason);
  }

  /** @internal It is over. */
  finish(): void {
    this.isOver = true;
    this.isOpen = false;
    for (const stream of [...this.asks.keys()]) this.endAsk(stream, EndReason.DESTROY);
  }
}

/** Main's circuits. One per process. */
export class OriginClient {
  readonly post: PostOrder;
  private readonly workers: number;
  private readonly circuits = new Map<number, ClientCircuit>();
  private nextCircuit = 1;
  private nextWorker = 0;

  constructor(workers: number, post: PostOrder) {
    this.workers = workers;
    this.post = post;
  }

  /** Circuits that are not over. */
  get count(): number {
    return this.circuits.size;
  }

  /** Ask for a circuit. Null when no worker is there to make it; `events` are told of everything later. */
  open(path: readonly OriginHop[], timeoutMs: number, events: ClientEvents): ClientCircuit | null {
    for (let tries = 0; tries < this.workers; tries++) {
      const worker = this.nextWorker++ % this.workers;
      const id = this.nextCircuit++;
      const circuit = new ClientCircuit(this, id, worker, events);
      this.circuits.set(id, circuit);
      if (this.post(worker, { kind: 'open', circuit: id, path, timeoutMs })) return circuit;
      this.circuits.delete(id);
    }
    return null;
  }

  /** @internal */
  forget(circuit: ClientCircuit): void {
    this.circuits.delete(circuit.id);
  }

  /** A worker tells of a circuit; what is told of one that is over here is passed over. */
  take(news: OriginNews): void {
    const circuit = this.circuits.get(news.circuit);
    if (circuit === undefined) return;
    switch (news.kind) {
      case 'opened':
        circuit.isOpen = true;
        circuit.events.onOpen();
        return;
      case 'closed':
        this.close(circuit, news.reason, news.hops);
        return;
      case 'bytes':
        circuit.asks.get(news.stream)?.onBytes(news.bytes);
        return;
      case 'ended':
        circuit.endAsk(news.stream, news.reason);
    }
  }

  /** A worker died, and its circuits with it. */
  onWorkerLost(worker: number): void {
    for (const circuit of [...this.circuits.values()]) {
      if (circuit.worker === worker) this.close(circuit, DestroyReason.CHANNEL_CLOSED, 0);
    }
  }

  private close(circuit: ClientCircuit, reason: number, hops: number): void {
    this.circuits.delete(circuit.id);
    circuit.finish();
    circuit.events.onClosed(reason, hops);
  }
}
