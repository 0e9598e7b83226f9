/** A small nameserver on loopback for tests: UDP and TCP on one port, answers by a function. */
import { parseAnswer } from '../../src/dns/message.ts';
import { answerBytes, type TestReply } from './answers.ts';

/** What it was asked. */
export interface Asked {
  /** As it was spelled. */
  readonly name: string;
  readonly type: number;
  readonly id: number;
  readonly over: 'udp' | 'tcp';
  /** The asker's port. */
  readonly port: number;
}

/** Answers a question: with a reply, with bytes of any kind, or with silence. */
export type Answerer = (asked: Asked) => TestReply | Uint8Array | null;

export class TestNameserver {
  readonly port: number;
  readonly asked: Asked[] = [];
  answer: Answerer;
  private readonly udp: Bun.udp.Socket<'buffer'>;
  private readonly tcp: Bun.TCPSocketListener;

  /** Start one, on this port if it is given. */
  static async start(answer: Answerer, port = 0): Promise<TestNameserver> {
    for (;;) {
      const tcp = Bun.listen({
        hostname: '127.0.0.1',
        port,
        socket: { data: (socket, bytes) => onTcp(socket, bytes) },
      });
      let server: TestNameserver | null = null;
      const onTcp = (socket: Bun.Socket, bytes: Uint8Array): void => server?.takeTcp(socket, bytes);
      try {
        const udp = await Bun.udpSocket({
          hostname: '127.0.0.1',
          port: tcp.port,
          socket: { data: (_socket, bytes, from) => server?.takeUdp(bytes, from), error: () => {} },
        });
        server = new TestNameserver(udp, tcp, answer);
        return server;
      } catch (error) {
        tcp.stop(true);
        // Someone has the UDP port of this number: take another.
        if (port !== 0) throw error;
      }
    }
  }

  private constructor(udp: Bun.udp.Socket<'buffer'>, tcp: Bun.TCPSocketListener, answer: Answerer) {
    this.udp = udp;
    this.tcp = tcp;
    this.port = tcp.port;
    this.answer = answer;
  }

  /** How often a name was asked for, in any spelling. */
  count(name: string): number {
    return this.asked.filter((each) => each.name.toLowerCase() === name).length;
  }

  /** Send anything to an asker's port. */
  send(bytes: Uint8Array, port: number): void {
    this.udp.send(bytes, port, '127.0.0.1');
  }

  stop(): void {
    this.udp.close();
    this.tcp.stop(true);
  }

  private takeUdp(bytes: Uint8Array, port: number): void {
    const reply = this.replyTo(bytes, 'udp', port);
    if (reply !== null) this.send(reply, port);
  }

  private takeTcp(socket: Bun.Socket, bytes: Uint8Array): void {
    const reply = this.replyTo(bytes.subarray(2), 'tcp', socket.remotePort);
    if (reply === null) return;
    // In two pieces, as a network might.
    const whole = Buffer.concat([Buffer.of(reply.length >> 8, reply.length & 255), reply]);
    socket.write(whole.subarray(0, 7));
    socket.flush();
    setTimeout(() => socket.write(whole.subarray(7)), 5);
  }

  private replyTo(bytes: Uint8Array, over: 'udp' | 'tcp', port: number): Uint8Array | null {
    // A question read as the answer to itself.
    const asAnswer = bytes.slice();
    asAnswer[2]! |= 0x80;
    const { id, name, type } = parseAnswer(asAnswer);
    const asked: Asked = { id, name, type, over, port };
    this.asked.push(asked);
    const reply = this.answer(asked);
    if (reply === null || reply instanceof Uint8Array) return reply;
    return answerBytes(id, name, type, reply);
  }
}
