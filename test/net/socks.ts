/**
 * Moves bytes through a SOCKS5 port and says whether they arrived whole.
 *
 * The server sends a stream made from a seed, in which no two blocks are alike, so that a lost, doubled,
 * swapped or foreign cell changes the hash at both ends.
 *
 * @source RFC 1928
 */

import { createHash, type Hash } from 'node:crypto';
import type { Socket, TCPSocketListener } from 'bun';
import { parseIp, printIp } from '../../src/bytes/address.ts';

const BLOCK_BYTES = 65536;
const GREETING = Uint8Array.of(5, 1, 0);
const GREETING_REPLY_BYTES = 2;
const CONNECT_REPLY_BYTES = 10;

/** What one transfer brought. */
export interface Transfer {
  readonly bytes: number;
  /** SHA-256 of everything received, in hex. */
  readonly hash: string;
}

interface Sending {
  request: string;
  /** What the client uploads, once its request line is in. */
  upload: { hash: Hash; left: number } | null;
  download: { at: number; total: number } | null;
}

/** Fill a block of the stream that starts at this offset. */
function fillBlock(block: Uint8Array, offset: number): Uint8Array {
  const view = new DataView(block.buffer, block.byteOffset, block.length);
  // One multiply per word is enough: the words must differ from block to block, not look random.
  let state = (offset ^ 0x9e3779b9) >>> 0;
  for (let at = 0; at < block.length; at += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    view.setUint32(at, state);
  }
  return block;
}

/** What a client that asked for so many bytes must have received. */
export function expectedTransfer(total: number): Transfer {
  const hash = createHash('sha256');
  const block = new Uint8Array(BLOCK_BYTES);
  for (let at = 0; at < total; at += BLOCK_BYTES) {
    hash.update(fillBlock(block, at).subarray(0, Math.min(BLOCK_BYTES, total - at)));
  }
  return { bytes: total, hash: hash.digest('hex') };
}

/**
 * A TCP server that answers `GET n` with n bytes, and `PUT n` and n bytes with their hash in hex.
 */
export class PayloadServer {
  readonly port: number;
  readonly #listener: TCPSocketListener<Sending>;

  constructor() {
    const block = new Uint8Array(BLOCK_BYTES);
    this.#listener = Bun.listen<Sending>({
      hostname: '127.0.0.1',
      port: 0,
      socket: {
        open: (socket) => {
          socket.data = { request: '', upload: null, download: null };
        },
        data: (socket, chunk) => receiveAtServer(socket, chunk, block),
        drain: (socket) => endAfter(socket, pumpBlocks(socket, block)),
      },
    });
    this.port = this.#listener.port;
  }

  stop(): void {
    this.#listener.stop(true);
  }
}

function receiveAtServer(socket: Socket<Sending>, chunk: Uint8Array, block: Uint8Array): void {
  const state = socket.data;
  let body = chunk;
  if (!state.request.includes('\n')) {
    const text = state.request + Buffer.from(chunk).toString('latin1');
    const end = text.indexOf('\n');
    if (end < 0) {
      state.request = text;
      return;
    }
    body = chunk.subarray(end + 1 - state.request.length);
    state.request = text.slice(0, end + 1);
    const [verb, count] = state.request.trim().split(' ');
    if (verb === 'GET') state.download = { at: 0, total: Number(count) };
    else state.upload = { hash: createHash('sha256'), left: Number(count) };
    endAfter(socket, pumpBlocks(socket, block));
  }
  if (state.upload === null || body.length === 0) return;
  state.upload.hash.update(body);
  state.upload.left -= body.length;
  if (state.upload.left === 0) socket.end(state.upload.hash.digest('hex'));
}

function endAfter(socket: Socket<Sending>, finished: boolean): void {
  if (finished) socket.end();
}

/** Send what the socket takes; true once everything is sent. */
function pumpBlocks(socket: Socket<Sending>, block: Uint8Array): boolean {
  const download = socket.data.download;
  if (download === null) return false;
  while (download.at < download.total) {
    const within = download.at % BLOCK_BYTES;
    fillBlock(block, download.at - within);
    const end = Math.min(BLOCK_BYTES, within + download.total - download.at);
    const taken = socket.write(block.subarray(within, end));
    if (taken <= 0) return false;
    download.at += taken;
    if (taken < end - within) return false;
  }
  socket.data.download = null;
  return true;
}

/** Download through a SOCKS5 port. @throws Error when the stream breaks before it is whole */
export function download(socksPort: number, targetPort: number, total: number): Promise<Transfer> {
  return exchange(socksPort, targetPort, `GET ${total}\n`, 0, total);
}

/** Upload the same stream and bring back the hash that the server saw. */
export async function upload(socksPort: number, targetPort: number, total: number): Promise<Transfer> {
  let answer = '';
  await exchange(socksPort, targetPort, `PUT ${total}\n`, total, 64, (chunk) => {
    answer += Buffer.from(chunk).toString('latin1');
  });
  return { bytes: total, hash: answer };
}

