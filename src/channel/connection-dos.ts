/**
 * Refusing links of clients that hold too many or open them too fast: asked at accept, told of each end.
 *
 * Who is spared: addresses of listed relays and of authorities, which are not even counted; and a peer that proves in
 * its handshake to be a listed relay, whose link is taken out of the count. As long as no consensus is known, any peer
 * that authenticates is; later an identity of one's own making does not help. Links that are counted are those whose
 * circuits `circuit/circuit-dos` watches. Nothing is logged: addresses of clients are nobody's affair.
 * @source C tor's DoS mitigation, "concurrent connection" and "connect rate"
 */
import { ConnectVerdict, type DosLimits, type DosTable, UNCOUNTED } from '../shm/dos-table.ts';
import type { RelayIndex } from '../shm/relay-index.ts';
import { Counter, type Scoreboard } from '../shm/scoreboard.ts';
import type { Channel } from './channel.ts';

const REFUSALS: Readonly<Record<number, number>> = {
  [ConnectVerdict.MARKED]: Counter.dos_link_refused_marked,
  [ConnectVerdict.TOO_MANY]: Counter.dos_link_refused_concurrent,
  [ConnectVerdict.NET_MARKED]: Counter.dos_link_refused_net_marked,
  [ConnectVerdict.NET_TOO_MANY]: Counter.dos_link_refused_net_concurrent,
};

/** The defence at the door of one worker. */
export class ConnectionDos {
  private readonly table: DosTable;
  private readonly counters: Scoreboard;
  private readonly relayIndex: () => RelayIndex;

  constructor(table: DosTable, counters: Scoreboard, relayIndex: () => RelayIndex) {
    this.table = table;
    this.counters = counters;
    this.relayIndex = relayIndex;
  }

  /**
   * Decide on a new link from an address (4 or 16 bytes), and count it or its refusal.
   * @returns whether it may be; then `keep` must follow with its channel, before any other address is asked about
   */
  admit(host: Uint8Array, nowMs: number, limits: DosLimits): boolean {
    const { table, counters } = this;
    table.handles.fill(UNCOUNTED);
    if (!limits.connectionsWatched && !limits.circuitsWatched) return true;
    if (this.relayIndex().listsAddress(host)) return true;
    const verdict = table.connect(host, nowMs, limits);
    if (verdict !== ConnectVerdict.ADMITTED) {
      counters.add(REFUSALS[verdict]!, 1);
      return false;
    }
    if (table.newMarks > 0) counters.add(Counter.dos_link_marks, table.newMarks);
    if (table.noRoom > 0) counters.add(Counter.dos_no_room, table.noRoom);
    return true;
  }

  /** The link that was admitted last got this channel. */
  keep(channel: Channel): void {
    const { handles } = this.table;
    channel.dosHost = handles[0]!;
    channel.dosNet64 = handles[1]!;
    channel.dosNet48 = handles[2]!;
  }

  /** The peer proved its identity. */
  onAuthenticated(channel: Channel, rsaId: Uint8Array): void {
    const index = this.relayIndex();
    if (index.count === 0 || index.find(rsaId) >= 0) this.release(channel);
  }

  /** Count a link no longer, if it was. Idempotent. */
  release(channel: Channel): void {
    const { table } = this;
    if (channel.dosHost !== UNCOUNTED) table.leave(channel.dosHost);
    if (channel.dosNet64 !== UNCOUNTED) table.leave(channel.dosNet64);
    if (channel.dosNet48 !== UNCOUNTED) table.leave(channel.dosNet48);
    channel.dosHost = UNCOUNTED;
    channel.dosNet64 = UNCOUNTED;
    channel.dosNet48 = UNCOUNTED;
  }
}
