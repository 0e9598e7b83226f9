/**
 * Asks nameservers: in turn, again when one is silent, over TCP when an answer was cut off.
 *
 * An answer counts only if it comes from where the question went, to the port and with the number that it left from,
 * and repeats the question, its letters in the same mixture of cases. A nameserver that is silent ten times in a row
 * is passed over while another lives, and looked after until it answers; when none does, all are asked nevertheless.
 * No sockets wait without bound: questions under way are counted, and each has a deadline, which `tick` looks after.
 * @source C tor 0.4.9's dns.c; libevent's evdns, which C tor asks with
 */
import { printIp } from '../bytes/address.ts';
import { Fifo } from '../circuit/fifo.ts';
import { type DnsAnswer, encodeQuestion, parseAnswer, RecordType, ResponseCode } from '../dns/message.ts';
import { Malformed, orDie } from '../fault.ts';
import { log } from '../log.ts';
import { Counter } from '../shm/counter.ts';
import type { DnsParams } from '../shm/exit-params.ts';
import type { Scoreboard } from '../shm/scoreboard.ts';
import { type DnsFailure, DnsQuery, type DnsResult, failed } from './dns-query.ts';
import { Nameserver, type NameserverEvents } from './nameserver.ts';

/** Questions under way, in one worker, and those of them over TCP. */
const QUERIES_MOST = 4096;
const TCP_MOST = 32;
/** Silent so often in a row, a nameserver is down. */
const SILENCES_MOST = 10;
const PROBE_FIRST_MS = 2000;
const PROBE_LONGEST_MS = 60_000;
/** What is asked to see whether a nameserver lives, if torrc names nothing. */
const PROBE_NAME = 'www.google.com';
const TELL_EVERY_MS = 600_000;
/** So many answers that spell no question right: the nameserver cannot. */
const MISSPELLED_MOST = 5;
const LENGTH_BYTES = 2;

const FAILURE_COUNTERS: Readonly<Record<DnsFailure, number>> = {
  format: Counter.dns_failed_format,
  serverfailed: Counter.dns_failed_serverfailed,
  notexist: Counter.dns_failed_notexist,
  notimpl: Counter.dns_failed_notimpl,
  refused: Counter.dns_failed_refused,
  truncated: Counter.dns_failed_truncated,
  unknown: Counter.dns_failed_unknown,
  nodata: Counter.dns_failed_nodata,
  timeout: Counter.dns_failed_timeout,
  shutdown: Counter.dns_failed_shutdown,
  overloaded: Counter.dns_refused_overloaded,
};

/** What a client is given. */
export interface DnsClientConfig {
  readonly counters: Scoreboard;
  /** Random bytes, valid until the next call. */
  readonly random: (n: number) => Uint8Array;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Whether this worker may tell what all would tell, once in so long. */
  readonly mayTell: (periodMs: number) => boolean;
}

interface Deadline {
  readonly query: DnsQuery;
  readonly turn: number;
  readonly atMs: number;
}

/** Asks nameservers. One per worker. */
export class DnsClient implements NameserverEvents {
  private readonly config: DnsClientConfig;
  private params: DnsParams;
  private servers: Nameserver[] = [];
  private nextServer = 0;
  private readonly queries = new Set<DnsQuery>();
  private tcpCount = 0;
  private readonly deadlines = new Fifo<Deadline>();
  private hasToldDown = false;
  private hasToldMisspelled = false;

  constructor(config: DnsClientConfig, params: DnsParams) {
    this.config = config;
    this.params = params;
    this.makeServers();
  }

  /** Questions under way. */
  get inFlight(): number {
    return this.queries.size;
  }

  /** Ask for records of a name that is askable. `done` is called once, never during the call unless nothing was asked. */
  ask(name: string, type: number, done: (result: DnsResult) => void): void {
    this.config.counters.add(Counter.dns_queries, 1);
    const query = new DnsQuery(name, type, done);
    if (this.queries.size >= QUERIES_MOST) {
      this.finish(query, failed('overloaded'));
      return;
    }
    this.queries.add(query);
    this.send(query);
  }

  /** New parameters. Other nameservers are asked what the old ones were, and did not answer yet. */
  setParams(params: DnsParams): void {
    const { generation } = this.params;
    this.params = params;
    if (params.generation === generation) return;
    const old = this.servers;
    this.makeServers();
    const open = [...this.queries];
    for (const query of open) query.withdraw();
    for (const server of old) server.close();
    for (const query of open) {
      if (query.isProbe) this.finish(query, failed('shutdown'));
      else this.send(query);
    }
  }

  private makeServers(): void {
    this.servers = this.params.nameservers.map(
      (endpoint) => new Nameserver(endpoint, this.config.random, this),
    );
    this.nextServer = 0;
    this.hasToldDown = false;
  }

