/** A directory authority's DirPort on loopback that answers as a test tells it, byte by byte where need be. */

import { createServer, type Socket } from 'node:net';
import type { Endpoint } from '../../src/bytes/address.ts';

/** One request, as it came over the wire. */
export interface SeenRequest {
  readonly line: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export type Answer = (request: SeenRequest, socket: Socket) => void;

export class FakeAuthority {
  readonly requests: SeenRequest[] = [];
  answer: Answer;
  endpoint: Endpoint = { host: new Uint8Array([127, 0, 0, 1]), port: 0 };
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((socket) => this.#accept(socket));

  constructor(answer: Answer) {
    this.answer = answer;
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    this.endpoint = { host: new Uint8Array([127, 0, 0, 1]), port: address.port };
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    let text = '';
    let done = false;
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('data', (chunk: Uint8Array) => {
      text += Buffer.from(chunk).toString('latin1');
      const request = done ? null : parseRequest(text);
      if (request === null) return;
      done = true;
      this.requests.push(request);
      this.answer(request, socket);
    });
  }
}

function parseRequest(text: string): SeenRequest | null {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return null;
  const [line = '', ...lines] = text.slice(0, end).split('\r\n');
  const headers: Record<string, string> = {};
  for (const header of lines) {
    const colon = header.indexOf(':');
    headers[header.slice(0, colon).toLowerCase()] = header.slice(colon + 1).trim();
  }
  const body = text.slice(end + 4);
  if (body.length < Number(headers['content-length'] ?? '0')) return null;
  return { line, path: line.split(' ')[1] ?? '', headers, body };
}

/** Print a reply as C tor does: HTTP/1.0, the end of the connection ends the body. */
export function reply(
  status: string,
  body: string | Uint8Array = '',
  headers: Record<string, string> = {},
): Uint8Array {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const head = Buffer.from(`HTTP/1.0 ${status}\r\n${lines.join('')}\r\n`, 'latin1');
  return Buffer.concat([head, typeof body === 'string' ? Buffer.from(body) : body]);
}
