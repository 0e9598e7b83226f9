/**
 * The relays of a consensus, as columns: ten thousand of them in about a megabyte, and few objects.
 *
 * Filled by `consensus.ts`, read by the control plane. Rows are sorted by RSA identity, so one is found by
 * binary search. Nothing in here refers to the document that it was read from.
 *
 * @source dir-spec "Router status entries"
 */
import type { Endpoint } from '../bytes/address.ts';
import { latin1 } from './item.ts';

/** Flags of a router status entry as bits; flags that the table doesn't know are dropped. */
export const RouterFlag = {
  Authority: 1 << 0,
  BadExit: 1 << 1,
  Exit: 1 << 2,
  Fast: 1 << 3,
  Guard: 1 << 4,
  HSDir: 1 << 5,
  MiddleOnly: 1 << 6,
  Named: 1 << 7,
  NoEdConsensus: 1 << 8,
  Running: 1 << 9,
  Stable: 1 << 10,
  StaleDesc: 1 << 11,
  Sybil: 1 << 12,
  Unnamed: 1 << 13,
  V2Dir: 1 << 14,
  Valid: 1 << 15,
} as const;

/** Name of a flag. */
export type RouterFlagName = keyof typeof RouterFlag;

/** One relay's entry. */
export interface RouterStatus {
  readonly nickname: string;
  readonly rsaId: Uint8Array;
  /** `ns`: SHA-1 of the server descriptor, 20 bytes; `microdesc`: SHA-256 of the microdescriptor, 32 bytes. */
  readonly digest: Uint8Array;
  /** When the descriptor was published; a microdesc consensus says a fixed time here. */
  readonly publishedSec: number;
  readonly address: Uint8Array;
  readonly orPort: number;
  readonly dirPort: number;
  readonly ipv6: Endpoint | null;
  /** Bits of `RouterFlag`. */
  readonly flags: number;
  /** Consensus weight in kilobytes per second. */
  readonly bandwidth: number;
  /** Whether the weight is only the relay's own claim. */
  readonly isUnmeasured: boolean;
  /** The text of `pr`. */
  readonly proto: string;
  /** The text of `v`, e.g. `Tor 0.4.9.11`; null when there is none. */
  readonly version: string | null;
}

const ID_BYTES = 20;
const NICKNAME_BYTES = 20;

/** Each distinct text once, by number. */
class TextPool {
  readonly texts: string[] = [];
  readonly #numbers = new Map<string, number>();

  number(text: string): number {
    const known = this.#numbers.get(text);
    if (known !== undefined) return known;
    this.#numbers.set(text, this.texts.length);
    return this.texts.push(text) - 1;
  }
}

/** Relays in columns, in the order of their RSA identities. */
export class RouterTable {
  /** Bytes of a descriptor digest: 20 (ns) or 32 (microdesc). */
  readonly digestBytes: number;
  #capacity = 64;
  #count = 0;
  #rsaIds = new Uint8Array(this.#capacity * ID_BYTES);
  #digests: Uint8Array<ArrayBuffer>;
  /** Length, then up to 19 characters. */
  #nicknames = new Uint8Array(this.#capacity * NICKNAME_BYTES);
  #published = new Float64Array(this.#capacity);
  #ipv4 = new Uint8Array(this.#capacity * 4);
  #ipv6 = new Uint8Array(this.#capacity * 16);
  /** OR, directory and IPv6 OR port; the last is 0 when there is no IPv6 address. */
  #ports = new Uint16Array(this.#capacity * 3);
  #flags = new Uint32Array(this.#capacity);
  #bandwidths = new Uint32Array(this.#capacity);
  #unmeasured = new Uint8Array(this.#capacity);
  #protos = new Uint32Array(this.#capacity);
  /** Number of the text plus one; 0 is none. */
  #versions = new Uint32Array(this.#capacity);
  readonly #pool = new TextPool();

  constructor(digestBytes: 20 | 32) {
    this.digestBytes = digestBytes;
    this.#digests = new Uint8Array(this.#capacity * digestBytes);
  }

  /** How many relays there are. */
  get count(): number {
    return this.#count;
  }

