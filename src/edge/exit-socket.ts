/**
 * The only file that touches sockets to destinations: connecting, and handing on what happens.
 *
 * One handler object serves all sockets of a worker; a socket's `data` is the stream it belongs to. A socket is closed
 * by `end`, which leaves the kernel to send what it took; there is nothing to wait for.
 */
import type { Socket } from 'bun';
import { guarded } from '../fault.ts';

/** A connection to a destination, as streams see it. */
export interface ExitSocket {
  /** Returns how many of `length` bytes were taken; the rest is offered again after `onDrain`. */
  write(bytes: Uint8Array, from: number, length: number): number;
  pause(): void;
  resume(): void;
  /** Close it; what was taken is still sent. Nothing is heard of it any more. */
  end(): void;
}

/** Hears of one connection. */
export interface ExitSocketEvents {
  /** It is there. False: it is not wanted any more. */
  onConnected(socket: ExitSocket): boolean;
  /** It could not be made; `code` is the system's name of the error. Instead of `onConnected`. */
  onConnectFailed(code: string): void;
  /** Bytes, the receiver's to keep. */
  onData(chunk: Uint8Array): void;
  onDrain(): void;
  /** The destination sends no more. */
  onFinished(): void;
  /** It is gone; `code` of what broke it, null if nothing did. */
  onClosed(code: string | null): void;
}

/** What is to be connected to. */
export interface ConnectRequest {
  /** Address as text, without brackets. */
  readonly host: string;
  readonly port: number;
  /** Source address, or null for the kernel's choice. */
  readonly bind: string | null;
}

/** Connects: tells `events` later, never within the call. It cannot be taken back; it can take the kernel minutes. */
export type Connect = (request: ConnectRequest, events: ExitSocketEvents) => void;

interface State {
  events: ExitSocketEvents | null;
  readonly request: ConnectRequest;
}

type BunSocket = Socket<State>;

class TcpSocket implements ExitSocket {
  private readonly socket: BunSocket;

  constructor(socket: BunSocket) {
    this.socket = socket;
  }

  write(bytes: Uint8Array, from: number, length: number): number {
    return Math.max(0, this.socket.write(bytes, from, length));
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  end(): void {
    this.socket.data.events = null;
    this.socket.end();
  }
}

function codeOf(error: unknown): string {
  return String((error as { code?: unknown } | null | undefined)?.code ?? '');
}

/**
 * What a connection really failed of. Bun says ECONNREFUSED also where there is no way to the destination; a datagram
 * socket, which sends nothing, is told the truth. It matters to clients: they try another exit only for the latter.
 */
async function failureOf(request: ConnectRequest, code: string): Promise<string> {
  if (code !== 'ECONNREFUSED') return code;
  const { host, port, bind } = request;
  try {
    const probe = await Bun.udpSocket({
      connect: { hostname: host, port },
      ...(bind === null ? {} : { hostname: bind }),
    });
    probe.close();
    return code;
  } catch (error) {
    return codeOf(error);
  }
}

/** Make what connects. `beginBatch` is told before each event. */
export function createConnect(beginBatch: () => void): Connect {
  const onFailed = (state: State, error: unknown): void => {
    const { events, request } = state;
    state.events = null;
    if (events === null) return;
    // Later: Bun tells of a connect(2) that fails at once before it returns.
    void failureOf(request, codeOf(error)).then((code) => {
      beginBatch();
      events.onConnectFailed(code);
    });
  };
  const handlers = {
    // Not a Buffer, whose views are slower to make.
    binaryType: 'uint8array' as const,
    open: guarded((socket: BunSocket): void => {
      const { events } = socket.data;
      beginBatch();
      if (events === null || events.onConnected(new TcpSocket(socket))) return;
      socket.data.events = null;
      socket.end();
    }),
    data: guarded((socket: BunSocket, chunk: Uint8Array): void => {
      const { events } = socket.data;
      if (events === null) return;
      beginBatch();
      events.onData(chunk);
    }),
    drain: guarded((socket: BunSocket): void => {
      if (socket.data.events === null) return;
      beginBatch();
      socket.data.events.onDrain();
    }),
    end: guarded((socket: BunSocket): void => {
      if (socket.data.events === null) return;
      beginBatch();
      socket.data.events.onFinished();
    }),
    close: guarded((socket: BunSocket, error: unknown): void => {
      const { events } = socket.data;
      socket.data.events = null;
      if (events === null) return;
      beginBatch();
      events.onClosed(error === undefined || error === null ? null : codeOf(error));
    }),
    connectError: guarded((socket: BunSocket, error: unknown): void => onFailed(socket.data, error)),
    // `close` follows.
    error(): void {},
  };
  return (request, events) => {
    const data: State = { events, request };
    const options = {
      hostname: request.host,
      port: request.port,
      ...(request.bind === null ? {} : { localAddress: request.bind }),
      allowHalfOpen: true,
      data,
      socket: handlers,
    };
    const connecting = Bun.connect(options as unknown as Parameters<typeof Bun.connect<State>>[0]);
    connecting.catch((error: unknown) => onFailed(data, error));
  };
}
