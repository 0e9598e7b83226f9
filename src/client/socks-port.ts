/** The SOCKS port of a client: accepts applications on loopback and hands their bytes to `socks-connection`. */
import type { Socket, TCPSocketListener } from 'bun';
import { isLoopback, parseIp } from '../bytes/address.ts';
import { assert } from '../fault.ts';
import { type CircuitSource, SocksConnection, type SocksWire } from './socks-connection.ts';

const CONNECTIONS_MAX = 2048;
/** How long an application has to close its side of a connection that is over. */
const LINGER_SEC = 5;

interface SocketState {
  connection: SocksConnection | null;
}

/** Listens until it is stopped. */
export class SocksPort {
  readonly port: number;
  private readonly listener: TCPSocketListener<SocketState>;
  private readonly sockets = new Set<Socket<SocketState>>();

  /**
   * @param host - a loopback address
   * @param port - 0: any
   * @param beginTurn - called before anything is done with circuits
   */
  constructor(host: string, port: number, circuits: CircuitSource, beginTurn: () => void) {
    const address = parseIp(host);
    assert(address !== null && isLoopback(address), 'a test network listens on loopback only');
    this.listener = Bun.listen<SocketState>({
      hostname: host,
      port,
      exclusive: true,
      allowHalfOpen: true,
      socket: {
        open: (socket) => {
          socket.data = { connection: null };
          if (this.sockets.size >= CONNECTIONS_MAX) {
            socket.terminate();
            return;
          }
          this.sockets.add(socket);
          socket.data.connection = new SocksConnection(wireOf(socket), circuits);
        },
        data: (socket, bytes) => {
          beginTurn();
          socket.data.connection?.onBytes(bytes);
        },
        drain: (socket) => {
          beginTurn();
          socket.data.connection?.onDrain();
        },
        end: (socket) => {
          beginTurn();
          socket.data.connection?.onFinished();
        },
        close: (socket) => {
          beginTurn();
          this.sockets.delete(socket);
          socket.data.connection?.onGone();
        },
        timeout: (socket) => void socket.terminate(),
        error: (socket) => void socket.terminate(),
      },
    });
    this.port = this.listener.port;
  }

  /** Close the port and all connections. */
  stop(): void {
    this.listener.stop(true);
    for (const socket of this.sockets) socket.terminate();
  }
}

function wireOf(socket: Socket<SocketState>): SocksWire {
  return {
    write: (bytes) => socket.write(bytes),
    end: () => {
      socket.end();
      socket.timeout(LINGER_SEC);
    },
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
  };
}
