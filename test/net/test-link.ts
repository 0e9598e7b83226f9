/** A link of the test's own, either end of it: link protocol, queues of cells by circuit. */

import type { Socket } from 'bun';
import { parseIp } from '../../src/bytes/address.ts';
import { BODY_AT, CELL_BYTES, getCircId, getCommand, VARIABLE_HEADER_BYTES } from '../../src/cell/cell.ts';
import { commandName, isVariableLength } from '../../src/cell/command.ts';
import { type ExpectedPeer, type HandshakeOutcome, LinkHandshake } from '../../src/channel/handshake.ts';
import type { LinkCredentials } from '../../src/shm/link-credentials.ts';

const DEADLINE_MS = 60_000;

/** A cell that came in; the body is a copy. */
export interface TestCell {
  readonly command: number;
  readonly circId: number;
  readonly body: Uint8Array;
}

/** How to dial. */
export interface DialOptions {
  readonly port: number;
  readonly host?: string;
  /** Our own address: any of 127/8. */
  readonly from?: string;
  /** Who we are; required for `authenticate`. */
  readonly credentials: LinkCredentials;
  /** Say who we are, as a relay; else we are a client. */
  readonly authenticate?: boolean;
  readonly linkProtocols?: readonly number[];
  readonly expected?: ExpectedPeer;
  /** More for Bun's `tls`. */
  readonly tls?: Record<string, unknown>;
  /** With TLS up, wait for this before the first cell. */
  readonly hold?: Promise<void>;
}

interface Waiter {
  readonly resolve: (cell: TestCell) => void;
  readonly reject: (fault: Error) => void;
}

/** One end of one link. */
export class TestLink {
  /** Settles when NETINFO came; rejects when the link ended before. */
  readonly opened: Promise<HandshakeOutcome>;
  /** Settles when TLS is up. */
  readonly secured: Promise<void>;
  /** Settles when the socket is gone. */
  readonly closed: Promise<void>;
  isClosed = false;
  readonly initiated: boolean;
  /** DER of the certificate that the responder served. */
  servedCertDer: Uint8Array = new Uint8Array(0);
  tlsVersion = '';
  /** Takes cells before the queues do; true: taken. */
  onCell: (cell: TestCell) => boolean = () => false;
  readonly #queues = new Map<number, TestCell[]>();
  readonly #waiters = new Map<number, Waiter[]>();
  socket: Socket<TestLink> | null = null;
  #handshake: LinkHandshake | null = null;
  #received: Uint8Array = new Uint8Array(0);
  #unsent: Uint8Array = new Uint8Array(0);
  #resolveOpened!: (outcome: HandshakeOutcome) => void;
  #rejectOpened!: (fault: unknown) => void;
  #resolveSecured!: () => void;
  #resolveClosed!: () => void;

  constructor(initiated: boolean) {
    this.initiated = initiated;
    this.opened = new Promise((resolve, reject) => {
      this.#resolveOpened = resolve;
      this.#rejectOpened = reject;
    });
    // Whoever awaits it sees the fault; nobody has to.
    this.opened.catch(() => {});
    this.secured = new Promise((resolve) => {
      this.#resolveSecured = resolve;
    });
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  /** TLS is up: begin, at once or after `hold`. */
  secure(socket: Socket<TestLink>, handshake: LinkHandshake, hold?: Promise<void>): void {
    this.socket = socket;
    this.tlsVersion = socket.getTLSVersion();
    this.#resolveSecured();
    const begin = (): void => {
      this.#handshake = handshake;
      this.send(handshake.start());
    };
    if (hold === undefined) begin();
    else void hold.then(begin);
  }

  take(chunk: Uint8Array): void {
    if (this.#handshake === null) {
      this.#feed(chunk);
      return;
    }
    try {
      const step = this.#handshake.receive(chunk.slice());
      this.send(step.write);
      if (step.outcome === null) return;
      this.#handshake = null;
      this.#resolveOpened(step.outcome);
      this.#feed(step.rest);
    } catch (fault) {
      this.#rejectOpened(fault);
      this.close();
    }
  }

  #feed(chunk: Uint8Array): void {
    let bytes: Uint8Array = this.#received.length === 0 ? chunk.slice() : join(this.#received, chunk);
    let at = 0;
    while (bytes.length - at >= VARIABLE_HEADER_BYTES) {
      const command = getCommand(bytes, at);
      const variable = isVariableLength(command);
      const length = variable ? VARIABLE_HEADER_BYTES + ((bytes[at + 5]! << 8) | bytes[at + 6]!) : CELL_BYTES;
      if (bytes.length - at < length) break;
      const body = bytes.subarray(at + (variable ? VARIABLE_HEADER_BYTES : BODY_AT), at + length);
      this.#dispatch({ command, circId: getCircId(bytes, at), body });
      at += length;
    }
    bytes = bytes.subarray(at);
    this.#received = bytes;
  }

