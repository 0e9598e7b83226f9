/** Stands between a test and a relay of loopback as a slow network does: what the relay sends passes at a bounded rate. */

import type { Socket } from 'bun';
import { SocketOption, setSocketOption } from '../../src/libc.ts';

/** Bytes that the path holds before it takes no more: what a short network has under way. */
const HELD_BYTES = 32 * 1024;
/** Shorter waits than this are not worth a timer. */
const LEAST_WAIT_MS = 2;

interface Pair {
  server: Socket | null;
  /** To the server, before it is connected. */
  waiting: Uint8Array[];
  /** To the client, that its socket did not take. */
  unsent: Uint8Array[];
  /** When the bytes that came so far are through. */
  throughMs: number;
}

/** One such path; what goes towards the relay passes at once. */
export class SlowPath {
  readonly port: number;
  readonly #listener: { stop(force: boolean): void };
  readonly #bytesPerMs: number;

  constructor(target: number, bytesPerSec: number) {
    this.#bytesPerMs = bytesPerSec / 1000;
    const listener = Bun.listen<Pair>({
      hostname: '127.0.0.1',
      port: 0,
      socket: {
        open: (client) => {
          client.setNoDelay(true);
          client.data = { server: null, waiting: [], unsent: [], throughMs: 0 };
          void this.#connect(client, target);
        },
        data: (client, bytes) => {
          const { server, waiting } = client.data;
          if (server === null) waiting.push(new Uint8Array(bytes));
          // Requests are few and short: their socket is never full.
          else server.write(bytes);
        },
        drain: (client) => this.#flush(client),
        close: (client) => client.data.server?.terminate(),
        error() {},
      },
    });
    this.port = listener.port;
    this.#listener = listener;
  }

  async #connect(client: Socket<Pair>, target: number): Promise<void> {
    const { data } = client;
    data.server = await Bun.connect({
      hostname: '127.0.0.1',
      port: target,
      socket: {
        open: (server) => {
          server.setNoDelay(true);
          const { fd } = server as unknown as { readonly fd: number };
          setSocketOption(fd, SocketOption.SOL_SOCKET, SocketOption.SO_RCVBUF, HELD_BYTES);
        },
        data: (server, bytes) => {
          data.unsent.push(new Uint8Array(bytes));
          this.#flush(client);
          this.#hold(server, data, bytes.length);
        },
        close: () => client.terminate(),
        error() {},
      },
    });
    for (const bytes of data.waiting.splice(0)) data.server.write(bytes);
  }

  #flush(client: Socket<Pair>): void {
    const { unsent } = client.data;
    while (unsent.length > 0) {
      const head = unsent[0]!;
      const taken = Math.max(0, client.write(head));
      if (taken < head.length) {
        unsent[0] = head.subarray(taken);
        return;
      }
      unsent.shift();
    }
  }

  /** Read no more until what came has had its time. */
  #hold(server: Socket, data: Pair, bytes: number): void {
    const nowMs = performance.now();
    data.throughMs = Math.max(nowMs, data.throughMs) + bytes / this.#bytesPerMs;
    const waitMs = data.throughMs - nowMs;
    if (waitMs < LEAST_WAIT_MS) return;
    server.pause();
    setTimeout(() => server.resume(), waitMs);
  }

  stop(): void {
    this.#listener.stop(true);
  }
}