  /**
   * Append a relay; its bytes are copied.
   * @returns false, and nothing is appended, when its identity doesn't sort after the last one's
   */
  append(router: RouterStatus): boolean {
    const row = this.#count;
    if (row > 0 && this.#compareId(row - 1, router.rsaId) >= 0) return false;
    if (row === this.#capacity) this.#grow();
    this.#count++;
    this.#rsaIds.set(router.rsaId, row * ID_BYTES);
    this.#digests.set(router.digest, row * this.digestBytes);
    const nameAt = row * NICKNAME_BYTES;
    this.#nicknames[nameAt] = router.nickname.length;
    for (let i = 0; i < router.nickname.length; i++) {
      this.#nicknames[nameAt + 1 + i] = router.nickname.charCodeAt(i);
    }
    this.#published[row] = router.publishedSec;
    this.#ipv4.set(router.address, row * 4);
    this.#ports[row * 3] = router.orPort;
    this.#ports[row * 3 + 1] = router.dirPort;
    if (router.ipv6 !== null) {
      this.#ipv6.set(router.ipv6.host, row * 16);
      this.#ports[row * 3 + 2] = router.ipv6.port;
    }
    this.#flags[row] = router.flags;
    this.#bandwidths[row] = router.bandwidth;
    this.#unmeasured[row] = router.isUnmeasured ? 1 : 0;
    this.#protos[row] = this.#pool.number(router.proto);
    this.#versions[row] = router.version === null ? 0 : this.#pool.number(router.version) + 1;
    return true;
  }

  /** Find the row of a relay by its RSA identity (20 bytes), or -1. */
  find(rsaId: Uint8Array): number {
    let low = 0;
    let high = this.#count - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const order = this.#compareId(middle, rsaId);
      if (order === 0) return middle;
      if (order < 0) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  /** Give a relay's entry by its RSA identity, or null when it isn't listed. */
  get(rsaId: Uint8Array): RouterStatus | null {
    const row = this.find(rsaId);
    return row < 0 ? null : this.at(row);
  }

  /** Give the entry in a row; its arrays are copies. */
  at(row: number): RouterStatus {
    const nameAt = row * NICKNAME_BYTES + 1;
    const version = this.#versions[row]!;
    return {
      nickname: latin1(this.#nicknames, nameAt, nameAt + this.#nicknames[nameAt - 1]!),
      rsaId: this.rsaId(row).slice(),
      digest: this.#digests.slice(row * this.digestBytes, (row + 1) * this.digestBytes),
      publishedSec: this.#published[row]!,
      address: this.#ipv4.slice(row * 4, row * 4 + 4),
      orPort: this.#ports[row * 3]!,
      dirPort: this.#ports[row * 3 + 1]!,
      ipv6: this.#ipv6At(row),
      flags: this.flags(row),
      bandwidth: this.bandwidth(row),
      isUnmeasured: this.#unmeasured[row] === 1,
      proto: this.#pool.texts[this.#protos[row]!]!,
      version: version === 0 ? null : this.#pool.texts[version - 1]!,
    };
  }

  /** Give the RSA identity in a row: a view, not to be changed. */
  rsaId(row: number): Uint8Array {
    return this.#rsaIds.subarray(row * ID_BYTES, (row + 1) * ID_BYTES);
  }

  /** Give the descriptor digest in a row: a view, not to be changed. */
  digest(row: number): Uint8Array {
    return this.#digests.subarray(row * this.digestBytes, (row + 1) * this.digestBytes);
  }

  /** Give the flags in a row. */
  flags(row: number): number {
    return this.#flags[row]!;
  }

  /** Give the consensus weight in a row. */
  bandwidth(row: number): number {
    return this.#bandwidths[row]!;
  }

  #ipv6At(row: number): Endpoint | null {
    const port = this.#ports[row * 3 + 2]!;
    return port === 0 ? null : { host: this.#ipv6.slice(row * 16, row * 16 + 16), port };
  }

  #compareId(row: number, rsaId: Uint8Array): number {
    const at = row * ID_BYTES;
    for (let i = 0; i < ID_BYTES; i++) {
      const difference = this.#rsaIds[at + i]! - rsaId[i]!;
      if (difference !== 0) return difference;
    }
    return 0;
  }

  #grow(): void {
    this.#capacity *= 2;
    const bytes = (old: Uint8Array, width: number): Uint8Array<ArrayBuffer> => {
      const next = new Uint8Array(this.#capacity * width);
      next.set(old);
      return next;
    };
    const words = (old: Uint32Array): Uint32Array<ArrayBuffer> => {
      const next = new Uint32Array(this.#capacity);
      next.set(old);
      return next;
    };
    this.#rsaIds = bytes(this.#rsaIds, ID_BYTES);
    this.#digests = bytes(this.#digests, this.digestBytes);
    this.#nicknames = bytes(this.#nicknames, NICKNAME_BYTES);
    this.#ipv4 = bytes(this.#ipv4, 4);
    this.#ipv6 = bytes(this.#ipv6, 16);
    this.#unmeasured = bytes(this.#unmeasured, 1);
    this.#flags = words(this.#flags);
    this.#bandwidths = words(this.#bandwidths);
    this.#protos = words(this.#protos);
    this.#versions = words(this.#versions);
    const published = new Float64Array(this.#capacity);
    published.set(this.#published);
    this.#published = published;
    const ports = new Uint16Array(this.#capacity * 3);
    ports.set(this.#ports);
    this.#ports = ports;
  }
}

/** Print the names of a set of flags, in ASCII order as consensuses list them. */
export function flagNames(flags: number): RouterFlagName[] {
  const names = Object.keys(RouterFlag) as RouterFlagName[];
  return names.filter((name) => (flags & RouterFlag[name]) !== 0);
}
