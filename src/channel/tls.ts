/**
 * The only file that touches OR sockets: accepting on a lent listening fd, dialling, and the facts of a TLS session.
 *
 * TLS is transport here: no certificate is judged by it. Each listener remembers the credentials that it serves, so
 * that a connection made before a rotation proves itself with the certificate that it was in fact served. Events go
 * to a `LinkEvents`; a socket's `data` is the link that the events belong to.
 */
import type { Socket } from 'bun';
import { type Endpoint, parseIp, unmapIp } from '../bytes/address.ts';
import { guarded } from '../fault.ts';
import { acknowledgeNow, SocketOption, setSocketOption } from '../libc.ts';
import type { LinkCredentials } from '../shm/link-credentials.ts';
import { UnsentLimit } from './unsent-limit.ts';
import type { Wire } from './wire.ts';

/** What the TLS session of a link says, once it is up. */
export interface TlsSession {
  /** DER of the certificate that the responder of this connection served. */
  readonly responderCertDer: Uint8Array;
  /** RFC 5705 keying material; the same on both sides. */
  exportKeyingMaterial(label: string, context: Uint8Array, length: number): Uint8Array;
}

/** Takes the events of one kind of link object. `L` is what the owner keeps per socket. */
export interface LinkEvents<L> {
  /** A peer connected, before any TLS byte was read. Null refuses it at no further cost. */
  onAccept(wire: Wire, remote: Endpoint, credentials: LinkCredentials): L | null;
  /** TLS is up. */
  onSecured(link: L, session: TlsSession): void;
  /** Decrypted bytes: the receiver's to keep and to change. */
  onData(link: L, chunk: Uint8Array): void;
  /** The socket takes bytes again. May come without need. */
  onDrain(link: L): void;
  /** The socket is gone. Comes once, also after our own close. */
  onGone(link: L): void;
}

/** How long a peer has to take our last bytes and to close its end. */
const LINGER_MS = 2000;

interface SocketState<L> {
  link: L | null;
  linger: ReturnType<typeof setTimeout> | null;
  readonly unsent: UnsentLimit;
  readonly credentials: LinkCredentials | null;
}

type TlsSocket<L> = Socket<SocketState<L>> & {
  exportKeyingMaterial(length: number, label: string, context: Uint8Array): Uint8Array;
};

class SocketWire<L> implements Wire {
  private readonly socket: Socket<SocketState<L>>;

  constructor(socket: Socket<SocketState<L>>) {
    this.socket = socket;
  }

  write(bytes: Uint8Array, from: number, length: number): number {
    const taken = this.socket.write(bytes, from, length);
    if (taken < length) this.socket.data.unsent.onRefused(performance.now());
    return Math.max(taken, 0);
  }