  #dispatch(cell: TestCell): void {
    if (this.onCell(cell)) return;
    const waiter = this.#waiters.get(cell.circId)?.shift();
    if (waiter !== undefined) {
      waiter.resolve(cell);
      return;
    }
    const queue = this.#queues.get(cell.circId);
    if (queue === undefined) this.#queues.set(cell.circId, [cell]);
    else queue.push(cell);
  }

  /** Cells of a circuit that came and were not asked for yet. */
  pending(circId: number): number {
    return this.#queues.get(circId)?.length ?? 0;
  }

  /** The next cell of a circuit. @throws Error when the link ends or nothing comes */
  next(circId: number, deadlineMs = DEADLINE_MS): Promise<TestCell> {
    const queued = this.#queues.get(circId)?.shift();
    if (queued !== undefined) return Promise.resolve(queued);
    if (this.isClosed) return Promise.reject(new Error('the link is closed'));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const waiters = this.#waiters.get(circId)!;
        waiters.splice(waiters.indexOf(waiter), 1);
        reject(new Error(`no cell for circuit ${circId.toString(16)} in ${deadlineMs} ms`));
      }, deadlineMs);
      const waiter: Waiter = {
        resolve: (cell) => {
          clearTimeout(timer);
          resolve(cell);
        },
        reject: (fault) => {
          clearTimeout(timer);
          reject(fault);
        },
      };
      const waiters = this.#waiters.get(circId);
      if (waiters === undefined) this.#waiters.set(circId, [waiter]);
      else waiters.push(waiter);
    });
  }

  /** The next cell of a circuit, which must have this command. */
  async expect(circId: number, command: number): Promise<Uint8Array> {
    const cell = await this.next(circId);
    if (cell.command === command) return cell.body;
    throw new Error(`${commandName(cell.command)} (${cell.body[0]}) came instead of ${commandName(command)}`);
  }

  /** Send bytes behind all others. */
  send(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#unsent = this.#unsent.length === 0 ? bytes.slice() : join(this.#unsent, bytes);
    this.flush();
  }

  flush(): void {
    if (this.socket === null || this.isClosed || this.#unsent.length === 0) return;
    const taken = Math.max(0, this.socket.write(this.#unsent));
    this.#unsent = this.#unsent.subarray(taken);
  }

  /** The socket is gone. */
  ended(why: string): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#rejectOpened(new Error(why));
    for (const waiters of this.#waiters.values()) {
      for (const waiter of waiters) waiter.reject(new Error(why));
    }
    this.#waiters.clear();
    this.#resolveClosed();
  }

  close(): void {
    if (this.socket === null) this.ended('closed');
    else this.socket.terminate();
  }
}

function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}

const EVENTS = {
  data(socket: Socket<TestLink>, chunk: Uint8Array): void {
    socket.data.take(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length));
  },
  drain(socket: Socket<TestLink>): void {
    socket.data.flush();
  },
  close(socket: Socket<TestLink>): void {
    socket.data.ended('the peer closed the link');
  },
  error(_socket: Socket<TestLink>, error: Error): void {
    if (!('code' in error)) console.error(error);
  },
};

const SHARED = {
  nowSec: () => Math.floor(Date.now() / 1000),
  random: (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes)),
} as const;

function exporter(socket: Socket<TestLink>) {
  return (label: string, context: Uint8Array, length: number) =>
    new Uint8Array(socket.exportKeyingMaterial(length, label, Buffer.from(context)));
}

/** Dial a relay. */
export function dialTestLink(options: DialOptions): TestLink {
  const link = new TestLink(true);
  const host = options.host ?? '127.0.0.1';
  const settings = {
    hostname: host,
    port: options.port,
    ...(options.from === undefined ? {} : { localAddress: options.from }),
    data: link,
    tls: { rejectUnauthorized: false, ...options.tls },
    socket: {
      ...EVENTS,
      open(socket: Socket<TestLink>) {
        link.socket = socket;
      },
      handshake(socket: Socket<TestLink>) {
        // Not judged by `success`: TLS never knows these certificates.
        const served = socket.getPeerX509Certificate();
        if (served === undefined) {
          socket.terminate();
          return;
        }
        link.servedCertDer = new Uint8Array(served.raw);
        const handshake = new LinkHandshake({
          ...SHARED,
          role: 'initiator',
          credentials: options.credentials,
          tls: { responderCertDer: link.servedCertDer, exportKeyingMaterial: exporter(socket) },
          peerAddress: parseIp(host)!,
          ownAddresses: [parseIp(options.from ?? (host.includes(':') ? '::1' : '127.0.0.1'))!],
          anonymous: options.authenticate !== true,
          ...(options.linkProtocols === undefined ? {} : { linkProtocols: options.linkProtocols }),
          ...(options.expected === undefined ? {} : { expected: options.expected }),
        });
        link.secure(socket, handshake, options.hold);
      },
    },
  };
  Bun.connect(settings as unknown as Parameters<typeof Bun.connect<TestLink>>[0]).catch((fault) =>
    link.ended(String(fault)),
  );
  return link;
}

/** Listen as a relay. `onLink` gets every link when its TLS is up. */
export function listenTestLinks(
  credentials: LinkCredentials,
  onLink: (link: TestLink) => void,
  host = '127.0.0.1',
): { readonly port: number; stop(): void } {
  const links = new Set<TestLink>();
  const listener = Bun.listen<TestLink>({
    hostname: host,
    port: 0,
    tls: { key: credentials.tlsKeyPem, cert: credentials.tlsCertPem },
    socket: {
      ...EVENTS,
      open(socket) {
        socket.data = new TestLink(false);
        links.add(socket.data);
      },
      handshake(socket, success) {
        if (!success) return;
        const handshake = new LinkHandshake({
          ...SHARED,
          role: 'responder',
          credentials,
          tls: { responderCertDer: credentials.tlsCertDer, exportKeyingMaterial: exporter(socket) },
          peerAddress: parseIp(socket.remoteAddress)!,
          ownAddresses: [parseIp(host)!],
        });
        onLink(socket.data);
        socket.data.secure(socket, handshake);
      },
    },
  });
  return { port: listener.port, stop: () => listener.stop(true) };
}
