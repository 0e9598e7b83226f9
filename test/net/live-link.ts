/** A link handshake on a Bun TLS socket, for tests that need no more of a channel than that. */

import type { Socket } from 'bun';
import type { TlsFacts } from '../../src/channel/authenticate.ts';
import { type ExpectedPeer, type HandshakeOutcome, LinkHandshake } from '../../src/channel/handshake.ts';
import type { LinkCredentials } from '../../src/shm/link-credentials.ts';

/** Highest TLS version to offer, as TLS numbers them. */
export const TLS_1_2 = 0x0303;
export const TLS_1_3 = 0x0304;

const LOOPBACK = Uint8Array.of(127, 0, 0, 1);

/** One end of a link. */
export class LiveLink {
  /** Settles when the handshake is through; rejects when either side broke it off. */
  readonly opened: Promise<HandshakeOutcome>;
  /** What TLS negotiated, e.g. `TLSv1.3`. */
  tlsVersion = '';
  #received = new Uint8Array(0);
  #awaited: { readonly length: number; readonly resolve: () => void } | null = null;
  #socket: Socket<LiveLink> | null = null;
  #handshake: LinkHandshake | null = null;
  #unsent = new Uint8Array(0);
  #resolve!: (outcome: HandshakeOutcome) => void;
  #reject!: (fault: unknown) => void;

  constructor() {
    this.opened = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Whoever awaits `opened` sees the fault; nobody has to.
    this.opened.catch(() => {});
  }

  secure(socket: Socket<LiveLink>, handshake: LinkHandshake): void {
    this.#socket = socket;
    this.#handshake = handshake;
    this.tlsVersion = socket.getTLSVersion();
    this.send(handshake.start());
  }

  take(chunk: Uint8Array): void {
    if (this.#handshake === null) {
      this.#keep(chunk);
      return;
    }
    try {
      const step = this.#handshake.receive(chunk);
      this.send(step.write);
      if (step.outcome === null) return;
      this.#handshake = null;
      this.#keep(step.rest);
      this.#resolve(step.outcome);
    } catch (fault) {
      this.#reject(fault);
      this.#socket?.terminate();
    }
  }

  gone(why: string): void {
    this.#reject(new Error(why));
  }

  /** Send bytes, in order with those that the socket has not taken yet. */
  send(bytes: Uint8Array): void {
    this.#unsent = new Uint8Array(Buffer.concat([this.#unsent, bytes]));
    this.flush();
  }

  flush(): void {
    if (this.#socket === null || this.#unsent.length === 0) return;
    const taken = Math.max(0, this.#socket.write(this.#unsent));
    this.#unsent = this.#unsent.slice(taken);
  }

  /** Read the next `length` bytes behind the handshake. */
  async read(length: number): Promise<Uint8Array> {
    if (this.#received.length < length) {
      await new Promise<void>((resolve) => {
        this.#awaited = { length, resolve };
      });
    }
    const bytes = this.#received.slice(0, length);
    this.#received = this.#received.slice(length);
    return bytes;
  }

  close(): void {
    this.#socket?.terminate();
  }

  #keep(bytes: Uint8Array): void {
    this.#received = new Uint8Array(Buffer.concat([this.#received, bytes]));
    if (this.#awaited === null || this.#received.length < this.#awaited.length) return;
    this.#awaited.resolve();
    this.#awaited = null;
  }
}

function tlsFacts(socket: Socket<LiveLink>, responderCertDer: Uint8Array): TlsFacts {
  return {
    responderCertDer,
    exportKeyingMaterial: (label, context, length) =>
      new Uint8Array(socket.exportKeyingMaterial(length, label, Buffer.from(context))),
  };
}

const COMMON = {
  peerAddress: LOOPBACK,
  ownAddresses: [LOOPBACK],
  nowSec: () => Math.floor(Date.now() / 1000),
  random: (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes)),
} as const;

const EVENTS = {
  data(socket: Socket<LiveLink>, chunk: Uint8Array): void {
    socket.data.take(chunk);
  },
  drain(socket: Socket<LiveLink>): void {
    socket.data.flush();
  },
  close(socket: Socket<LiveLink>): void {
    socket.data.gone('the peer closed the link');
  },
  error(): void {},
};

/** An ORPort on loopback. */
export interface LiveListener {
  readonly port: number;
  /** Wait for the next link that somebody opens TLS on. */
  accept(): Promise<LiveLink>;
  stop(): void;
}

/** Listen as a relay. */
export function listenLive(credentials: LinkCredentials, maxVersion = TLS_1_3): LiveListener {
  const waiting: ((link: LiveLink) => void)[] = [];
  const links: LiveLink[] = [];
  // Bun takes `maxVersion`; its type declarations do not know it.
  const tls = { key: credentials.tlsKeyPem, cert: credentials.tlsCertPem, maxVersion };
  const listener = Bun.listen<LiveLink>({
    hostname: '127.0.0.1',
    port: 0,
    tls,
    socket: {
      ...EVENTS,
      open(socket) {
        socket.data = new LiveLink();
      },
      handshake(socket, success) {
        if (!success) return;
        const facts = tlsFacts(socket, credentials.tlsCertDer);
        const config = { ...COMMON, role: 'responder', credentials, tls: facts } as const;
        socket.data.secure(socket, new LinkHandshake(config));
        const next = waiting.shift();
        if (next === undefined) links.push(socket.data);
        else next(socket.data);
      },
    },
  });
  return {
    port: listener.port,
    accept: () =>
      new Promise((resolve) => {
        const link = links.shift();
        if (link === undefined) waiting.push(resolve);
        else resolve(link);
      }),
    stop: () => listener.stop(true),
  };
}

/** Dial a relay on loopback, from `localAddress` if one is given. */
export function dialLive(
  port: number,
  credentials: LinkCredentials,
  expected: ExpectedPeer,
  maxVersion = TLS_1_3,
  localAddress?: string,
): LiveLink {
  const link = new LiveLink();
  const config = { ...COMMON, role: 'initiator', credentials, expected } as const;
  const tls = { rejectUnauthorized: false, maxVersion };
  // Bun takes `localAddress`; its type declarations do not know it.
  const from = localAddress === undefined ? {} : { localAddress };
  Bun.connect<LiveLink>({
    ...from,
    hostname: '127.0.0.1',
    port,
    data: link,
    tls,
    socket: {
      ...EVENTS,
      open() {},
      handshake(socket) {
        // Not judged by `success`: TLS never knows these certificates.
        const served = socket.getPeerX509Certificate();
        if (served === undefined) {
          link.gone('TLS failed');
          return;
        }
        const facts = tlsFacts(socket, new Uint8Array(served.raw));
        link.secure(socket, new LinkHandshake({ ...config, tls: facts }));
      },
    },
  }).catch((fault) => link.gone(String(fault)));
  return link;
}