  acknowledge(): void {
    const fd = fdOf(this.socket);
    if (fd >= 0) acknowledgeNow(fd);
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  close(): void {
    // Not `end` or `close`: while bytes are unsent, or the peer does not close, they wait and go on reading, for ever
    // if need be, and not even `terminate` helps then.
    this.socket.shutdown();
    const { data } = this.socket;
    data.linger ??= setTimeout(() => this.socket.terminate(), LINGER_MS);
  }

  abort(): void {
    this.socket.terminate();
  }
}

function handlersFor<L>(events: LinkEvents<L>) {
  type S = Socket<SocketState<L>>;
  return {
    // Not a Buffer, whose `slice` would copy nothing.
    binaryType: 'uint8array' as const,
    handshake: guarded((socket: S, success: boolean): void => secured(socket, success, events)),
    data: guarded((socket: S, chunk: Uint8Array): void => {
      const { link } = socket.data;
      if (link !== null) events.onData(link, chunk);
    }),
    drain: guarded((socket: S): void => {
      const { link, unsent } = socket.data;
      if (unsent.onDrained(performance.now())) limitUnsent(socket);
      if (link !== null) events.onDrain(link);
    }),
    close: guarded((socket: S): void => {
      const { link, linger } = socket.data;
      socket.data.link = null;
      if (linger !== null) clearTimeout(linger);
      if (link !== null) events.onGone(link);
    }),
    // Faults of the peer or the network; `close` follows.
    error(): void {},
  };
}

function secured<L>(socket: Socket<SocketState<L>>, success: boolean, events: LinkEvents<L>): void {
  const { link, credentials } = socket.data;
  if (link === null) return;
  // Self-signed certificates make `success` false on the dialling side, whether or not they are to be verified.
  const served = success || isUp(socket) ? (credentials?.tlsCertDer ?? peerCertificate(socket)) : null;
  if (served === null) {
    socket.terminate();
    return;
  }
  events.onSecured(link, {
    responderCertDer: served,
    exportKeyingMaterial: (label, context, length) =>
      new Uint8Array((socket as TlsSocket<L>).exportKeyingMaterial(length, label, Buffer.from(context))),
  });
}

/** Without a session Bun names a cipher suite of nulls. */
function isUp<L>(socket: Socket<SocketState<L>>): boolean {
  const cipher = socket.getCipher() as { name: string | null } | null | undefined;
  return typeof cipher?.name === 'string';
}

function peerCertificate<L>(socket: Socket<SocketState<L>>): Uint8Array | null {
  const certificate = socket.getPeerX509Certificate();
  return certificate === undefined || certificate === null ? null : new Uint8Array(certificate.raw);
}

/** -1 when the socket is gone. Bun's type declarations do not know it. */
function fdOf(socket: object): number {
  return (socket as { readonly fd: number }).fd;
}

/** A socket that is not TCP is none the worse for a refusal. */
function limitUnsent<L>(socket: Socket<SocketState<L>>): void {
  const fd = fdOf(socket);
  if (fd >= 0)
    setSocketOption(fd, SocketOption.IPPROTO_TCP, SocketOption.TCP_NOTSENT_LOWAT, socket.data.unsent.bytes);
}

function remoteOf<L>(socket: Socket<SocketState<L>>): Endpoint | null {
  // A peer that connected and reset at once has no address any more.
  const text = socket.remoteAddress as string | undefined;
  const host = text === undefined ? null : parseIp(text);
  return host === null ? null : { host: unmapIp(host), port: socket.remotePort };
}

/** One listening socket with one generation of credentials. */
export interface Listening {
  /** Accept no more; connections live on. */
  stop(): void;
}

/**
 * Accept TLS connections on a listening fd. The fd is ours from here on. `onConnection` hears of each connection, when
 * it is taken or refused; if it stops the listener, those who wait stay in the queue of the socket.
 */
export function listenOn<L>(
  fd: number,
  credentials: LinkCredentials,
  events: LinkEvents<L>,
  onConnection: () => void = () => {},
): Listening {
  const options = {
    fd,
    tls: { key: credentials.tlsKeyPem, cert: credentials.tlsCertPem },
    data: undefined,
    socket: {
      ...handlersFor(events),
      open: guarded((socket: Socket<SocketState<L>>): void => {
        socket.data = { link: null, linger: null, unsent: new UnsentLimit(), credentials };
        limitUnsent(socket);
        const remote = remoteOf(socket);
        const link = remote === null ? null : events.onAccept(new SocketWire(socket), remote, credentials);
        if (link === null) socket.terminate();
        else socket.data.link = link;
        onConnection();
      }),
    },
  };
  // Bun takes `fd` here, its type declarations do not know it yet.
  const listener = Bun.listen(options as unknown as Parameters<typeof Bun.listen>[0]);
  return {
    stop(): void {
      listener.stop(false);
    },
  };
}

/** What a dial needs. */
export interface DialRequest<L> {
  readonly link: L;
  /** Address as text, without brackets. */
  readonly host: string;
  readonly port: number;
  /** Source address, or null for the kernel's choice. */
  readonly bind: string | null;
  /** Server name to show; C tor shows a random one. */
  readonly serverName: string;
}

/**
 * Dial a peer. `onWire` is called with the wire when TCP is up and tells whether it is still wanted; `onFailed` is
 * called instead when it never comes up. One of them is called, once, never before this
 * returns, but it can take the kernel two minutes: Bun has
 * no way to take a connection back that is not up yet, so whoever dials must bound how many hang.
 */
export function dial<L>(
  request: DialRequest<L>,
  events: LinkEvents<L>,
  onWire: (wire: Wire) => boolean,
  onFailed: () => void,
): void {
  let settled = false;
  const failed = (): void => {
    if (settled) return;
    settled = true;
    // Bun tells of a connect(2) that fails at once before it returns; nobody must hear of a dial before he has it.
    queueMicrotask(onFailed);
  };
  const options = {
    hostname: request.host,
    port: request.port,
    ...(request.bind === null ? {} : { localAddress: request.bind }),
    tls: { rejectUnauthorized: false, serverName: request.serverName, checkServerIdentity: () => undefined },
    data: { link: null, linger: null, unsent: new UnsentLimit(), credentials: null } as SocketState<L>,
    socket: {
      ...handlersFor(events),
      open: guarded((socket: Socket<SocketState<L>>): void => {
        settled = true;
        socket.data = { link: request.link, linger: null, unsent: new UnsentLimit(), credentials: null };
        limitUnsent(socket);
        if (!onWire(new SocketWire(socket))) {
          socket.data.link = null;
          socket.terminate();
        }
      }),
      connectError: guarded(failed),
    },
  };
  Bun.connect(options as unknown as Parameters<typeof Bun.connect<SocketState<L>>>[0]).catch(failed);
}
