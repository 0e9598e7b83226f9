/**
 * Directory exchanges through circuits: BEGIN_DIR over the last hop of a path, as C tor tunnels them.
 *
 * A relay asks a directory cache over one hop; what must not show who asks goes over three. A circuit is kept for the
 * next request along the same path, for a while. Every exchange ends: it has a deadline, a limit for silence and a
 * limit for bytes, as those over a DirPort have.
 * @source dir-spec "Standards compliance"; tor-spec "Opening a directory stream"
 */
import { encodeHex } from '../bytes/base.ts';
import { destroyReasonName, EndReason, endReasonName } from '../cell/reason.ts';
import type { OriginHop } from '../shm/origin-letter.ts';
import { ACCEPTED_ENCODINGS, decodeBody } from './content-encoding.ts';
import {
  cleanReason,
  type DirectoryReply,
  type DirectoryRequest,
  type PendingExchange,
} from './http-exchange.ts';
import { ReplyReader } from './http-reply.ts';
import type { Asking, ClientCircuit, OriginClient } from './origin-client.ts';
import type { CancelTimer, Timing } from './timing.ts';

/** What to ask, and along which path; the endpoint of the request is only for messages. */
export interface TunnelRequest extends DirectoryRequest {
  readonly hops: readonly OriginHop[];
}

/** A circuit that nobody used for so long is closed. */
const IDLE_MS = 60_000;

/** A circuit, open or on its way, and who waits for it. */
interface Tunnel {
  readonly key: string;
  circuit: ClientCircuit | null;
  readonly waiting: Set<TunnelExchange>;
  using: number;
  cancelIdle: CancelTimer | null;
}

/** Tunnelled exchanges. One per process. */
export class Tunnels {
  readonly timing: Timing;
  private readonly client: OriginClient;
  private readonly tunnels = new Map<string, Tunnel>();

  constructor(client: OriginClient, timing: Timing) {
    this.client = client;
    this.timing = timing;
  }

  /** Circuits that are kept. */
  get count(): number {
    return this.tunnels.size;
  }

  /** Begin an exchange. */
  exchange(request: TunnelRequest): PendingExchange {
    const exchange = new TunnelExchange(this.timing, request);
    const tunnel = this.tunnelAlong(request);
    if (tunnel === null) {
      exchange.fail('no circuit can be built now');
      return exchange;
    }
    tunnel.cancelIdle?.();
    tunnel.cancelIdle = null;
    tunnel.using++;
    exchange.onDone = () => this.release(tunnel, exchange);
    if (tunnel.circuit!.isOpen) exchange.send(tunnel.circuit!);
    else tunnel.waiting.add(exchange);
    return exchange;
  }

  private tunnelAlong({ hops, deadlineMs }: TunnelRequest): Tunnel | null {
    const key = hops.map(({ rsaId }) => encodeHex(rsaId)).join(' ');
    const known = this.tunnels.get(key);
    if (known !== undefined) return known;
    const tunnel: Tunnel = { key, circuit: null, waiting: new Set(), using: 0, cancelIdle: null };
    tunnel.circuit = this.client.open(hops, deadlineMs, {
      onOpen: () => {
        const waiting = [...tunnel.waiting];
        tunnel.waiting.clear();
        for (const exchange of waiting) exchange.send(tunnel.circuit!);
      },
      onClosed: (reason, built) => {
        this.drop(tunnel);
        const where = built < hops.length ? `after ${built} of ${hops.length} hops` : 'once it was built';
        for (const exchange of [...tunnel.waiting]) {
          exchange.fail(`the circuit ended ${where} (${destroyReasonName(reason)})`);
        }
      },
    });
    if (tunnel.circuit === null || tunnel.circuit.isOver) return null;
    this.tunnels.set(key, tunnel);
    return tunnel;
  }

  private release(tunnel: Tunnel, exchange: TunnelExchange): void {
    tunnel.waiting.delete(exchange);
    // One that was dropped is over, or is about to be.
    if (--tunnel.using > 0 || this.tunnels.get(tunnel.key) !== tunnel) return;
    tunnel.cancelIdle = this.timing.after(IDLE_MS, () => this.close(tunnel));
  }

