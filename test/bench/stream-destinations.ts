/** Destinations of short streams, on loopback: one port for each way in which a connection may go and end. */
import { createServer, type Server, type Socket } from 'node:net';

/** What a destination that closes, resets or waits sends first, and what the endless one sends at a time. */
export const GREETING_BYTES = 2000;
const ENDLESS_BYTES = 1_000_000;
const HOST = '127.0.0.1';

const GREETING = Buffer.alloc(GREETING_BYTES, 0x67);
const ENDLESS = Buffer.alloc(ENDLESS_BYTES, 0x65);

/** What each does once it is connected to. */
const WAYS = {
  closes: (socket: Socket) => void socket.end(GREETING),
  waits: (socket: Socket) => void socket.write(GREETING),
  resets: (socket: Socket) => void socket.write(GREETING, () => socket.resetAndDestroy()),
  /** More than anyone reads. */
  endless: (socket: Socket) => void socket.write(ENDLESS),
} as const;

export type Way = keyof typeof WAYS;

/** The servers. */
export class StreamDestinations {
  /** Connections that came, and bytes that came on them. */
  accepted = 0;
  received = 0;
  readonly ports: Readonly<Record<Way, number>>;
  readonly #sockets = new Set<Socket>();
  readonly #servers: readonly Server[];

  static async start(): Promise<StreamDestinations> {
    const servers = Object.keys(WAYS).map(() => createServer({ allowHalfOpen: false }));
    await Promise.all(
      servers.map((server) => new Promise<void>((resolve) => server.listen(0, HOST, resolve))),
    );
    return new StreamDestinations(servers);
  }

  private constructor(servers: readonly Server[]) {
    this.#servers = servers;
    const ports: Partial<Record<Way, number>> = {};
    for (const [index, name] of (Object.keys(WAYS) as Way[]).entries()) {
      const server = servers[index]!;
      server.on('connection', (socket) => this.#take(socket, WAYS[name]));
      ports[name] = (server.address() as { port: number }).port;
    }
    this.ports = ports as Record<Way, number>;
  }

  #take(socket: Socket, way: (socket: Socket) => void): void {
    this.accepted++;
    this.#sockets.add(socket);
    socket.on('data', (bytes) => {
      this.received += bytes.length;
    });
    // Ends by resets are what some of them are for.
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
    way(socket);
  }

  /** Connections that are open. */
  get open(): number {
    return this.#sockets.size;
  }

  stop(): void {
    for (const socket of this.#sockets) socket.destroy();
    for (const server of this.#servers) server.close();
  }
}