  /** Look after deadlines and nameservers that are down; at least every tenth of a second. */
  tick(nowMs: number): void {
    for (let first = this.deadlines.peek(); first !== null; first = this.deadlines.peek()) {
      const { query, turn, atMs } = first;
      const isStale = query.isOver || query.turn !== turn;
      if (!isStale && atMs > nowMs) break;
      this.deadlines.pop();
      if (!isStale) this.onTimeout(query);
    }
    for (const server of this.servers) {
      if (!server.isUp && nowMs >= server.nextProbeMs) this.probe(server, nowMs);
    }
  }

  /** End everything under way. */
  close(): void {
    for (const query of [...this.queries]) this.finish(query, failed('shutdown'));
    for (const server of this.servers) server.close();
  }

  /** The next nameserver in turn that lives; if none does, the next in turn. */
  private pick(): Nameserver | null {
    const { servers } = this;
    for (let i = 0; i < servers.length; i++) {
      const server = servers[(this.nextServer + i) % servers.length]!;
      if (!server.isUp) continue;
      this.nextServer = (this.nextServer + i + 1) % servers.length;
      return server;
    }
    if (servers.length === 0) return null;
    this.nextServer = (this.nextServer + 1) % servers.length;
    return servers[this.nextServer]!;
  }

  private send(query: DnsQuery, server = this.pick()): void {
    query.withdraw();
    if (server === null) {
      this.finish(query, failed('timeout'));
      return;
    }
    query.attempts++;
    this.await(query);
    server.ask(query, this.params.randomizeCase);
  }

  /** Give the nameserver its time. */
  private await(query: DnsQuery): void {
    query.turn++;
    this.deadlines.push({ query, turn: query.turn, atMs: this.config.now() + this.params.timeoutMs });
  }

  /** Ask again, another nameserver if there is one; else that was it. */
  private again(query: DnsQuery, failure: DnsFailure): void {
    if (query.isProbe || query.attempts >= this.params.attempts) {
      this.finish(query, failed(failure));
      return;
    }
    this.send(query);
  }

  private finish(query: DnsQuery, result: DnsResult): void {
    const { counters } = this.config;
    this.queries.delete(query);
    if (!query.isProbe) {
      counters.add(result.failure === null ? Counter.dns_answered : FAILURE_COUNTERS[result.failure], 1);
    }
    query.finish(result);
  }

  private onTimeout(query: DnsQuery): void {
    const { server } = query;
    if (server !== null && ++server.unanswered >= SILENCES_MOST) this.markDown(server);
    if (query.tcp !== null) this.finish(query, failed('truncated'));
    else this.again(query, 'timeout');
  }

  onUnasked(): void {
    this.config.counters.add(Counter.dns_answer_unasked, 1);
  }

  onUnreachable(server: Nameserver, waiting: readonly DnsQuery[]): void {
    this.config.counters.add(Counter.dns_nameserver_unreachable, 1);
    this.markDown(server);
    for (const query of waiting) {
      // A nameserver that is being restarted is back before the question's time is over.
      const other = this.servers.some(({ isUp }) => isUp);
      if (!query.isProbe && other && query.attempts < this.params.attempts) this.send(query);
    }
  }

  onMessage(query: DnsQuery, bytes: Uint8Array): void {
    const answer = this.read(query, bytes);
    if (answer === null) return;
    if (answer.isTruncated) this.askTcp(query);
    else this.take(query, answer);
  }

  /** Parse a message and hold it against the question. Null if it is no answer to it; the true one may still come. */
  private read(query: DnsQuery, bytes: Uint8Array): DnsAnswer | null {
    const { counters } = this.config;
    let answer: DnsAnswer;
    try {
      answer = parseAnswer(bytes);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      counters.add(Counter.dns_answer_malformed, 1);
      return null;
    }
    const isName = answer.name.toLowerCase() === query.asked.toLowerCase();
    if (answer.id !== query.id || answer.type !== query.type || !isName) {
      counters.add(Counter.dns_answer_unasked, 1);
      return null;
    }
    if (this.params.randomizeCase && answer.name !== query.asked) {
      counters.add(Counter.dns_answer_misspelled, 1);
      if (query.server !== null) this.onMisspelled(query.server);
      return null;
    }
    if (query.server !== null) query.server.hasSpelledRight = true;
    return answer;
  }

  private onMisspelled(server: Nameserver): void {
    server.misspelled++;
    if (server.hasSpelledRight || server.misspelled < MISSPELLED_MOST || this.hasToldMisspelled) return;
    this.hasToldMisspelled = true;
    log.warn(
      'net',
      `Nameserver ${server} changes the case of the names it is asked for, so its answers cannot be told from forged ` +
        'ones and are not used. Ask another one, or write ServerDNSRandomizeCase 0.',
    );
  }

