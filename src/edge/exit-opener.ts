/**
 * BEGIN: from what a client wants to a connection, or to the END that says why not.
 *
 * In C tor's order: what may not ask at all, what cannot be read, what asks too often; then the name is looked up, and
 * the address that comes of it is held against the exit policy and the addresses of the network. Nothing is connected
 * to that was not looked at last.
 * @source tor-spec "Opening streams and transferring data"; C tor 0.4.9 connection_edge.c, dns.c
 */
import { printIp } from '../bytes/address.ts';
import { EndReason } from '../cell/reason.ts';
import { RelayCommand } from '../cell/relay-message.ts';
import {
  type Begin,
  BeginFlag,
  decodeBegin,
  encodeConnected,
  encodeEnd,
  encodePolicyEnd,
} from '../cell/stream-message.ts';
import { Fifo } from '../circuit/fifo.ts';
import type { CircuitPlane } from '../circuit/plane.ts';
import { Malformed } from '../fault.ts';
import { Counter } from '../shm/scoreboard.ts';
import type { Asker } from './asker.ts';
import type { ExitPlane } from './exit-plane.ts';
import type { ExitPolicy } from './exit-policy.ts';
import type { Connect } from './exit-socket.ts';
import { type ConnectDeadline, ExitStream, type ExitWaker } from './exit-stream.ts';
import { LITERAL_TTL_SEC, type NameAnswer, type NameResolver, type Wanted } from './resolver.ts';
import type { Stream } from './stream.ts';
import { takeStreamToken } from './stream-dos.ts';
import type { StreamTable } from './stream-table.ts';

/** How long a connection may take to be made. */
export const CONNECT_TIMEOUT_MS = 60_000;

/** What opening streams needs of its worker. */
export interface ExitServices {
  readonly connect: Connect;
  readonly resolver: NameResolver;
  policy: ExitPolicy;
  /** Whether one more connection may be made. */
  hasRoom(): boolean;
}

/** One stream on its way to being connected. */
class Opening implements ExitWaker {
  readonly begin: Begin;
  readonly stream: Stream;
  host: Uint8Array | null = null;
  ttlSec = LITERAL_TTL_SEC;

  constructor(begin: Begin, stream: Stream) {
    this.begin = begin;
    this.stream = stream;
  }

  wake(): void {
    this.stream.wake();
  }

  drained(bytes: number): void {
    this.stream.drained(bytes);
  }

  onConnected(): void {
    this.stream.connected(encodeConnected(this.host!, this.ttlSec));
  }
}

/** Opens exit streams. One per worker. */
export class ExitOpener {
  readonly services: ExitServices;
  private readonly plane: CircuitPlane;
  private readonly exits: ExitPlane;
  private readonly table: StreamTable;
  private readonly deadlines = new Fifo<ConnectDeadline>();

  constructor(plane: CircuitPlane, exits: ExitPlane, table: StreamTable, services: ExitServices) {
    this.plane = plane;
    this.exits = exits;
    this.table = table;
    this.services = services;
  }

  /** Take a BEGIN for a stream that is not there yet. @throws Violation when its circuit has to close */
  open(asker: Asker, streamId: number, data: Uint8Array): void {
    const begin = this.admit(asker, streamId, data);
    if (begin === null) return;
    const opening: { value: Opening | null } = { value: null };
    const stream = this.table.add(asker.streams, streamId, (made) => {
      opening.value = new Opening(begin, made);
      return new ExitStream(this.exits, opening.value);
    });
    asker.streams.hasExited = true;
    this.lookUp(opening.value!, stream.end as ExitStream);
  }

  /** Refuse what is refused before anything is looked up. */
  private admit(asker: Asker, streamId: number, data: Uint8Array): Begin | null {
    const { plane } = this;
    const { exit } = plane.options;
    let begin: Begin;
    try {
      begin = decodeBegin(data);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      return this.refuse(asker, streamId, EndReason.TORPROTOCOL, Counter.stream_begin_malformed);
    }
    if (asker.overClient) {
      return this.refuse(asker, streamId, EndReason.TORPROTOCOL, Counter.stream_first_hop_refused);
    }
    if (exit.refuseUnknown && !asker.overListed) {
      return this.refuse(asker, streamId, EndReason.MISC, Counter.stream_unknown_hop_refused);
    }
    if (!exit.ipv6Exit && (begin.flags & BeginFlag.IPV4_NOT_OK) !== 0) {
      return this.refuse(asker, streamId, EndReason.EXITPOLICY, Counter.stream_policy_refused);
    }
    if (plane.hibernating) {
      return this.refuse(asker, streamId, EndReason.HIBERNATING, Counter.stream_hibernating_refused);
    }
    if (!takeStreamToken(plane, asker)) {
      return this.refuse(asker, streamId, EndReason.MISC, Counter.dos_stream_refused);
    }
    return begin;
  }

