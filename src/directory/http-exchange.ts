/**
 * One HTTP exchange with a directory server's DirPort.
 *
 * Plain HTTP on a connection of its own: no agent, no keep-alive, no redirect, and no proxy from the environment.
 * Every exchange ends: it has a deadline, a limit for silence and a limit for bytes. The reply's reason text is
 * handed on word for word, as authorities put there why they refuse a descriptor. Every byte that a connection read
 * or sent is counted, as it is part of the traffic that a relay reports.
 *
 * @source dir-spec "Standards compliance"; "Uploading server descriptors"
 */

import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { type Endpoint, printEndpoint, printIp } from '../bytes/address.ts';
import { joinAll } from '../bytes/join.ts';
import { ACCEPTED_ENCODINGS, decodeBody } from './content-encoding.ts';
import type { Timing } from './timing.ts';
import type { WireTraffic } from './wire-traffic.ts';

/** What to ask. */
export interface DirectoryRequest {
  readonly endpoint: Endpoint;
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Sent with POST; not kept. */
  readonly body: Uint8Array | null;
  /** The most bytes that the body may have, on the wire and decoded. */
  readonly bytesMax: number;
  /** Fail when nothing moved for so long. */
  readonly stallMs: number;
  /** Fail when it is not complete by then. */
  readonly deadlineMs: number;
}

/** What came back. */
export interface DirectoryReply {
  readonly status: number;
  /** Text of the status line, control characters removed. */
  readonly reason: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** Decoded; ours. */
  readonly body: Uint8Array;
  /** Bytes that the body took on the wire. */
  readonly wireBytes: number;
  /** Wall clock when the request left, seconds. */
  readonly sentSec: number;
}

/** An exchange under way. */
export interface PendingExchange {
  /** Rejects with an Error whose message says what failed, in a few words. */
  readonly reply: Promise<DirectoryReply>;
  /** Give it up; `reply` rejects. */
  abort(): void;
}

/** How documents are fetched and uploaded; tests put their own here. */
export type Exchange = (request: DirectoryRequest) => PendingExchange;

const REASON_CHARS_MAX = 300;

/**
 * Make the exchange that uses real sockets.
 * @param localAddress OutboundBindAddress, or null
 * @param traffic where the bytes of each connection are added; kept
 */
export function makeHttpExchange(
  timing: Timing,
  localAddress: string | null = null,
  traffic: WireTraffic | null = null,
): Exchange {
  return (request) => new HttpExchange(timing, request, localAddress, traffic);
}

class HttpExchange implements PendingExchange {
  readonly reply: Promise<DirectoryReply>;
  readonly #timing: Timing;
  readonly #request: DirectoryRequest;
  readonly #client: ClientRequest;
  readonly #chunks: Uint8Array[] = [];
  readonly #sentSec: number;
  readonly #cancelDeadline: () => void;
  readonly #traffic: WireTraffic | null;
  #cancelStall: () => void;
  #wireBytes = 0;
  #isConnected = false;
  #countedRead = 0;
  #countedWritten = 0;
  #settled = false;
  #resolve: (reply: DirectoryReply) => void = () => undefined;
  #reject: (error: Error) => void = () => undefined;

  constructor(
    timing: Timing,
    request: DirectoryRequest,
    localAddress: string | null,
    traffic: WireTraffic | null,
  ) {
    this.#timing = timing;
    this.#traffic = traffic;
    this.#request = request;
    this.#sentSec = timing.nowSec();
    this.reply = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#cancelDeadline = timing.after(request.deadlineMs, () => this.#fail('took too long'));
    this.#cancelStall = timing.after(request.stallMs, () => this.#fail('fell silent'));
    this.#client = httpRequest({
      host: printIp(request.endpoint.host),
      port: request.endpoint.port,
      method: request.method,
      path: request.path,
      agent: false,
      headers: wireHeaders(request),
      ...(localAddress === null ? {} : { localAddress }),
    });
    this.#client.on('socket', (socket) => {
      socket.once('connect', () => {
        this.#isConnected = true;
      });
    });
    this.#client.on('error', (error) => this.#fail(error.message));
    this.#client.on('response', (message) => this.#receive(message));
    this.#client.on('close', () => {
      this.#count();
      this.#fail('connection closed without a reply');
    });
    this.#client.end(request.body ?? undefined);
  }

  abort(): void {
    this.#fail('given up');
  }

  #receive(message: IncomingMessage): void {
    this.#moved();
    message.on('error', (error) => this.#fail(error.message));
    message.on('aborted', () => this.#fail('reply is truncated'));
    message.on('data', (chunk: Uint8Array) => {
      this.#moved();
      this.#wireBytes += chunk.length;
      if (this.#wireBytes > this.#request.bytesMax)
        this.#fail(`reply is longer than ${this.#request.bytesMax} bytes`);
      else this.#chunks.push(chunk);
    });
    message.on('end', () => this.#finish(message));
  }

  #finish(message: IncomingMessage): void {
    if (this.#settled) return;
    if (!message.complete) {
      this.#fail('reply is truncated');
      return;
    }
    const headers = flattenHeaders(message);
    const body = joinAll(this.#chunks);
    this.#settle();
    decodeBody(body, headers['content-encoding'] ?? '', this.#request.bytesMax).then(
      (decoded) =>
        this.#resolve({
          status: message.statusCode ?? 0,
          reason: cleanReason(message.statusMessage ?? ''),
          headers,
          body: decoded,
          wireBytes: this.#wireBytes,
          sentSec: this.#sentSec,
        }),
      (error: Error) => this.#reject(error),
    );
  }

  /** Add what the connection moved since the last look. */
  #count(): void {
    const { socket } = this.#client;
    // Before a connection is up, a socket counts as written what only waits.
    if (this.#traffic === null || !socket || !this.#isConnected) return;
    const { bytesRead, bytesWritten } = socket;
    this.#traffic.add(
      this.#request.endpoint,
      bytesRead - this.#countedRead,
      bytesWritten - this.#countedWritten,
    );
    this.#countedRead = bytesRead;
    this.#countedWritten = bytesWritten;
  }

  #moved(): void {
    this.#count();
    this.#cancelStall();
    if (this.#settled) return;
    this.#cancelStall = this.#timing.after(this.#request.stallMs, () => this.#fail('fell silent'));
  }

  #settle(): void {
    this.#settled = true;
    this.#cancelDeadline();
    this.#cancelStall();
  }

  #fail(why: string): void {
    if (this.#settled) return;
    this.#settle();
    this.#client.destroy();
    this.#reject(new Error(`${printEndpoint(this.#request.endpoint)}: ${why}`));
  }
}

function wireHeaders(request: DirectoryRequest): Record<string, string> {
  const headers: Record<string, string> = { ...request.headers, 'Accept-Encoding': ACCEPTED_ENCODINGS };
  if (request.body !== null) headers['Content-Length'] = String(request.body.length);
  return headers;
}

function flattenHeaders(message: IncomingMessage): Record<string, string> {
  const out: Record<string, string> = Object.create(null);
  for (const [name, value] of Object.entries(message.headers)) {
    if (value !== undefined) out[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return out;
}

/** What a server writes goes into our log: one line, printable, bounded. */
export function cleanReason(text: string): string {
  const printable = text.replace(/[^\x20-\x7e]/g, '?').trim();
  return printable.length > REASON_CHARS_MAX ? `${printable.slice(0, REASON_CHARS_MAX)}...` : printable;
}
