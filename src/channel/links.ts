/**
 * The life of links: accepted or dialled, half open, shaking hands, open, closed.
 *
 * Half-open links are bounded per address (over all workers) and in total, and have a deadline; clients' links are
 * bounded by `connection-dos`; a refused address is closed before a TLS byte is read. A link keeps the credentials of
 * the listener that accepted it, so a handshake may span a rotation. An authenticated peer gets a row in the roster; a
 * client gets none. Errors of a peer close its link with a counter and touch nothing else.
 */
import { type Endpoint, printEndpoint, printIp, sameIp } from '../bytes/address.ts';
import { Malformed, Violation } from '../fault.ts';
import { log, RateLimit, scrub, warnRateLimited } from '../log.ts';
import { type AddressTable, Admission } from '../shm/address-table.ts';
import type { DosTable } from '../shm/dos-table.ts';
import type { WorkerOptions } from '../shm/letter.ts';
import type { LinkCredentials } from '../shm/link-credentials.ts';
import type { RelayIndex } from '../shm/relay-index.ts';
import { IDENTITY_FULL, type Roster } from '../shm/roster.ts';
import { Counter, type Scoreboard } from '../shm/scoreboard.ts';
import { NO_TIMER, type Timer, type TimerTarget, type TimerWheel } from '../time/timer-wheel.ts';
import { noteAddressSeen, type TellAddressSeen } from './address-seen.ts';
import type { BufferPool } from './buffer-pool.ts';
import {
  type CellSink,
  type Channel,
  type ChannelShared,
  CLOSED,
  DIALLING,
  HANDSHAKING,
  OPEN,
} from './channel.ts';
import type { ChannelTable } from './channel-table.ts';
import { ConnectionDos } from './connection-dos.ts';
import { DialBudget } from './dial-budget.ts';
import type { Framer } from './framer.ts';
import type { HandshakeConfig, HandshakeOutcome, LinkHandshake } from './handshake.ts';
import type { LinkPadding } from './padding.ts';
import { randomServerName } from './server-name.ts';
import type { dial, LinkEvents, TlsSession } from './tls.ts';
import type { Throttle } from './token-bucket.ts';
import type { Wire } from './wire.ts';

/** The first half of a link's life. Dropped from the link when the channel opens. */
interface HalfOpen {
  credentials: LinkCredentials;
  handshake: Handshaker | null;
  /** Handshake bytes that the socket has not taken yet. */
  unsent: Uint8Array;
  /** Bytes that the handshake keeps, as last counted. */
  heldBytes: number;
  /** Counted in the address table under this host. */
  countedHost: Uint8Array | null;
  expected: { rsaId: Uint8Array; ed25519Id: Uint8Array | null } | null;
  timer: Timer;
}

/** What a socket belongs to. */
export interface Link {
  readonly channel: Channel;
  halfOpen: HalfOpen | null;
}

/** A peer to dial. */
export interface LinkTarget {
  readonly rsaId: Uint8Array;
  readonly ed25519Id: Uint8Array | null;
  readonly host: Uint8Array;
  readonly port: number;
}

/** What links use of `LinkHandshake`. */
export type Handshaker = Pick<LinkHandshake, 'start' | 'receive' | 'heldBytes'>;

/** What links need of their worker. */
export interface LinksConfig {
  readonly channels: ChannelTable;
  readonly shared: ChannelShared;
  readonly carries: BufferPool;
  readonly framer: Framer;
  readonly sink: CellSink;
  readonly roster: Roster;
  /** The newest one that this worker has. */
  readonly relayIndex: () => RelayIndex;
  readonly halfOpen: AddressTable;
  readonly dos: DosTable;
  readonly counters: Scoreboard;
  readonly wheel: TimerWheel;
  readonly padding: LinkPadding;
  readonly throttle: Throttle;
  readonly random: (n: number) => Uint8Array;
  /** Seconds since 1970, for certificates and NETINFO. */
  readonly wallSec: () => number;
  /** Start or join the current batch; returns monotonic milliseconds. */
  readonly beginBatch: () => number;
  /** Open a connection, as `tls.dial` does. */
  readonly dial: typeof dial<Link>;
  /** Make one end of a link handshake: a `LinkHandshake`. */
  readonly handshake: (config: HandshakeConfig) => Handshaker;
  readonly onAddressSeen: TellAddressSeen;
  /** Sockets of this worker that are no links. */
  readonly otherSockets: () => number;
}

