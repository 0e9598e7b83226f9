/**
 * One nameserver: the sockets on which it is asked, and whether it answers.
 *
 * Questions leave from many ports, each connected to the nameserver, so that only its answers come in and nobody can
 * guess where they go: a port is given up after some questions, when it is older than those that wait on it.
 */
import { type Endpoint, printEndpoint, printIp } from '../bytes/address.ts';
import { encodeQuestion, messageId, mixCase } from '../dns/message.ts';
import { orDie } from '../fault.ts';
import type { DnsQuery } from './dns-query.ts';

/** Questions that leave from one port, unless there are too many ports already. */
const QUESTIONS_PER_PORT = 32;
const PORTS_MOST = 8;
const ID_RANGE = 65536;
/** With a port as full as this, finding a number that is free would take long. */
const PENDING_PER_PORT = 4096;

/** What a nameserver tells of. */
export interface NameserverEvents {
  /** A message came for a question. */
  onMessage(query: DnsQuery, bytes: Uint8Array): void;
  /** A message came that answers nothing that waits. */
  onUnasked(): void;
  /** The nameserver cannot be reached; these questions waited for it. */
  onUnreachable(server: Nameserver, waiting: readonly DnsQuery[]): void;
}

/** A nameserver. One per worker and address. */
export class Nameserver {
  readonly endpoint: Endpoint;
  readonly events: NameserverEvents;
  /** Questions in a row that it left unanswered. */
  unanswered = 0;
  isUp = true;
  /** While it is down: when to look next, and how long to wait after that. */
  nextProbeMs = 0;
  probeDelayMs = 0;
  /** Answers whose question was spelled otherwise, and whether any was spelled right. */
  misspelled = 0;
  hasSpelledRight = false;
  private readonly random: (n: number) => Uint8Array;
  private readonly ports = new Set<UdpPort>();
  private current: UdpPort | null = null;

  constructor(endpoint: Endpoint, random: (n: number) => Uint8Array, events: NameserverEvents) {
    this.endpoint = endpoint;
    this.random = random;
    this.events = events;
  }

  /** Ask it, over UDP. */
  ask(query: DnsQuery, randomizeCase: boolean): void {
    const { name } = query;
    query.server = this;
    query.asked = randomizeCase ? mixCase(name, this.random((name.length + 7) >> 3)) : name;
    const port = this.portToUse();
    query.port = port;
    query.id = port.add(query, this.random);
    port.send(encodeQuestion(query.id, query.asked, query.type));
  }

  private portToUse(): UdpPort {
    const { current } = this;
    if (current?.isOpen && current.asked < QUESTIONS_PER_PORT) return current;
    if (this.ports.size >= PORTS_MOST) {
      for (const port of this.ports) if (port.isOpen && port.waiting < PENDING_PER_PORT) return port;
    }
    const port = new UdpPort(this, () => this.ports.delete(port));
    this.ports.add(port);
    this.current = port;
    current?.retire();
    return port;
  }

  /** Close all ports. What waits on them is the caller's. */
  close(): void {
    for (const port of [...this.ports]) port.close();
    this.current = null;
  }

  /** `192.0.2.1:53`, for the log: it is the operator's own. */
  toString(): string {
    return printEndpoint(this.endpoint);
  }
}

/** A local port, connected to a nameserver. */
export class UdpPort {
  private readonly server: Nameserver;
  private readonly onClosed: () => void;
  private readonly pending = new Map<number, DnsQuery>();
  private socket: Bun.udp.ConnectedSocket<'buffer'> | null = null;
  /** Messages to send once it is open. */
  private unsent: Uint8Array[] = [];
  /** Whether it may be used for more. */
  isOpen = true;
  private isRetired = false;
  /** Questions that it was used for. */
  asked = 0;

  constructor(server: Nameserver, onClosed: () => void) {
    this.server = server;
    this.onClosed = onClosed;
    this.connect().then(
      (socket) => this.onOpen(socket),
      () => this.onError(),
    );
  }

  /** Also what fails at once, as without a route, fails later: whoever asks is not done yet. */
  private async connect(): Promise<Bun.udp.ConnectedSocket<'buffer'>> {
    const { host, port } = this.server.endpoint;
    return await Bun.udpSocket({
      hostname: host.length === 4 ? '0.0.0.0' : '::',
      connect: { hostname: printIp(host), port },
      socket: {
        data: (_socket, bytes) => orDie(() => this.onData(bytes)),
        error: () => orDie(() => this.onError()),
      },
    });
  }

  /** Questions that wait here. */
  get waiting(): number {
    return this.pending.size;
  }

  /** Let a question wait here. Returns its number. */
  add(query: DnsQuery, random: (n: number) => Uint8Array): number {
    const [high, low] = random(2);
    let id = (high! << 8) | low!;
    while (this.pending.has(id)) id = (id + 1) % ID_RANGE;
    this.pending.set(id, query);
    this.asked++;
    return id;
  }

  /** A question waits here no more. */
  release(id: number): void {
    this.pending.delete(id);
    this.closeIfDone();
  }

  /** Use it for no more questions; close it when the last is answered. */
  retire(): void {
    this.isRetired = true;
    this.closeIfDone();
  }

  send(bytes: Uint8Array): void {
    if (this.socket === null) this.unsent.push(bytes);
    else this.sendOn(this.socket, bytes);
  }

  /** A message that the kernel has no room for is lost as any other may be, and asked again. */
  private sendOn(socket: Bun.udp.ConnectedSocket<'buffer'>, bytes: Uint8Array): void {
    try {
      socket.send(bytes);
    } catch {
      // Here it shows that the message before did not reach anyone.
      queueMicrotask(() => this.onError());
    }
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.unsent = [];
    this.socket?.close();
    this.socket = null;
    this.onClosed();
  }

  private closeIfDone(): void {
    if (this.isRetired && this.pending.size === 0) this.close();
  }

  private onOpen(socket: Bun.udp.ConnectedSocket<'buffer'>): void {
    if (!this.isOpen) {
      socket.close();
      return;
    }
    this.socket = socket;
    const { unsent } = this;
    this.unsent = [];
    for (const bytes of unsent) this.sendOn(socket, bytes);
  }

  private onData(bytes: Uint8Array): void {
    const id = messageId(bytes);
    const query = id === null ? undefined : this.pending.get(id);
    if (query === undefined) this.server.events.onUnasked();
    else this.server.events.onMessage(query, bytes);
  }

  private onError(): void {
    if (!this.isOpen) return;
    const waiting = [...this.pending.values()];
    this.pending.clear();
    this.close();
    for (const query of waiting) query.port = null;
    this.server.events.onUnreachable(this.server, waiting);
  }
}
