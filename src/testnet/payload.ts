/**
 * The payload of a test network's downloads: a stream of bytes in which every place is known, and a server for it.
 *
 * No two blocks are alike, so that a lost, doubled, swapped or foreign cell shows. The server speaks as much HTTP as
 * `curl` needs: `GET /N` gives N bytes, where N may end in KB, MB or GB.
 */
import type { Socket, TCPSocketListener } from 'bun';

export const BLOCK_BYTES = 65_536;
const REQUEST_BYTES_MAX = 8192;
const SIZE_MAX = 100e9;
const UNITS: Readonly<Record<string, number>> = { '': 1, K: 1e3, KB: 1e3, M: 1e6, MB: 1e6, G: 1e9, GB: 1e9 };

/** Read a size, as `10MB`; null when it is none. */
export function parseSize(text: string): number | null {
  const match = /^(\d{1,12})([KMG]?B?)$/i.exec(text);
  const unit = match === null ? undefined : UNITS[match[2]!.toUpperCase().replace(/^B$/, '')];
  if (match === null || unit === undefined) return null;
  const bytes = Number(match[1]) * unit;
  return bytes <= SIZE_MAX ? bytes : null;
}

/** Fill a block of the stream; `index` counts blocks from its beginning. */
export function fillBlock(block: Uint8Array, index: number): void {
  const view = new DataView(block.buffer, block.byteOffset, block.length);
  let state = (index + 1) >>> 0;
  // One multiply a word: the words must differ from block to block, not look random.
  for (let at = 0; at < block.length; at += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    view.setUint32(at, state);
  }
}

/** Checks a stream that comes in any pieces. */
export class PayloadCheck {
  received = 0;
  private readonly block = Buffer.alloc(BLOCK_BYTES);
  private index = -1;

  /** Take the next bytes; false when one of them is not what it should be. */
  take(bytes: Uint8Array): boolean {
    for (let at = 0; at < bytes.length; ) {
      const index = Math.floor(this.received / BLOCK_BYTES);
      if (index !== this.index) {
        this.index = index;
        fillBlock(this.block, index);
      }
      const from = this.received % BLOCK_BYTES;
      const length = Math.min(bytes.length - at, BLOCK_BYTES - from);
      if (this.block.compare(bytes, at, at + length, from, from + length) !== 0) return false;
      at += length;
      this.received += length;
    }
    return true;
  }
}

interface Sending {
  request: string;
  /** What of the head is not sent yet. */
  head: Uint8Array;
  sent: number;
  total: number;
  readonly block: Uint8Array;
  blockIndex: number;
}

/** Serves the payload on loopback until it is stopped. */
export class PayloadServer {
  readonly port: number;
  private readonly listener: TCPSocketListener<Sending>;

  constructor(host: string) {
    this.listener = Bun.listen<Sending>({
      hostname: host,
      port: 0,
      exclusive: true,
      socket: {
        open: (socket) => {
          const block = new Uint8Array(BLOCK_BYTES);
          socket.data = { request: '', head: new Uint8Array(0), sent: 0, total: -1, block, blockIndex: -1 };
        },
        data: receive,
        drain: pump,
        error: (socket) => void socket.terminate(),
      },
    });
    this.port = this.listener.port;
  }

  stop(): void {
    this.listener.stop(true);
  }
}

function receive(socket: Socket<Sending>, chunk: Uint8Array): void {
  const state = socket.data;
  if (state.total >= 0) return;
  state.request += Buffer.from(chunk).toString('latin1');
  if (!state.request.includes('\r\n\r\n')) {
    if (state.request.length > REQUEST_BYTES_MAX) socket.terminate();
    return;
  }
  const name = /^GET \/([^ ]*) HTTP\/1\.[01]\r\n/.exec(state.request)?.[1] ?? '';
  const size = parseSize(name);
  state.total = size ?? 0;
  const status = size === null ? '404 Ask for a size, as /10MB' : '200 OK';
  const type = 'Content-Type: application/octet-stream\r\n';
  const head = `HTTP/1.1 ${status}\r\n${type}Content-Length: ${state.total}\r\nConnection: close\r\n\r\n`;
  state.head = Buffer.from(head, 'latin1');
  pump(socket);
}

/** Send as much as the socket takes, then close. */
function pump(socket: Socket<Sending>): void {
  const state = socket.data;
  if (state.total < 0) return;
  if (state.head.length > 0) {
    const taken = Math.max(0, socket.write(state.head));
    state.head = state.head.subarray(taken);
    if (state.head.length > 0) return;
  }
  while (state.sent < state.total) {
    const index = Math.floor(state.sent / BLOCK_BYTES);
    if (index !== state.blockIndex) {
      state.blockIndex = index;
      fillBlock(state.block, index);
    }
    const from = state.sent % BLOCK_BYTES;
    const length = Math.min(BLOCK_BYTES - from, state.total - state.sent);
    const taken = Math.max(0, socket.write(state.block.subarray(from, from + length)));
    state.sent += taken;
    if (taken < length) return;
  }
  socket.end();
}