const NOTHING = new Uint8Array(0);
/** C tor warns of a peer's clock that is off by more than an hour. */
const SKEW_NOTICE_SEC = 3600;

const protocolWarnings = new RateLimit(60_000);
const halfOpenWarnings = new RateLimit(600_000);
const linkWarnings = new RateLimit(600_000);

/** All links of one worker. */
export class Links implements LinkEvents<Link>, TimerTarget {
  private readonly config: LinksConfig;
  private readonly bySlot: (Link | null)[] = [];
  options: WorkerOptions;
  /** Newest credentials, for dials. Accepted links carry those of their listener. */
  credentials: LinkCredentials;
  private halfOpenCount = 0;
  /** Bytes that links keep which are not open yet. */
  halfOpenBytes = 0;
  private readonly dials: DialBudget;
  private readonly dos: ConnectionDos;

  constructor(config: LinksConfig, options: WorkerOptions, credentials: LinkCredentials) {
    this.config = config;
    this.dials = new DialBudget(config.counters, config.relayIndex);
    this.dos = new ConnectionDos(config.dos, config.counters, config.relayIndex);
    this.options = options;
    this.credentials = credentials;
  }

  /** Links whose handshake is not through. */
  get halfOpen(): number {
    return this.halfOpenCount;
  }

  /** Connections that the kernel is still making, also those that nobody waits for any more. */
  get dialling(): number {
    return this.dials.count;
  }

  /** Sockets of this worker that are open or on their way, those to destinations included. */
  get sockets(): number {
    return this.config.channels.count + this.dials.count + this.config.otherSockets();
  }

  private isFull(): boolean {
    return this.sockets >= this.options.linksMax;
  }

  onAccept(wire: Wire, remote: Endpoint, credentials: LinkCredentials): Link | null {
    const { counters } = this.config;
    const nowMs = this.config.beginBatch();
    const { halfOpenPerAddressMax, halfOpenMax } = this.options;
    if (this.isFull()) {
      counters.add(Counter.link_refused_too_many, 1);
      warnRateLimited(
        linkWarnings,
        'net',
        'Refusing new connections: no file descriptors are left for them.',
      );
      return null;
    }
    const verdict = this.config.halfOpen.admit(remote.host, halfOpenPerAddressMax, halfOpenMax);
    if (verdict === Admission.ADDRESS_FULL) {
      counters.add(Counter.link_refused_per_address, 1);
      return null;
    }
    if (verdict !== Admission.ADMITTED) {
      counters.add(Counter.link_refused_total, 1);
      warnRateLimited(
        halfOpenWarnings,
        'net',
        'Refusing new connections: too many have not finished their handshake.',
      );
      return null;
    }
    if (!this.dos.admit(remote.host, nowMs, this.options.dos)) {
      this.config.halfOpen.decrement(remote.host);
      return null;
    }
    counters.add(Counter.links_accepted, 1);
    if (remote.host.length === 16) counters.add(Counter.links_accepted_ipv6, 1);
    const link = this.addLink(false, remote.host, remote.port, credentials, nowMs);
    link.halfOpen!.countedHost = remote.host;
    this.dos.keep(link.channel);
    link.channel.wire = wire;
    return link;
  }

