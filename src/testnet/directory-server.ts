/**
 * The authority's DirPort: HTTP/1.0 as directory servers speak it, one request a connection, on loopback only.
 *
 * Heads, bodies, connections and their lives are bounded. What the requests mean is for the handler.
 *
 * @source dir-spec "Directory cache operation", "Standards compliance"
 */
import { deflateSync } from 'node:zlib';
import type { Socket, TCPSocketListener } from 'bun';
import { isLoopback, parseIp } from '../bytes/address.ts';
import { assert, Malformed } from '../fault.ts';
import type { EncodingName } from '../netdoc/content-coding.ts';
import { chooseEncoding, ENCODING_HEADERS, Encoding } from '../netdoc/content-coding.ts';
import type { DirectoryQuery } from '../netdoc/directory-request.ts';
import { parseDirectoryRequest, RequestReader } from '../netdoc/directory-request.ts';
import { printHttpTime } from '../netdoc/http-time.ts';
import { wallMs } from '../time/clock.ts';

const CONNECTIONS_MAX = 256;
const LIFE_SEC = 60;
/** What answers are encoded in. */
const SERVED = Encoding.identity | Encoding.deflate;

/** One request. */
export interface ServedRequest {
  readonly query: DirectoryQuery;
  readonly url: string;
  /** Wall clock, seconds; 0: the client has no such document. */
  readonly modifiedSinceSec: number;
  /** Null when it was too long to be kept. */
  readonly body: Uint8Array | null;
}

/** What to answer. */
export interface ServedReply {
  readonly status: number;
  readonly reason: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

interface Connection {
  readonly reader: RequestReader;
  /** What the socket has not taken yet. */
  unsent: Uint8Array | null;
  answered: boolean;
}

/** Serves until it is stopped. */
export class DirectoryServer {
  readonly port: number;
  private readonly handle: (request: ServedRequest) => ServedReply;
  private readonly listener: TCPSocketListener<Connection>;
  private readonly open = new Set<Socket<Connection>>();

  /** @param host - a loopback address */
  constructor(host: string, port: number, handle: (request: ServedRequest) => ServedReply) {
    assert(isLoopbackText(host), 'a test network listens on loopback only');
    this.handle = handle;
    this.listener = Bun.listen<Connection>({
      hostname: host,
      port,
      exclusive: true,
      socket: {
        open: (socket) => this.accept(socket),
        data: (socket, chunk) => this.receive(socket, chunk),
        drain: (socket) => send(socket),
        timeout: (socket) => void socket.terminate(),
        close: (socket) => void this.open.delete(socket),
        error: (socket) => void this.open.delete(socket),
      },
    });
    this.port = this.listener.port;
  }

  /** Close the port and every connection. */
  stop(): void {
    this.listener.stop(true);
    for (const socket of this.open) socket.terminate();
    this.open.clear();
  }

  private accept(socket: Socket<Connection>): void {
    socket.data = { reader: new RequestReader(), unsent: null, answered: false };
    if (this.open.size >= CONNECTIONS_MAX || !isLoopbackText(socket.remoteAddress)) {
      socket.terminate();
      return;
    }
    this.open.add(socket);
    socket.timeout(LIFE_SEC);
  }

  private receive(socket: Socket<Connection>, chunk: Uint8Array): void {
    const connection = socket.data;
    if (connection.answered) return;
    try {
      const received = connection.reader.push(chunk);
      if (received === null) return;
      connection.answered = true;
      const { query, url, encodings, modifiedSinceSec } = parseDirectoryRequest(received.head);
      const reply = this.handle({ query, url, modifiedSinceSec, body: received.body });
      connection.unsent = printReply(reply, chooseEncoding(encodings & SERVED), socket.remoteAddress);
      send(socket);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      socket.terminate();
    }
  }
}

function isLoopbackText(text: string): boolean {
  const host = parseIp(text);
  return host !== null && isLoopback(host);
}

function send(socket: Socket<Connection>): void {
  const { unsent } = socket.data;
  if (unsent === null) return;
  const taken = socket.write(unsent);
  if (taken < unsent.length) {
    socket.data.unsent = unsent.subarray(Math.max(0, taken));
    return;
  }
  socket.data.unsent = null;
  socket.end();
}

function printReply(reply: ServedReply, encoding: EncodingName, peer: string): Uint8Array {
  const { status, reason, headers = {}, body = null } = reply;
  const content = body === null ? new Uint8Array() : encoding === 'deflate' ? deflateSync(body) : body;
  const lines = [
    `HTTP/1.0 ${status} ${reason.replace(/[^\x20-\x7e]/g, '?')}`,
    `Date: ${printHttpTime(wallMs() / 1000)}`,
    `X-Your-Address-Is: ${peer}`,
    ...(body === null ? [] : ['Content-Type: text/plain']),
    ...(body === null ? [] : [`Content-Encoding: ${ENCODING_HEADERS[encoding]}`]),
    ...(body === null ? [] : [`Content-Length: ${content.length}`]),
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ];
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), content]);
}
