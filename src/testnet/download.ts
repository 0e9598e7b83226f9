/**
 * A download as an application makes it: through the SOCKS port, by HTTP, every byte checked.
 *
 * Each has a SOCKS user name of its own, so that each goes through a circuit of its own.
 */
import type { Socket } from 'bun';
import { PayloadCheck } from './payload.ts';

const HEAD_BYTES_MAX = 4096;
const GREETING = Uint8Array.of(5, 1, 2);
const GREETING_REPLY_BYTES = 2;
const LOGIN_REPLY_BYTES = 2;
const CONNECT_REPLY_BYTES = 10;
/** Without a byte for so long it is given up. */
const STALL_SEC = 20;

/** Where to download from, through what. */
export interface DownloadPlan {
  readonly host: string;
  readonly socksPort: number;
  readonly serverPort: number;
  readonly bytes: number;
  /** Keeps it apart from others. */
  readonly name: string;
}

type Stage = 'greeting' | 'login' | 'connect' | 'head' | 'body' | 'over';

/** One download. */
export class Download {
  readonly plan: DownloadPlan;
  /** Settles when it is over: null when all went well, else why not. */
  readonly ended: Promise<string | null>;
  private readonly check = new PayloadCheck();
  private readonly settle: (why: string | null) => void;
  private stage: Stage = 'greeting';
  private waiting: Uint8Array = new Uint8Array(0);
  private socket: Socket<undefined> | null = null;

  constructor(plan: DownloadPlan) {
    this.plan = plan;
    const { promise, resolve } = Promise.withResolvers<string | null>();
    this.ended = promise;
    this.settle = resolve;
    void this.start();
  }

  /** Payload that has come and was right. */
  get received(): number {
    return this.check.received;
  }

  /** Give it up. */
  abort(): void {
    this.finish('given up');
  }

  private async start(): Promise<void> {
    try {
      this.socket = await Bun.connect<undefined>({
        hostname: this.plan.host,
        port: this.plan.socksPort,
        socket: {
          open: (socket) => {
            socket.timeout(STALL_SEC);
            socket.write(GREETING);
          },
          data: (socket, chunk) => {
            socket.timeout(STALL_SEC);
            this.take(socket, chunk);
          },
          timeout: () => this.finish(`nothing came for ${STALL_SEC} s`),
          close: () => this.finish('the connection ended early'),
          error: (_socket, error) => this.finish(error.message),
        },
      });
      if (this.stage === 'over') this.socket.terminate();
    } catch (error) {
      this.finish(error instanceof Error ? error.message : String(error));
    }
  }

  private finish(why: string | null): void {
    if (this.stage === 'over') return;
    this.stage = 'over';
    this.socket?.terminate();
    this.settle(why);
  }

  private take(socket: Socket<undefined>, chunk: Uint8Array): void {
    if (this.stage === 'body') {
      this.takeBody(chunk);
      return;
    }
    this.waiting = Buffer.concat([this.waiting, chunk]);
    while (this.step(socket));
  }

  /** Go one stage further, if what it takes has come. */
  private step(socket: Socket<undefined>): boolean {
    const { waiting, plan } = this;
    switch (this.stage) {
      case 'greeting': {
        if (waiting.length < GREETING_REPLY_BYTES) return false;
        const name = Buffer.from(plan.name, 'latin1');
        socket.write(Buffer.concat([Uint8Array.of(1, name.length), name, Uint8Array.of(1, 0x78)]));
        return this.next('login', GREETING_REPLY_BYTES);
      }
      case 'login': {
        if (waiting.length < LOGIN_REPLY_BYTES) return false;
        const host = plan.host.split('.').map(Number);
        socket.write(Uint8Array.of(5, 1, 0, 1, ...host, plan.serverPort >> 8, plan.serverPort & 0xff));
        return this.next('connect', LOGIN_REPLY_BYTES);
      }
      case 'connect':
        if (waiting.length < CONNECT_REPLY_BYTES) return false;
        if (waiting[1] !== 0) {
          this.finish(`no connection through the network (SOCKS reply ${waiting[1]})`);
          return false;
        }
        socket.write(`GET /${plan.bytes} HTTP/1.1\r\nHost: ${plan.host}\r\n\r\n`);
        return this.next('head', CONNECT_REPLY_BYTES);
      case 'head':
        this.readHead();
        return false;
      default:
        return false;
    }
  }

  private next(stage: Stage, used: number): boolean {
    this.stage = stage;
    this.waiting = this.waiting.subarray(used);
    return true;
  }

  private readHead(): void {
    const head = Buffer.from(this.waiting);
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) {
      if (head.length > HEAD_BYTES_MAX) this.finish('the answer has no end of its head');
    } else if (head.toString('latin1', 0, end).startsWith('HTTP/1.1 200 ')) {
      this.stage = 'body';
      this.waiting = new Uint8Array(0);
      this.takeBody(head.subarray(end + 4));
    } else {
      this.finish('the server refused');
    }
  }

  private takeBody(bytes: Uint8Array): void {
    if (!this.check.take(bytes)) this.finish(`wrong byte behind ${this.check.received}`);
    else if (this.check.received > this.plan.bytes) this.finish('more bytes than were asked for');
    else if (this.check.received === this.plan.bytes) this.finish(null);
  }
}