  /**
   * Dial a peer. Returns the new channel; it opens or closes later, and the sink is told. Null when too many dials
   * hang already. `asker` is the link whose circuit wants it, if one does.
   */
  dial(target: LinkTarget, rosterHandle: number, asker: Channel | null): Channel | null {
    const nowMs = this.config.beginBatch();
    const { counters, roster, random } = this.config;
    if (this.isFull()) {
      counters.add(Counter.link_dial_refused, 1);
      return null;
    }
    const ticket = this.dials.take(target, asker, this.options);
    if (ticket === null) return null;
    counters.add(Counter.links_dialled, 1);
    if (target.host.length === 16) counters.add(Counter.links_dialled_ipv6, 1);
    const link = this.addLink(true, target.host, target.port, this.credentials, nowMs);
    const { channel } = link;
    link.halfOpen!.expected = { rsaId: target.rsaId, ed25519Id: target.ed25519Id };
    channel.rosterHandle = rosterHandle;
    roster.setSlot(rosterHandle, channel.slot, channel.generation);
    this.config.dial(
      {
        link,
        host: printIp(target.host),
        port: target.port,
        bind: target.host.length === 4 ? this.options.bindIpv4 : this.options.bindIpv6,
        serverName: randomServerName(random),
      },
      this,
      (wire) => {
        this.dials.giveBack(ticket);
        if (channel.state !== DIALLING) return false;
        channel.state = HANDSHAKING;
        channel.wire = wire;
        return true;
      },
      () => {
        this.dials.giveBack(ticket);
        if (channel.state !== DIALLING) return;
        this.config.beginBatch();
        counters.add(Counter.link_dial_failed, 1);
        log.info('or', () => `Could not connect to ${scrub(printEndpoint(target))}.`);
        this.close(channel);
      },
    );
    return channel;
  }

  private addLink(
    initiated: boolean,
    host: Uint8Array,
    port: number,
    credentials: LinkCredentials,
    nowMs: number,
  ): Link {
    const channel = this.config.channels.add(this.config.shared, initiated, host, port);
    const timer = this.config.wheel.schedule(nowMs + this.options.handshakeTimeoutMs, this, channel.slot);
    const link: Link = {
      channel,
      halfOpen: {
        credentials,
        handshake: null,
        unsent: NOTHING,
        heldBytes: 0,
        countedHost: null,
        expected: null,
        timer,
      },
    };
    this.bySlot[channel.slot] = link;
    this.config.throttle.onAdded(channel);
    this.halfOpenCount++;
    return link;
  }

  /** A half-open link's deadline. */
  onTimer(slot: number): void {
    const link = this.bySlot[slot] ?? null;
    if (link === null || link.halfOpen === null) return;
    link.halfOpen.timer = NO_TIMER;
    this.config.counters.add(Counter.link_handshake_timeout, 1);
    this.close(link.channel);
  }

  onSecured(link: Link, session: TlsSession): void {
    const { halfOpen, channel } = link;
    // A TLS session that is renegotiated does not begin the link anew.
    if (halfOpen === null || halfOpen.handshake !== null || channel.state !== HANDSHAKING) return;
    this.config.beginBatch();
    const { wallSec, random } = this.config;
    halfOpen.handshake = this.config.handshake({
      role: channel.initiated ? 'initiator' : 'responder',
      credentials: halfOpen.credentials,
      tls: session,
      peerAddress: channel.peerHost,
      ownAddresses: this.options.ownAddresses,
      nowSec: wallSec,
      random: (n) => random(n).slice(),
      ...(halfOpen.expected === null ? {} : { expected: halfOpen.expected }),
    });
    this.sendHandshake(link, halfOpen.handshake.start());
  }

  onData(link: Link, chunk: Uint8Array): void {
    const nowMs = this.config.beginBatch();
    const { channel } = link;
    this.config.counters.add(Counter.bytes_read, chunk.length);
    if (channel.peerHost.length === 16) this.config.counters.add(Counter.bytes_read_ipv6, chunk.length);
    this.config.throttle.onRead(channel, chunk.length);
    if (channel.state === OPEN) {
      channel.lastReadMs = nowMs;
      this.config.framer.feed(channel, chunk);
      return;
    }
    const handshake = link.halfOpen === null ? null : link.halfOpen.handshake;
    if (channel.state !== HANDSHAKING || handshake === null) return;
    try {
      const step = handshake.receive(chunk);
      if (step.write.length > 0) this.sendHandshake(link, step.write);
      if (link.halfOpen !== null) this.countHeld(link.halfOpen);
      if (step.outcome === null || channel.state !== HANDSHAKING) return;
      this.open(link, step.outcome, nowMs);
      if (step.rest.length > 0 && isOpen(channel)) this.config.framer.feed(channel, step.rest);
    } catch (error) {
      this.refuse(channel, error);
    }
  }

