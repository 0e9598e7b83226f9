/**
 * How names are looked up for streams: what a lookup is asked for, and what it answers.
 *
 * Answers carry the first address of each family, as C tor takes it, and a TTL that tells nothing of when another
 * stream asked: low or high, plus or minus a random few minutes.
 * @source C tor 0.4.9's dns.c and connection_edge.c; "The effect of DNS on Tor's anonymity" (clipped TTLs)
 */

/** TTL of every RESOLVED answer, in seconds. */
export const RESOLVED_TTL_SEC = 60;

/** TTL of an address that needed no lookup, in seconds. */
export const LITERAL_TTL_SEC = 1800;

/** Address families that are wanted; at least one. */
export interface Wanted {
  readonly ipv4: boolean;
  readonly ipv6: boolean;
}

/** Why there is no answer: there is none (`not-found`), or there may be one next time (`transient`). */
export type LookupFailure = 'not-found' | 'transient';

/** What is known of a name. */
export interface NameAnswer {
  /** 4 bytes; null if not wanted or not found. */
  readonly ipv4: Uint8Array | null;
  /** 16 bytes; null if not wanted or not found. */
  readonly ipv6: Uint8Array | null;
  /** Of a reverse lookup; null otherwise. At most 255 characters of one byte. */
  readonly hostname: string | null;
  /** For CONNECTED: clipped and blurred. */
  readonly ttlSec: number;
  /** Null if there is an address or host name. */
  readonly failure: LookupFailure | null;
}

export type OnAnswer = (answer: NameAnswer) => void;

/** A lookup under way. */
export interface Lookup {
  /** Nobody waits for the answer any more: it will not be given. Harmless once it was. */
  cancel(): void;
}

/** Looks names up. `done` is called once: during the call if the answer is known, else later; never after `cancel`. */
export interface NameResolver {
  /** Addresses of a host name, or of an address literal (`192.0.2.1`, `2001:db8::1`, with brackets or without). */
  resolve(name: string, want: Wanted, done: OnAnswer): Lookup;
  /** The host name of an address (4 or 16 bytes). Internal addresses have none. */
  reverse(host: Uint8Array, done: OnAnswer): Lookup;
  /**
   * What a RESOLVE message asks for: the address of a name or literal, in every family that we exit to, or the host
   * name of `4.3.2.1.in-addr.arpa` and the like.
   */
  resolveMessage(text: string, done: OnAnswer): Lookup;
}
