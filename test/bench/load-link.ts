/**
 * One link of the load generator: the link protocol over a Bun TLS socket on loopback, either end of it.
 *
 * Made for cheapness on the generator's side: received cells are handed out inside the chunk that brought them, and
 * cells of a flood are written by whoever keeps the buffer (`flood.ts`). Control cells are gathered for one turn of
 * the event loop and written together.
 */
import type { Socket } from 'bun';
import { CELL_BYTES, getCircId, getCommand, VARIABLE_HEADER_BYTES } from '../../src/cell/cell.ts';
import { isVariableLength } from '../../src/cell/command.ts';
import { type HandshakeConfig, type HandshakeOutcome, LinkHandshake } from '../../src/channel/handshake.ts';
import type { LinkCredentials } from '../../src/shm/link-credentials.ts';

/** Takes what comes over a link. */
export interface LinkUser {
  /** One fixed-length cell; the bytes may be changed and are valid until this returns. */
  onCell(link: LoadLink, command: number, circId: number, bytes: Uint8Array, at: number): void;
  /** The socket may take bytes again. */
  onDrain(link: LoadLink): void;
  /** The link is gone, whoever closed it. */
  onGone(link: LoadLink): void;
}

/** What both ends put into their handshakes beside role and keys. */
export interface HandshakeNeeds {
  readonly credentials: LinkCredentials;
  readonly own: Uint8Array;
  readonly peer: Uint8Array;
}

/** One end of one link. */
export class LoadLink {
  /** Settles when NETINFO has come; rejects when the link ends before. */
  readonly opened: Promise<HandshakeOutcome>;
  gone = false;
  readonly #user: LinkUser;
  #socket: Socket<LoadLink> | null = null;
  #handshake: LinkHandshake | null = null;
  #resolve!: (outcome: HandshakeOutcome) => void;
  #reject!: (fault: unknown) => void;
  readonly #carry = new Uint8Array(CELL_BYTES);
  #carried = 0;
  #skip = 0;
  #control: Uint8Array[] = [];
  #unsent: Uint8Array | null = null;
  #flushArmed = false;

  constructor(user: LinkUser) {
    this.#user = user;
    this.opened = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Whoever awaits it sees the fault; nobody has to.
    this.opened.catch(() => {});
  }

