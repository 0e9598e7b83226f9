/**
 * One link of the load generator: the link protocol over a Bun TLS socket on loopback, either end of it.
 *
 * Made for cheapness on the generator's side: received cells are handed out inside the chunk that brought them, and
 * cells of a flood are written by whoever keeps the buffer (`flood.ts`). Control cells are gathered for one turn of
 * the event loop and written together.
 */
import type { Socket } from 'bun';
import { isLoopback, parseIp } from '../bytes/address.ts';
import { joinAll } from '../bytes/join.ts';
import { CELL_BYTES, getCircId, getCommand, VARIABLE_HEADER_BYTES } from '../cell/cell.ts';
import { isVariableLength } from '../cell/command.ts';
import { type HandshakeConfig, type HandshakeOutcome, LinkHandshake } from '../channel/handshake.ts';
import { OperatorError } from '../fault.ts';
import type { LinkCredentials } from '../shm/link-credentials.ts';

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
  /** As initiator, say who we are. */
  readonly authenticates?: boolean;
}

/** One end of one link. */
export class LoadLink {
  /** Settles when NETINFO has come; rejects when the link ends before. */
  readonly opened: Promise<HandshakeOutcome>;
  gone = false;
  readonly #user: LinkUser;
  readonly #where: string;
  #socket: Socket<LoadLink> | null = null;
  #handshake: LinkHandshake | null = null;
  #resolve!: (outcome: HandshakeOutcome) => void;
  #reject!: (fault: unknown) => void;
  /** Made when a chunk first cuts a cell: most of many thousand idle links never need one. */
  #carry: Uint8Array | null = null;
  #carried = 0;
  #skip = 0;
  #control: Uint8Array[] = [];
  #unsent: Uint8Array | null = null;
  #flushArmed = false;

  /** @param where the other end, for error messages */
  constructor(user: LinkUser, where = 'a next hop of the load') {
    this.#user = user;
    this.#where = where;
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
      // Most load comes from clients, and clients do not say who they are.
      anonymous: role === 'initiator' && needs.authenticates !== true,
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
    this.#reject(
      new OperatorError(
        'the connection ended before the link was open',
        this.#where,
        'see what the relay under test logs',
      ),
    );
    this.#user.onGone(this);
  }

  /** Our end's port, 0 before it is connected. */
  get localPort(): number {
    return this.#socket?.localPort ?? 0;
  }

  /** It could not even be dialled. */
  failed(why: string, where: string, hint: string): void {
    this.#reject(new OperatorError(why, where, hint));
    this.ended();
  }

  /** Close after what the socket has taken. */
  close(): void {
    this.#flush();
    this.#socket?.end();
  }

  #flush(): void {
    if (this.#control.length > 0) {
      const parts = this.#unsent === null ? this.#control : [this.#unsent, ...this.#control];
      this.#unsent = parts.length === 1 ? parts[0]! : joinAll(parts);
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
    this.#carry ??= new Uint8Array(CELL_BYTES);
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

/** Where a link goes from and to; both ends are on loopback. */
export interface LinkRoute {
  readonly host: string;
  readonly port: number;
  /** Our address, any of 127/8; 127.0.0.1 by default. */
  readonly from?: string;
  /** Our port; 0 or nothing: the kernel chooses. */
  readonly fromPort?: number;
  /** Say who we are, as relays do; clients do not. */
  readonly authenticates?: boolean;
}

/** Dial a relay on loopback as a client. @throws OperatorError when `host` is not of 127/8 */
export function dialLink(route: LinkRoute, credentials: LinkCredentials, user: LinkUser): LoadLink {
  const { host, port, from = '127.0.0.1', fromPort = 0, authenticates = false } = route;
  const where = `${host}:${port}`;
  const peer = requireLoopback(host, where);
  const link = new LoadLink(user, where);
  const options = {
    hostname: host,
    port,
    localAddress: from,
    ...(fromPort === 0 ? {} : { localPort: fromPort }),
    data: link,
    tls: { rejectUnauthorized: false },
    socket: {
      ...EVENTS,
      open() {},
      handshake(socket: Socket<LoadLink>) {
        const served = socket.getPeerX509Certificate();
        if (served === undefined) socket.terminate();
        else {
          const needs = { credentials, own: LOOPBACK, peer, authenticates };
          link.secure(socket, 'initiator', needs, new Uint8Array(served.raw));
        }
      },
    },
  };
  Bun.connect(options as unknown as Parameters<typeof Bun.connect<LoadLink>>[0]).catch((error: unknown) => {
    const why = error instanceof Error ? error.message : String(error);
    link.failed(`no connection from ${from}:${fromPort} (${why})`, where, 'is the relay up, the port free?');
  });
  return link;
}

/** Make sure that an address is of 127/8, and decode it. @throws OperatorError */
export function requireLoopback(host: string, where: string): Uint8Array {
  const address = parseIp(host);
  if (address !== null && address.length === 4 && isLoopback(address)) return address;
  throw new OperatorError(
    'a load is for relays on this machine only',
    where,
    'name a relay that listens on 127.0.0.0/8',
  );
}

/** Listen on loopback as a relay. */
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