  private close(tunnel: Tunnel): void {
    this.drop(tunnel);
    tunnel.circuit?.close();
  }

  /** Close the circuits that are kept though nobody uses them and whose first hop is this relay. */
  closeIdle(firstHop: Uint8Array): void {
    for (const tunnel of [...this.tunnels.values()]) {
      if (tunnel.using === 0 && tunnel.key.startsWith(encodeHex(firstHop))) this.close(tunnel);
    }
  }

  private drop(tunnel: Tunnel): void {
    tunnel.cancelIdle?.();
    if (this.tunnels.get(tunnel.key) === tunnel) this.tunnels.delete(tunnel.key);
  }

  /** Close all circuits. */
  stop(): void {
    for (const tunnel of [...this.tunnels.values()]) {
      this.drop(tunnel);
      for (const exchange of [...tunnel.waiting]) exchange.fail('given up');
      tunnel.circuit?.close();
    }
  }
}

class TunnelExchange implements PendingExchange {
  readonly reply: Promise<DirectoryReply>;
  onDone: () => void = () => {};
  readonly #timing: Timing;
  readonly #request: TunnelRequest;
  readonly #reader: ReplyReader;
  readonly #sentSec: number;
  readonly #cancelDeadline: CancelTimer;
  #cancelStall: CancelTimer;
  #asking: Asking | null = null;
  #settled = false;
  #resolve: (reply: DirectoryReply) => void = () => undefined;
  #reject: (error: Error) => void = () => undefined;

  constructor(timing: Timing, request: TunnelRequest) {
    this.#timing = timing;
    this.#request = request;
    this.#reader = new ReplyReader(request.bytesMax);
    this.#sentSec = timing.nowSec();
    this.reply = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#cancelDeadline = timing.after(request.deadlineMs, () => this.fail('took too long'));
    this.#cancelStall = timing.after(request.stallMs, () => this.fail('fell silent'));
  }

  abort(): void {
    this.fail('given up');
  }

  /** The circuit is open. */
  send(circuit: ClientCircuit): void {
    if (this.#settled) return;
    this.#moved();
    this.#asking = circuit.ask(printRequest(this.#request), {
      onBytes: (bytes) => this.#take(bytes),
      onEnd: (reason) => this.#end(reason),
    });
  }

  #take(bytes: Uint8Array): void {
    this.#moved();
    try {
      this.#reader.take(bytes);
    } catch (error) {
      this.fail((error as Error).message);
    }
  }

  #end(reason: number): void {
    if (this.#settled) return;
    if (reason !== EndReason.DONE) {
      this.fail(`the stream ended with ${endReasonName(reason)}`);
      return;
    }
    try {
      const { status, reason: text, headers, body } = this.#reader.finish();
      this.#settle();
      const wireBytes = body.length;
      decodeBody(body, headers['content-encoding'] ?? '', this.#request.bytesMax).then(
        (decoded) => {
          const sentSec = this.#sentSec;
          this.#resolve({ status, reason: cleanReason(text), headers, body: decoded, wireBytes, sentSec });
        },
        (error: Error) => this.#reject(error),
      );
    } catch (error) {
      this.fail((error as Error).message);
    }
  }

  #moved(): void {
    this.#cancelStall();
    if (this.#settled) return;
    this.#cancelStall = this.#timing.after(this.#request.stallMs, () => this.fail('fell silent'));
  }

  #settle(): void {
    this.#settled = true;
    this.#cancelDeadline();
    this.#cancelStall();
    this.onDone();
  }

  /** Give it up for this reason. */
  fail(why: string): void {
    if (this.#settled) return;
    this.#settle();
    this.#asking?.end();
    const { hops } = this.#request;
    this.#reject(new Error(`${encodeHex(hops[hops.length - 1]!.rsaId)}: ${why}`));
  }
}

function printRequest({ method, path, headers, body }: TunnelRequest): Uint8Array {
  const lines = [`${method} ${path} HTTP/1.0`];
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
  lines.push(`Accept-Encoding: ${ACCEPTED_ENCODINGS}`);
  if (body !== null) lines.push(`Content-Length: ${body.length}`);
  const head = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
  return body === null ? head : Buffer.concat([head, body]);
}