  /** The peer erred: count, say so seldom, close its link. */
  private refuse(channel: Channel, error: unknown): void {
    const { counters } = this.config;
    if (error instanceof Violation) counters.bump(error.counter);
    else if (error instanceof Malformed) counters.add(Counter.link_handshake_malformed, 1);
    else throw error;
    const text = (): string => `Closing a link to ${scrub(printEndpoint(peerOf(channel)))}: ${error.message}`;
    if (this.options.protocolWarnings) warnRateLimited(protocolWarnings, 'protocol', text);
    else log.info('protocol', text);
    this.close(channel);
  }

  private sendHandshake(link: Link, bytes: Uint8Array): void {
    const { halfOpen, channel } = link;
    if (halfOpen === null || channel.wire === null || bytes.length === 0) return;
    if (halfOpen.unsent.length > 0) {
      halfOpen.unsent = join(halfOpen.unsent, bytes);
      this.countHeld(halfOpen);
      return;
    }
    const taken = channel.wire.write(bytes, 0, bytes.length);
    this.config.counters.add(Counter.bytes_written, taken);
    this.config.throttle.onWritten(channel, taken);
    // The write may have closed the link.
    if (link.halfOpen !== halfOpen) return;
    if (taken < bytes.length) halfOpen.unsent = bytes.slice(taken);
    this.countHeld(halfOpen);
  }

  private countHeld(halfOpen: HalfOpen): void {
    const { handshake, unsent } = halfOpen;
    const held = unsent.length + (handshake === null ? 0 : handshake.heldBytes);
    this.halfOpenBytes += held - halfOpen.heldBytes;
    halfOpen.heldBytes = held;
  }

  private open(link: Link, outcome: HandshakeOutcome, nowMs: number): void {
    const { channel } = link;
    const { roster, counters } = this.config;
    const { unsent } = link.halfOpen!;
    this.endHalfOpen(link);
    channel.state = OPEN;
    channel.linkProtocol = outcome.linkProtocol;
    channel.openedMs = nowMs;
    channel.idleSpread = this.config.random(1)[0]! / 256;
    channel.lastReadMs = nowMs;
    channel.lastWriteMs = nowMs;
    counters.add(Counter.channels_opened, 1);
    channel.canonical = outcome.peerAddresses.some((address) => sameIp(address, channel.peerHost));
    this.noteSkew(channel, outcome);
    if (outcome.peer !== null) {
      channel.isClient = false;
      this.dos.onAuthenticated(channel, outcome.peer.rsaId);
      channel.peerRsaId = outcome.peer.rsaId;
      channel.peerEd25519Id = outcome.peer.ed25519Id;
      noteAddressSeen(
        channel,
        outcome.peer.rsaId,
        outcome.ourAddressSeen,
        this.options,
        this.config.onAddressSeen,
      );
      const { ed25519Id } = outcome.peer;
      if (!channel.initiated) {
        channel.rosterHandle = roster.insert({
          rsaId: outcome.peer.rsaId,
          ed25519Id,
          address: channel.peerHost,
          port: channel.peerPort,
          slot: channel.slot,
          generation: channel.generation,
          state: 'open',
          inbound: true,
          canonical: channel.canonical,
          createdMs: nowMs,
        });
        if (channel.rosterHandle === IDENTITY_FULL) counters.add(Counter.roster_identity_full, 1);
        else if (channel.rosterHandle < 0) counters.add(Counter.roster_full, 1);
      }
      if (channel.rosterHandle >= 0) {
        // Whoever dialled: both ends must prefer the same one of two links, or each closes the other's choice.
        const canonicalToPeer =
          outcome.ourAddressSeen !== null &&
          this.options.ownAddresses.some((own) => sameIp(own, outcome.ourAddressSeen!));
        roster.setOpen(channel.rosterHandle, { ed25519Id, canonical: channel.canonical, canonicalToPeer });
      }
      roster.markSuperseded(outcome.peer.rsaId, ed25519Id, nowMs);
    }
    if (unsent.length > 0) channel.stageRaw(unsent);
    this.config.throttle.onOpen(channel);
    this.config.padding.onOpen(channel, nowMs);
    this.config.sink.onChannelOpen(channel);
  }

