/**
 * What peers tell of the address at which they see us: NETINFO's other address.
 *
 * Authorities' word counts as a suggestion when we do not know our address otherwise; main judges it. A relay that
 * dialled us at an address that we publish, and asks for a circuit, shows that this address can be reached from outside.
 * Clients are not asked: whoever proves no identity could claim anything.
 * @source C tor's relay_find_addr.c and onionskin_answer; tor-spec "NETINFO cells"
 */
import { isInternalIp, sameIp } from '../bytes/address.ts';
import { equal } from '../bytes/secret.ts';
import type { WorkerOptions } from '../shm/letter.ts';
import type { Channel } from './channel.ts';

/** Tells main that an authority at `peerHost` sees us at `host`. */
export type TellAddressSeen = (host: Uint8Array, peerHost: Uint8Array) => void;

/** Note what a peer that proved its identity says of our address; `seen` is kept. */
export function noteAddressSeen(
  channel: Channel,
  rsaId: Uint8Array,
  seen: Uint8Array | null,
  options: WorkerOptions,
  tell: TellAddressSeen,
): void {
  if (seen === null) return;
  if (!channel.initiated) channel.ourAddressSeen = seen;
  if (options.authorityIds.some((id) => equal(id, rsaId))) tell(seen, channel.peerHost);
}

/**
 * Which of our published addresses a circuit that this peer asks for proves reachable: its length in bytes, 4 or 16;
 * 0: none. The peer must have come over the family that it speaks of, and from elsewhere.
 */
export function reachedAddress(channel: Channel, options: WorkerOptions): 0 | 4 | 16 {
  const { ourAddressSeen: seen, peerHost } = channel;
  if (seen === null || seen.length !== peerHost.length) return 0;
  if (isInternalIp(peerHost) && !options.extendAllowPrivateAddresses) return 0;
  if (!options.publishedHosts.some((host) => sameIp(host, seen))) return 0;
  return seen.length === 4 ? 4 : 16;
}
