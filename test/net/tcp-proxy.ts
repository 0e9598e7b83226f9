/** Stands between a test and a TCP server of loopback and cuts or gathers what goes to the server. */

import type { Socket } from 'bun';

/** How to treat the bytes. */
export interface ProxyOptions {
  /** Pass bytes to the server in pieces of so many, each on its own. */
  readonly pieces?: number;
  /** Pass bytes to the server only after so long a wait, all at once. */
  readonly gatherMs?: number;
  /** See what the server sends. */
  readonly onServerBytes?: (bytes: Uint8Array) => void;
}

interface Pair {
  server: Socket | null;
  waiting: Uint8Array[];
  busy: boolean;
}

/** One proxy; for peers that read what they are sent. */
export class TcpProxy {
  readonly port: number;
  readonly #listener: { stop(force: boolean): void };
  readonly #options: ProxyOptions;

  constructor(target: number, options: ProxyOptions) {
    this.#options = options;
    const listener = Bun.listen<Pair>({
      hostname: '127.0.0.1',
      port: 0,
      socket: {
        open: (client) => {
          client.data = { server: null, waiting: [], busy: false };
          void this.#connect(client, target);
        },
        data: (client, bytes) => {
          client.data.waiting.push(new Uint8Array(bytes));
          void this.#pass(client.data);
        },
        close: (client) => client.data.server?.terminate(),
        error() {},
      },
    });
    this.port = listener.port;
    this.#listener = listener;
  }

  async #connect(client: Socket<Pair>, target: number): Promise<void> {
    client.data.server = await Bun.connect({
      hostname: '127.0.0.1',
      port: target,
      socket: {
        open: (server) => {
          server.setNoDelay(true);
        },
        data: (_server, bytes) => {
          this.#options.onServerBytes?.(bytes);
          client.write(bytes);
        },
        close: () => client.terminate(),
        error() {},
      },
    });
    void this.#pass(client.data);
  }

  async #pass(pair: Pair): Promise<void> {
    if (pair.server === null || pair.busy) return;
    pair.busy = true;
    while (pair.waiting.length > 0) {
      if (this.#options.gatherMs !== undefined) await Bun.sleep(this.#options.gatherMs);
      const bytes = Buffer.concat(pair.waiting);
      pair.waiting = [];
      const step = this.#options.pieces ?? bytes.length;
      for (let at = 0; at < bytes.length; at += step) {
        pair.server.write(bytes.subarray(at, at + step));
        if (step < bytes.length) await new Promise<void>((resolve) => setImmediate(resolve));
      }
    }
    pair.busy = false;
  }

  stop(): void {
    this.#listener.stop(true);
  }
}
