/**
 * Circuits that main asks for: its orders in, news of them out.
 *
 * Main numbers circuits and streams. An order for a circuit that is gone meanwhile is passed over: main has been told,
 * or will be. What streams bring is copied into letters, whole batches at a time.
 */
import { EndReason } from '../cell/reason.ts';
import type { OriginNews, OriginOrder } from '../shm/origin-letter.ts';
import type { OriginCircuit } from './origin-circuit.ts';
import type { OriginStream } from './origin-stream.ts';
import type { Origins } from './origins.ts';

/** Bytes of a stream that are gathered before they are told. */
const LETTER_BYTES = 32 * 1024;

/** One circuit that main asked for. */
class Asked {
  readonly streams = new Map<number, AskedStream>();
  circuit: OriginCircuit | null = null;
  /** DROP cells still to be sent. */
  drops = 0;
}

/** One stream: the rest of its request, and what came since the last letter. */
class AskedStream {
  request: Uint8Array;
  stream: OriginStream | null = null;
  readonly held: Uint8Array = new Uint8Array(LETTER_BYTES);
  filled = 0;

  constructor(request: Uint8Array) {
    this.request = request;
  }

  send(): void {
    if (this.stream === null || this.request.length === 0) return;
    this.request = this.request.subarray(this.stream.write(this.request));
  }
}

/** A worker's desk for main's circuits. */
export class OriginMail {
  private readonly origins: Origins;
  private readonly tell: (news: OriginNews) => void;
  private readonly circuits = new Map<number, Asked>();
  /** Circuits with DROP cells to send. */
  private readonly dropping = new Set<Asked>();

  /** @param tell sends news to main; the arrays in it are not used again */
  constructor(origins: Origins, tell: (news: OriginNews) => void) {
    this.origins = origins;
    this.tell = tell;
  }

  /** Do what main asks. */
  take(order: OriginOrder): void {
    if (order.kind === 'open') {
      this.open(order);
      return;
    }
    const asked = this.circuits.get(order.circuit);
    if (asked === undefined) return;
    switch (order.kind) {
      case 'ask':
        this.ask(asked, order);
        return;
      case 'end':
        asked.streams.get(order.stream)?.stream?.end(EndReason.DONE);
        asked.streams.delete(order.stream);
        return;
      case 'drop':
        asked.drops += order.cells;
        this.dropping.add(asked);
        this.turn();
        return;
      case 'close':
        this.forget(order.circuit, asked);
        asked.circuit?.close();
    }
  }

  private open({ circuit, path, timeoutMs }: Extract<OriginOrder, { kind: 'open' }>): void {
    const asked = new Asked();
    this.circuits.set(circuit, asked);
    asked.circuit = this.origins.open(path, timeoutMs, {
      onOpen: () => this.tell({ kind: 'opened', circuit }),
      onClosed: (reason, hops) => {
        this.forget(circuit, asked);
        this.tell({ kind: 'closed', circuit, reason, hops });
      },
    });
  }

  private forget(circuit: number, asked: Asked): void {
    this.circuits.delete(circuit);
    this.dropping.delete(asked);
    asked.streams.clear();
  }

  private ask(asked: Asked, { circuit, stream, request }: Extract<OriginOrder, { kind: 'ask' }>): void {
    const mine = new AskedStream(request);
    asked.streams.set(stream, mine);
    mine.stream =
      asked.circuit?.connectDirectory({
        onOpen: () => {},
        onData: (data) => this.gather(circuit, stream, mine, data),
        onRoom: () => mine.send(),
        onEnd: (reason) => {
          asked.streams.delete(stream);
          this.flush(circuit, stream, mine);
          this.tell({ kind: 'ended', circuit, stream, reason });
        },
      }) ?? null;
    if (mine.stream === null) {
      asked.streams.delete(stream);
      this.tell({ kind: 'ended', circuit, stream, reason: EndReason.INTERNAL });
      return;
    }
    // As C tor's: the request goes out behind BEGIN_DIR without waiting for its answer.
    mine.send();
  }

  private gather(circuit: number, stream: number, mine: AskedStream, data: Uint8Array): void {
    if (mine.filled + data.length > LETTER_BYTES) this.flush(circuit, stream, mine);
    mine.held.set(data, mine.filled);
    mine.filled += data.length;
  }

  private flush(circuit: number, stream: number, mine: AskedStream): void {
    if (mine.filled === 0) return;
    const bytes = mine.held.slice(0, mine.filled);
    mine.filled = 0;
    this.tell({ kind: 'bytes', circuit, stream, bytes });
  }

  /** Once a turn: tell what streams brought, and send DROP cells as far as there is room. */
  turn(): void {
    for (const [circuit, { streams }] of this.circuits) {
      for (const [stream, mine] of streams) this.flush(circuit, stream, mine);
    }
    for (const asked of this.dropping) {
      const { circuit } = asked;
      if (circuit === null) continue;
      while (asked.drops > 0 && circuit.drop()) asked.drops--;
      if (asked.drops === 0 || circuit.isOver) this.dropping.delete(asked);
    }
  }
}