  private noteSkew(channel: Channel, outcome: HandshakeOutcome): void {
    const skew = outcome.clockSkewSec;
    if (skew === null || Math.abs(skew) < SKEW_NOTICE_SEC || outcome.peer === null) return;
    this.config.counters.add(Counter.link_clock_skew, 1);
    const peer = scrub(printEndpoint(peerOf(channel)));
    const direction = skew > 0 ? 'ahead of' : 'behind';
    log.info('general', `Our clock is ${Math.abs(skew)} seconds ${direction} that of the relay at ${peer}.`);
  }

  private endHalfOpen(link: Link): void {
    const { halfOpen } = link;
    if (halfOpen === null) return;
    link.halfOpen = null;
    this.halfOpenCount--;
    this.halfOpenBytes -= halfOpen.heldBytes;
    if (halfOpen.timer !== NO_TIMER) this.config.wheel.cancel(halfOpen.timer);
    if (halfOpen.countedHost !== null) this.config.halfOpen.decrement(halfOpen.countedHost);
  }

  onDrain(link: Link): void {
    this.config.beginBatch();
    const { channel, halfOpen } = link;
    if (channel.state === OPEN) {
      channel.drain();
      return;
    }
    if (halfOpen === null || halfOpen.unsent.length === 0 || channel.wire === null) return;
    const bytes = halfOpen.unsent;
    halfOpen.unsent = NOTHING;
    this.sendHandshake(link, bytes);
  }

  onGone(link: Link): void {
    this.config.beginBatch();
    const { channel } = link;
    if (channel.state === CLOSED) return;
    if (channel.state !== OPEN) this.config.counters.add(Counter.link_tls_failed, 1);
    channel.wire = null;
    this.close(channel);
  }

  /** Close a channel in any state. Its circuits die, its buffers and rows are given back. Idempotent. */
  close(channel: Channel): void {
    if (channel.state === CLOSED) return;
    const link = this.bySlot[channel.slot]!;
    const wasOpen = channel.state === OPEN;
    const { wire } = channel;
    channel.flushLast();
    const { congested } = channel;
    if (wasOpen && !isOpen(channel)) return;
    channel.state = CLOSED;
    this.bySlot[channel.slot] = null;
    this.endHalfOpen(link);
    this.dos.release(channel);
    this.config.counters.add(wasOpen ? Counter.channels_closed : Counter.links_closed, 1);
    if (channel.rosterHandle >= 0) this.config.roster.remove(channel.rosterHandle);
    this.config.padding.onClose(channel);
    this.config.sink.onChannelClosed(channel);
    channel.release(this.config.carries);
    this.config.channels.remove(channel);
    if (wire === null) return;
    // A peer that does not read gets no time to take the rest.
    if (wasOpen && !congested) wire.close();
    else wire.abort();
  }

  /** Close everything: the worker stops. */
  closeAll(): void {
    for (const link of [...this.bySlot]) if (link !== null && link !== undefined) this.close(link.channel);
  }
}

/** Asked anew after a call that may have closed the channel. */
function isOpen(channel: Channel): boolean {
  return channel.state === OPEN;
}

function peerOf(channel: Channel): Endpoint {
  return { host: channel.peerHost, port: channel.peerPort };
}

function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}