  private refuse(asker: Asker, streamId: number, reason: number, counter: number): null {
    const { counters } = this.plane;
    counters.add(counter, 1);
    counters.add(Counter.streams_refused, 1);
    asker.streams.carrier.send(RelayCommand.END, streamId, encodeEnd(reason));
    return null;
  }

  private lookUp(opening: Opening, exit: ExitStream): void {
    const { begin } = opening;
    const { policy, resolver } = this.services;
    if (begin.address !== null) {
      this.connectTo(opening, exit, begin.address);
      return;
    }
    // As C tor: an exit to nowhere looks up no names.
    if (policy.isRejectAll) {
      this.fail(opening, EndReason.RESOLVEFAILED, Counter.stream_policy_refused);
      return;
    }
    const lookup = resolver.resolve(begin.host, this.wantedOf(begin), (answer) => {
      // It may come between two turns.
      this.plane.wake();
      exit.lookup = null;
      if (!opening.stream.isGone) this.onAnswer(opening, exit, answer);
    });
    if (!opening.stream.isGone && exit.host === null && exit.endReason === 0) exit.lookup = lookup;
  }

  private wantedOf(begin: Begin): Wanted {
    const ipv6 = this.plane.options.exit.ipv6Exit && (begin.flags & BeginFlag.IPV6_OK) !== 0;
    const ipv4 = (begin.flags & BeginFlag.IPV4_NOT_OK) === 0;
    // C tor looks up the one family when the client wants none that it may have, and fails by the outcome.
    return ipv4 || ipv6 ? { ipv4, ipv6 } : { ipv4: true, ipv6: false };
  }

  private onAnswer(opening: Opening, exit: ExitStream, answer: NameAnswer): void {
    opening.ttlSec = answer.ttlSec;
    const host = this.choose(opening.begin, answer);
    if (host === null) this.fail(opening, EndReason.RESOLVEFAILED, Counter.stream_resolve_failed);
    else this.connectTo(opening, exit, host);
  }

  /** Of two addresses, the one that the policy allows; if it allows both or none, the one that the client prefers. */
  private choose(begin: Begin, answer: NameAnswer): Uint8Array | null {
    const ipv4 = (begin.flags & BeginFlag.IPV4_NOT_OK) === 0 ? answer.ipv4 : null;
    const { ipv6 } = answer;
    if (ipv4 === null || ipv6 === null) return ipv4 ?? ipv6;
    const { policy } = this.services;
    const allows4 = policy.allows(ipv4, begin.port);
    const allows6 = policy.allows(ipv6, begin.port);
    if (allows4 !== allows6) return allows4 ? ipv4 : ipv6;
    return (begin.flags & BeginFlag.IPV6_PREFERRED) !== 0 ? ipv6 : ipv4;
  }

  private connectTo(opening: Opening, exit: ExitStream, host: Uint8Array): void {
    const { plane, services } = this;
    const { port } = opening.begin;
    const settings = plane.options.exit;
    opening.host = host;
    if (!services.policy.allows(host, port) || (host.length === 16 && !settings.ipv6Exit)) {
      plane.counters.add(Counter.stream_policy_refused, 1);
      plane.counters.add(Counter.streams_refused, 1);
      this.table.finish(opening.stream, encodePolicyEnd(host, opening.ttlSec));
      return;
    }
    if (!settings.allowReentry && plane.relayIndex.listsEndpoint(host, port)) {
      this.fail(opening, EndReason.CONNECTREFUSED, Counter.stream_reentry_refused);
      return;
    }
    plane.counters.add(Counter.streams_begun, 1);
    if (!services.hasRoom()) {
      this.fail(opening, EndReason.RESOURCELIMIT, Counter.stream_sockets_exhausted);
      return;
    }
    this.deadlines.push(exit.beginConnect(host, port, plane.nowMs + CONNECT_TIMEOUT_MS));
    const bind = host.length === 4 ? settings.bindIpv4 : settings.bindIpv6;
    services.connect({ host: printIp(host), port, bind }, exit);
  }

  private fail(opening: Opening, reason: number, counter: number): void {
    const { counters } = this.plane;
    counters.add(counter, 1);
    counters.add(Counter.streams_refused, 1);
    this.table.finish(opening.stream, encodeEnd(reason));
  }

  /** Give up on connections that are not there in time. */
  expire(): void {
    const { nowMs } = this.plane;
    for (
      let first = this.deadlines.peek();
      first !== null && first.atMs <= nowMs;
      first = this.deadlines.peek()
    ) {
      this.deadlines.pop();
      if (first.stream?.giveUp(EndReason.TIMEOUT)) this.plane.counters.add(Counter.stream_connect_timeout, 1);
    }
  }
}