  /** TLS is up: shake hands. */
  secure(
    socket: Socket<LoadLink>,
    role: 'initiator' | 'responder',
    needs: HandshakeNeeds,
    served: Uint8Array,
  ): void {
    this.#socket = socket;
    const config: HandshakeConfig = {
      role,
      credentials: needs.credentials,
      tls: {
        responderCertDer: served,
        exportKeyingMaterial: (label, context, length) =>
          new Uint8Array(socket.exportKeyingMaterial(length, label, Buffer.from(context))),
      },
      peerAddress: needs.peer,
      ownAddresses: role === 'initiator' ? [] : [needs.own],
      nowSec: () => Math.floor(Date.now() / 1000),
      random: (bytes) => crypto.getRandomValues(new Uint8Array(bytes)),
      // Load comes from clients, and clients do not say who they are.
      anonymous: role === 'initiator',
    };
    this.#handshake = new LinkHandshake(config);
    this.send(this.#handshake.start());
  }

  /** Take bytes from the socket. */
  take(chunk: Uint8Array): void {
    if (this.#handshake === null) {
      this.#feed(chunk);
      return;
    }
    try {
      const step = this.#handshake.receive(chunk);
      this.send(step.write);
      if (step.outcome === null) return;
      this.#handshake = null;
      this.#resolve(step.outcome);
      if (step.rest.length > 0) this.#feed(step.rest.slice());
    } catch (fault) {
      this.#reject(fault);
      this.close();
    }
  }

  /** Offer bytes to the socket at once; returns how many it took. Not while control cells wait. */
  write(bytes: Uint8Array, from: number, length: number): number {
    if (this.#socket === null || this.gone) return 0;
    return Math.max(0, this.#socket.write(bytes, from, length));
  }

  /** Send control bytes, with all others of this turn. The bytes are kept until then. */
  send(bytes: Uint8Array): void {
    if (bytes.length === 0 || this.gone) return;
    this.#control.push(bytes);
    if (this.#flushArmed) return;
    this.#flushArmed = true;
    setImmediate(() => {
      this.#flushArmed = false;
      this.#flush();
    });
  }

  drained(): void {
    this.#flush();
    if (this.#unsent === null) this.#user.onDrain(this);
  }

  ended(): void {
    if (this.gone) return;
    this.gone = true;
    this.#reject(new Error('the link ended before it was open'));
    this.#user.onGone(this);
  }

  /** Close after what the socket has taken. */
  close(): void {
    this.#flush();
    this.#socket?.end();
  }

  #flush(): void {
    if (this.#control.length > 0) {
      const parts = this.#unsent === null ? this.#control : [this.#unsent, ...this.#control];
      this.#unsent = parts.length === 1 ? parts[0]! : new Uint8Array(Buffer.concat(parts));
      this.#control = [];
    }
    const bytes = this.#unsent;
    if (bytes === null) return;
    const taken = this.write(bytes, 0, bytes.length);
    this.#unsent = taken === bytes.length ? null : bytes.subarray(taken);
  }

  #feed(chunk: Uint8Array): void {
    const end = chunk.length;
    let at = 0;
    if (this.#skip > 0) {
      at = Math.min(this.#skip, end);
      this.#skip -= at;
    }
    while (at < end) {
      if (this.#carried > 0 || end - at < CELL_BYTES) {
        at = this.#feedSplit(chunk, at);
        continue;
      }
      const command = getCommand(chunk, at);
      if (isVariableLength(command)) at = this.#skipVariable(chunk, at);
      else {
        this.#user.onCell(this, command, getCircId(chunk, at), chunk, at);
        at += CELL_BYTES;
      }
    }
  }

  /** Go on with a cell that chunks cut. Returns where the chunk goes on. */
  #feedSplit(chunk: Uint8Array, start: number): number {
    const carry = this.#carry;
    const taken = Math.min(chunk.length - start, CELL_BYTES - this.#carried);
    carry.set(chunk.subarray(start, start + taken), this.#carried);
    this.#carried += taken;
    if (this.#carried < VARIABLE_HEADER_BYTES) return start + taken;
    const command = getCommand(carry, 0);
    if (isVariableLength(command)) {
      const had = this.#carried;
      this.#carried = 0;
      const whole = VARIABLE_HEADER_BYTES + ((carry[5]! << 8) | carry[6]!);
      const next = start + taken - had + whole;
      this.#skip = Math.max(0, next - chunk.length);
      return Math.min(next, chunk.length);
    }
    if (this.#carried < CELL_BYTES) return start + taken;
    this.#carried = 0;
    this.#user.onCell(this, command, getCircId(carry, 0), carry, 0);
    return start + taken;
  }

  #skipVariable(chunk: Uint8Array, at: number): number {
    const next = at + VARIABLE_HEADER_BYTES + ((chunk[at + 5]! << 8) | chunk[at + 6]!);
    this.#skip = Math.max(0, next - chunk.length);
    return Math.min(next, chunk.length);
  }
}

const EVENTS = {
  data(socket: Socket<LoadLink>, chunk: Uint8Array): void {
    // Bun hands out a Buffer, whose `slice` copies nothing.
    socket.data.take(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length));
  },
  drain(socket: Socket<LoadLink>): void {
    socket.data.drained();
  },
  close(socket: Socket<LoadLink>): void {
    socket.data.ended();
  },
  error(): void {},
};

export const LOOPBACK = Uint8Array.of(127, 0, 0, 1);

/** Dial a relay on loopback as a client. `from`: our address, any of 127/8. */
export function dialLink(
  port: number,
  credentials: LinkCredentials,
  user: LinkUser,
  from = '127.0.0.1',
): LoadLink {
  const link = new LoadLink(user);
  const options = {
    hostname: '127.0.0.1',
    port,
    localAddress: from,
    data: link,
    tls: { rejectUnauthorized: false },
    socket: {
      ...EVENTS,
      open() {},
      handshake(socket: Socket<LoadLink>) {
        const served = socket.getPeerX509Certificate();
        if (served === undefined) socket.terminate();
        else {
          const needs = { credentials, own: LOOPBACK, peer: LOOPBACK };
          link.secure(socket, 'initiator', needs, new Uint8Array(served.raw));
        }
      },
    },
  };
  Bun.connect(options as unknown as Parameters<typeof Bun.connect<LoadLink>>[0]).catch(() => link.ended());
  return link;
}

/** Listen on loopback as a relay. `onLink` learns of every link before its first byte. */
export function listenLinks(credentials: LinkCredentials, user: LinkUser): { port: number; stop(): void } {
  const listener = Bun.listen<LoadLink>({
    hostname: '127.0.0.1',
    port: 0,
    tls: { key: credentials.tlsKeyPem, cert: credentials.tlsCertPem },
    socket: {
      ...EVENTS,
      open(socket) {
        socket.data = new LoadLink(user);
      },
      handshake(socket, success) {
        if (!success) return;
        const needs = { credentials, own: LOOPBACK, peer: LOOPBACK };
        socket.data.secure(socket, 'responder', needs, credentials.tlsCertDer);
      },
    },
  });
  return { port: listener.port, stop: () => listener.stop(true) };
}