  private take(query: DnsQuery, answer: DnsAnswer): void {
    const { hosts, hostname, ttlSec, code } = answer;
    const server = query.server!;
    if (code === ResponseCode.REFUSED || code === ResponseCode.NOT_IMPLEMENTED) {
      const failure = code === ResponseCode.REFUSED ? 'refused' : 'notimpl';
      this.markDown(server);
      const hasOther = this.servers.some(({ isUp }) => isUp);
      if (hasOther) this.again(query, failure);
      else this.finish(query, failed(failure));
      return;
    }
    this.markUp(server);
    if (code === ResponseCode.SERVER_FAILED) {
      this.again(query, 'serverfailed');
      return;
    }
    if (code === ResponseCode.FORMAT) {
      this.finish(query, failed('format'));
      return;
    }
    if (code === ResponseCode.NAME) {
      this.finish(query, failed('notexist', ttlSec));
      return;
    }
    if (code !== ResponseCode.OK) {
      this.finish(query, failed('unknown'));
      return;
    }
    if (hosts.length === 0 && hostname === null) {
      this.finish(query, failed('nodata', ttlSec));
      return;
    }
    this.finish(query, { failure: null, hosts, hostname, ttlSec });
  }

  /** The answer was cut off: ask the same nameserver over TCP. */
  private askTcp(query: DnsQuery): void {
    query.withdraw();
    if (this.tcpCount >= TCP_MOST) {
      this.finish(query, failed('truncated'));
      return;
    }
    this.config.counters.add(Counter.dns_tcp_queries, 1);
    this.tcpCount++;
    this.await(query);
    const { host, port } = query.server!.endpoint;
    let received = new Uint8Array(0);
    let socket: Bun.Socket | null = null;
    let isOver = false;
    const end = (): void => {
      if (isOver) return;
      isOver = true;
      this.tcpCount--;
      socket?.terminate();
    };
    const giveUp = (): void =>
      orDie(() => {
        if (!isOver) this.finish(query, failed('truncated'));
      });
    query.tcp = { end };
    // What fails at once fails later, too: the caller is not done yet.
    const connect = async (options: Bun.TCPSocketConnectOptions<undefined>): Promise<unknown> =>
      Bun.connect(options);
    connect({
      hostname: printIp(host),
      port,
      socket: {
        open: (opened) => {
          socket = opened;
          if (isOver) opened.terminate();
          else opened.write(withLength(encodeQuestion(query.id, query.asked, query.type)));
        },
        data: (_socket, bytes) =>
          orDie(() => {
            if (isOver) return;
            received = joined(received, bytes);
            const message = wholeMessage(received);
            if (message === null) return;
            const answer = this.read(query, message);
            if (answer === null || answer.isTruncated) giveUp();
            else this.take(query, answer);
          }),
        close: giveUp,
        error: giveUp,
        connectError: giveUp,
      },
    }).catch(giveUp);
  }

  private probe(server: Nameserver, nowMs: number): void {
    server.probeDelayMs = Math.min(PROBE_LONGEST_MS, server.probeDelayMs * 2);
    server.nextProbeMs = nowMs + server.probeDelayMs;
    const query = new DnsQuery(this.params.testNames[0] ?? PROBE_NAME, RecordType.A, () => {}, true);
    this.queries.add(query);
    this.send(query, server);
  }

  private markDown(server: Nameserver): void {
    if (!server.isUp) return;
    server.isUp = false;
    server.probeDelayMs = PROBE_FIRST_MS;
    server.nextProbeMs = this.config.now() + PROBE_FIRST_MS;
    this.config.counters.add(Counter.dns_nameserver_failed, 1);
    log.info('net', () => `Nameserver ${server} does not answer.`);
    if (this.servers.some(({ isUp }) => isUp) || !this.config.mayTell(TELL_EVERY_MS)) return;
    this.hasToldDown = true;
    log.warn(
      'net',
      `No nameserver answers (${this.servers.join(', ')}): clients of this exit cannot reach names until one does.`,
    );
  }

  private markUp(server: Nameserver): void {
    server.unanswered = 0;
    if (server.isUp) return;
    server.isUp = true;
    log.info('net', () => `Nameserver ${server} answers again.`);
    if (!this.hasToldDown) return;
    this.hasToldDown = false;
    log.notice('net', `Nameserver ${server} answers again.`);
  }
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}

function withLength(message: Uint8Array): Uint8Array {
  return joined(Uint8Array.of(message.length >> 8, message.length & 255), message);
}

/** The message of a TCP stream; null while it is not all there. What follows it is left. */
function wholeMessage(received: Uint8Array): Uint8Array | null {
  if (received.length < LENGTH_BYTES) return null;
  const length = (received[0]! << 8) | received[1]!;
  return received.length < LENGTH_BYTES + length
    ? null
    : received.subarray(LENGTH_BYTES, LENGTH_BYTES + length);
}
