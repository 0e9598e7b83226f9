/**
 * An address that takes no connection and refuses none: a socket of loopback that listens, accepts nothing, and has
 * its queue full. The kernel drops what comes, as a firewall would.
 */

import { parseIp, printIp } from '../../src/bytes/address.ts';
import { closeFd, isFault, listenTcp } from '../../src/libc.ts';

const PROBE_MS = 1000;

/** One black hole, on 127.0.0.66. */
export class BlackHole {
  readonly host: Uint8Array = parseIp('127.0.0.66')!;
  readonly port: number;
  readonly #fd: number;
  readonly #stuffing: Bun.Socket[] = [];

  /** @throws Error when the kernel goes on taking connections */
  static async open(): Promise<BlackHole> {
    const hole = new BlackHole();
    for (let tries = 0; tries < 8; tries++) {
      if (!(await hole.#connects())) return hole;
    }
    throw new Error('the queue of a listening socket never gets full');
  }

  private constructor() {
    const made = listenTcp({ host: this.host, port: 0, reusePort: false, v6only: true, backlog: 0 });
    if (isFault(made)) throw new Error(made.text);
    this.#fd = made.fd;
    this.port = made.port;
  }

  async #connects(): Promise<boolean> {
    let up = false;
    const connected = Bun.connect({
      hostname: printIp(this.host),
      port: this.port,
      socket: {
        data() {},
        open: (socket) => {
          up = true;
          this.#stuffing.push(socket);
        },
      },
    });
    connected.catch(() => {});
    await Promise.race([connected, Bun.sleep(PROBE_MS)]);
    return up;
  }

  stop(): void {
    for (const socket of this.#stuffing) socket.terminate();
    closeFd(this.#fd);
  }
}