function exchange(
  socksPort: number,
  targetPort: number,
  request: string,
  uploadBytes: number,
  expectBytes: number,
  onBody: (chunk: Uint8Array) => void = () => {},
): Promise<Transfer> {
  const { promise, resolve, reject } = Promise.withResolvers<Transfer>();
  const hash = createHash('sha256');
  const sending: Sending = { request, upload: null, download: null };
  const block = new Uint8Array(BLOCK_BYTES);
  let head = new Uint8Array(0);
  let bytes = 0;
  const takeBody = (chunk: Uint8Array) => {
    bytes += chunk.length;
    hash.update(chunk);
    onBody(chunk);
  };
  const fail = (why: string) => reject(new Error(`${request.trim()}: ${why} after ${bytes} bytes`));
  let stage: 'greeting' | 'connect' | 'body' = 'greeting';
  Bun.connect<Sending>({
    hostname: '127.0.0.1',
    port: socksPort,
    data: sending,
    socket: {
      open: (socket) => void socket.write(GREETING),
      data: (socket, chunk) => {
        if (stage === 'body') return takeBody(chunk);
        head = Buffer.concat([head, chunk]);
        if (stage === 'greeting' && head.length >= GREETING_REPLY_BYTES) {
          head = head.subarray(GREETING_REPLY_BYTES);
          stage = 'connect';
          socket.write(Uint8Array.of(5, 1, 0, 1, 127, 0, 0, 1, targetPort >> 8, targetPort & 255));
        }
        if (stage === 'connect' && head.length >= CONNECT_REPLY_BYTES) {
          if (head[1] !== 0) {
            fail(`SOCKS refused with ${head[1]}`);
            return void socket.end();
          }
          stage = 'body';
          socket.write(Buffer.from(request));
          if (uploadBytes > 0) sending.download = { at: 0, total: uploadBytes };
          pumpBlocks(socket, block);
          if (head.length > CONNECT_REPLY_BYTES) takeBody(head.subarray(CONNECT_REPLY_BYTES));
        }
      },
      drain: (socket) => void pumpBlocks(socket, block),
      close: () => {
        if (bytes === expectBytes) resolve({ bytes, hash: hash.digest('hex') });
        else fail(`the stream ended in stage ${stage}`);
      },
      error: (_socket, fault) => fail(fault.message),
    },
  }).catch(reject);
  return promise;
}

/** Connect to an address through a SOCKS5 port and read until the end. @throws Error when SOCKS refuses */
export function connectOver(socksPort: number, host: string, port: number): Promise<string> {
  return socksText(socksPort, SOCKS_CONNECT, addressOf(host), port);
}

/** Resolve a name (F0), or an address to its name (F1), as tor's SOCKS port can. @throws Error when it refuses */
export async function resolveOver(socksPort: number, what: string, isReverse = false): Promise<string> {
  const reply = await socksText(
    socksPort,
    isReverse ? SOCKS_RESOLVE_PTR : SOCKS_RESOLVE,
    isReverse ? addressOf(what) : nameOf(what),
    0,
  );
  return reply;
}

const SOCKS_CONNECT = 1;
const SOCKS_RESOLVE = 0xf0;
const SOCKS_RESOLVE_PTR = 0xf1;
const ADDRESS_IPV4 = 1;
const ADDRESS_NAME = 3;
const ADDRESS_IPV6 = 4;

function addressOf(host: string): Uint8Array {
  const bytes = parseIp(host)!;
  return Uint8Array.of(bytes.length === 4 ? ADDRESS_IPV4 : ADDRESS_IPV6, ...bytes);
}

function nameOf(name: string): Uint8Array {
  return Uint8Array.of(ADDRESS_NAME, name.length, ...Buffer.from(name, 'latin1'));
}

/** Ask a SOCKS5 port for something: what comes after its answer, or the address in it when that is what was asked. */
async function socksText(
  socksPort: number,
  command: number,
  address: Uint8Array,
  port: number,
): Promise<string> {
  let got = Buffer.alloc(0);
  let asked = false;
  await new Promise<void>((resolve, reject) => {
    Bun.connect({
      hostname: '127.0.0.1',
      port: socksPort,
      socket: {
        open: (socket) => void socket.write(GREETING),
        data: (socket, chunk) => {
          got = Buffer.concat([got, chunk]);
          if (asked || got.length < GREETING_REPLY_BYTES) return;
          asked = true;
          socket.write(Uint8Array.of(5, command, 0, ...address, port >> 8, port & 255));
        },
        close: () => resolve(),
        error: (_socket, fault) => reject(fault),
      },
    }).catch(reject);
  });
  const reply = got.subarray(GREETING_REPLY_BYTES);
  if (reply[1] !== 0) throw new Error(`SOCKS refused with ${reply[1]}`);
  const type = reply[3]!;
  const length = type === ADDRESS_IPV4 ? 4 : type === ADDRESS_IPV6 ? 16 : 1 + reply[4]!;
  if (command === SOCKS_CONNECT) return reply.subarray(4 + length + 2).toString('latin1');
  const value = reply.subarray(4, 4 + length);
  return type === ADDRESS_NAME ? value.subarray(1).toString('latin1') : printIp(value);
}
