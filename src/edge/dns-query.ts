/**
 * One question to nameservers, from the first asking to its outcome.
 */
import type { Nameserver, UdpPort } from './nameserver.ts';

/** Why a question has no answer. Those from `format` to `nodata` are what a nameserver said. */
export type DnsFailure =
  | 'format'
  | 'serverfailed'
  | 'notexist'
  | 'notimpl'
  | 'refused'
  | 'truncated'
  | 'unknown'
  | 'nodata'
  | 'timeout'
  | 'shutdown'
  | 'overloaded';

/** The outcome. */
export interface DnsResult {
  /** Null if there is an address or a host name. */
  readonly failure: DnsFailure | null;
  readonly hosts: readonly Uint8Array[];
  readonly hostname: string | null;
  /** For how long it may be cached; 0 when nobody said. */
  readonly ttlSec: number;
}

/** A result without an answer. */
export function failed(failure: DnsFailure, ttlSec = 0): DnsResult {
  return { failure, hosts: [], hostname: null, ttlSec };
}

/** A connection that a question went over. */
export interface TcpAsking {
  end(): void;
}

/** A question under way. */
export class DnsQuery {
  readonly name: string;
  readonly type: number;
  /** A question of our own that only looks whether a nameserver lives: it is not counted, nor asked again. */
  readonly isProbe: boolean;
  private readonly done: (result: DnsResult) => void;
  /** The name as it was asked last, and under which number. */
  asked = '';
  id = 0;
  /** How often it was asked over UDP, and how often anyone waited for an answer. */
  attempts = 0;
  turn = 0;
  server: Nameserver | null = null;
  port: UdpPort | null = null;
  tcp: TcpAsking | null = null;
  isOver = false;

  constructor(name: string, type: number, done: (result: DnsResult) => void, isProbe = false) {
    this.name = name;
    this.type = type;
    this.done = done;
    this.isProbe = isProbe;
  }

  /** Wait no longer where it was asked last. */
  withdraw(): void {
    this.port?.release(this.id);
    this.port = null;
    const { tcp } = this;
    this.tcp = null;
    tcp?.end();
  }

  /** Give the outcome. */
  finish(result: DnsResult): void {
    this.withdraw();
    this.isOver = true;
    this.done(result);
  }
}
