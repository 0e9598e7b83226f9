/**
 * How many dials of a worker may be under way, and for whom.
 *
 * A dial to a black hole outlives its deadline by minutes in the kernel, each with a file descriptor, and any client
 * can ask for more of them. So all of them together have a bound; half of it is kept for relays of the consensus at
 * the addresses that it gives them, which are there to be reached; and each link's peer may have but a few asked for.
 * A dial counts from `take` until `giveBack`, which is when the kernel is done with it and not when its link is.
 */
import { type Endpoint, sameIp } from '../bytes/address.ts';
import type { WorkerOptions } from '../shm/letter.ts';
import type { RelayIndex } from '../shm/relay-index.ts';
import { Counter, type Scoreboard } from '../shm/scoreboard.ts';
import type { Channel } from './channel.ts';

/** The part of a worker's links that may be dials under way. */
const DIALS_SHARE = 1 / 4;
/** The part of these that may go to whom the consensus does not list. */
const UNLISTED_SHARE = 1 / 2;

/** Where a dial goes. */
export interface DialledPeer {
  readonly rsaId: Uint8Array;
  readonly host: Uint8Array;
  readonly port: number;
}

/** A dial that counts. */
export interface DialTicket {
  readonly asker: Channel | null;
  readonly isListed: boolean;
}

/** The dials of one worker. */
export class DialBudget {
  private readonly counters: Scoreboard;
  private readonly relayIndex: () => RelayIndex;
  private total = 0;
  private unlisted = 0;

  constructor(counters: Scoreboard, relayIndex: () => RelayIndex) {
    this.counters = counters;
    this.relayIndex = relayIndex;
  }

  /** Dials under way, also those that nobody waits for any more. */
  get count(): number {
    return this.total;
  }

  /**
   * Count a dial about to be made; null when it must not be, which is counted, too.
   * @param asker the link whose circuit wants it, if one does
   */
  take(target: DialledPeer, asker: Channel | null, options: WorkerOptions): DialTicket | null {
    const index = this.relayIndex();
    const dialsMax = options.linksMax * DIALS_SHARE;
    if (this.total >= dialsMax) return this.refuse(Counter.link_dial_refused);
    if (asker !== null && asker.askedDials >= askedMax(index, asker, options)) {
      return this.refuse(Counter.link_dial_refused_per_link);
    }
    const isListed = isAtListedAddress(index, target);
    // Before there is a consensus, no one is listed and nothing is kept.
    if (!isListed && index.count > 0 && this.unlisted >= dialsMax * UNLISTED_SHARE) {
      return this.refuse(Counter.link_dial_refused_unlisted);
    }
    this.total++;
    if (!isListed) this.unlisted++;
    if (asker !== null) asker.askedDials++;
    return { asker, isListed };
  }

  /** The kernel is done with a dial. Once for each ticket. */
  giveBack({ asker, isListed }: DialTicket): void {
    this.total--;
    if (!isListed) this.unlisted--;
    if (asker !== null) asker.askedDials--;
  }

  private refuse(counter: number): null {
    this.counters.add(counter, 1);
    return null;
  }
}

/** Relays carry many clients' circuits; but whoever is not listed may be anyone, whatever keys he shows. */
function askedMax(index: RelayIndex, { peerRsaId }: Channel, options: WorkerOptions): number {
  const isListed = peerRsaId !== null && index.find(peerRsaId) >= 0;
  return isListed ? options.dialsPerRelayMax : options.dialsPerLinkMax;
}

function isAtListedAddress(index: RelayIndex, { rsaId, host, port }: DialledPeer): boolean {
  const row = index.find(rsaId);
  if (row < 0) return false;
  const listed: Endpoint | null = host.length === 4 ? index.ipv4(row) : index.ipv6(row);
  return listed !== null && listed.port === port && sameIp(listed.host, host);
}
