/**
 * What workers know of the consensus: each relay's advertised addresses and its Ed25519 identity, by RSA identity, and
 * which addresses are a relay's or an authority's.
 *
 * One immutable block: rows sorted by identity, then all IPv4 and all IPv6 addresses, sorted, too. Main builds a new
 * one when a consensus arrives and letters it; a worker swaps its reference between batches. Nothing is ever written
 * into a block that a worker holds, so nothing is locked.
 */
import type { Endpoint } from '../bytes/address.ts';
import { assert } from '../fault.ts';

/** A relay's row. */
export interface IndexedRelay {
  readonly rsaId: Uint8Array;
  readonly ipv4: Endpoint | null;
  readonly ipv6: Endpoint | null;
  /** 32 bytes; left out or null while its microdescriptor is not there. */
  readonly ed25519Id?: Uint8Array | null;
}

/** Counts: rows, IPv4 addresses, IPv6 addresses. */
const HEADER_BYTES = 12;
const ID_BYTES = 20;
const IPV4_AT = ID_BYTES;
const IPV6_AT = IPV4_AT + 6;
const ED25519_AT = IPV6_AT + 18;
const ED25519_BYTES = 32;
const ROW_BYTES = ED25519_AT + ED25519_BYTES;

/** A read-only view of one block. */
export class RelayIndex {
  /** Relays in it. */
  readonly count: number;
  private readonly bytes: Uint8Array;
  private readonly ipv4Count: number;
  private readonly ipv6Count: number;
  private readonly addressesAt: number;

  /**
   * Build a block from relays in rising order of their RSA identities.
   * @param others addresses (4 or 16 bytes) that count as a relay's without a row: those of the authorities
   */
  static create(relays: readonly IndexedRelay[], others: readonly Uint8Array[] = []): SharedArrayBuffer {
    const hosts = [...others];
    for (const { ipv4, ipv6 } of relays) {
      if (ipv4 !== null) hosts.push(ipv4.host);
      if (ipv6 !== null) hosts.push(ipv6.host);
    }
    const ipv4 = hosts.filter(({ length }) => length === 4).sort(Buffer.compare);
    const ipv6 = hosts.filter(({ length }) => length === 16).sort(Buffer.compare);
    const addressesAt = HEADER_BYTES + relays.length * ROW_BYTES;
    const sab = new SharedArrayBuffer(addressesAt + ipv4.length * 4 + ipv6.length * 16);
    const bytes = new Uint8Array(sab);
    const header = new DataView(sab);
    header.setUint32(0, relays.length);
    header.setUint32(4, ipv4.length);
    header.setUint32(8, ipv6.length);
    for (const [i, host] of ipv4.entries()) bytes.set(host, addressesAt + i * 4);
    for (const [i, host] of ipv6.entries()) bytes.set(host, addressesAt + ipv4.length * 4 + i * 16);
    for (const [row, relay] of relays.entries()) {
      const at = HEADER_BYTES + row * ROW_BYTES;
      assert(relay.rsaId.length === ID_BYTES, 'relay index: an RSA id has 20 bytes');
      bytes.set(relay.rsaId, at);
      writeEndpoint(bytes, at + IPV4_AT, relay.ipv4, 4);
      writeEndpoint(bytes, at + IPV6_AT, relay.ipv6, 16);
      bytes.set(relay.ed25519Id ?? [], at + ED25519_AT);
    }
    return sab;
  }

  constructor(sab: SharedArrayBuffer) {
    this.bytes = new Uint8Array(sab);
    const header = new DataView(sab);
    this.count = header.getUint32(0);
    this.ipv4Count = header.getUint32(4);
    this.ipv6Count = header.getUint32(8);
    this.addressesAt = HEADER_BYTES + this.count * ROW_BYTES;
    const bytes = this.addressesAt + this.ipv4Count * 4 + this.ipv6Count * 16;
    assert(sab.byteLength === bytes, 'relay index: block not made by create');
  }

  /** Find a relay's row by its RSA identity; -1 when the consensus does not list it. */
  find(rsaId: Uint8Array): number {
    let low = 0;
    let high = this.count - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const order = this.compare(HEADER_BYTES + middle * ROW_BYTES, rsaId);
      if (order === 0) return middle;
      if (order < 0) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  /** Tell whether an address (4 or 16 bytes) is that of a listed relay or of an authority. */
  listsAddress(host: Uint8Array): boolean {
    const { length } = host;
    const at = this.addressesAt + (length === 4 ? 0 : this.ipv4Count * 4);
    let low = 0;
    let high = (length === 4 ? this.ipv4Count : this.ipv6Count) - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const order = this.compare(at + middle * length, host);
      if (order === 0) return true;
      if (order < 0) low = middle + 1;
      else high = middle - 1;
    }
    return false;
  }

  /** Tell whether a listed relay has its ORPort there. */
  listsEndpoint(host: Uint8Array, port: number): boolean {
    if (!this.listsAddress(host)) return false;
    // Seldom: few destinations are relays.
    const offset = host.length === 4 ? IPV4_AT : IPV6_AT;
    for (let row = 0; row < this.count; row++) {
      const at = HEADER_BYTES + row * ROW_BYTES + offset;
      const portAt = at + host.length;
      if (((this.bytes[portAt]! << 8) | this.bytes[portAt + 1]!) === port && this.compare(at, host) === 0)
        return true;
    }
    return false;
  }

  private compare(at: number, wanted: Uint8Array): number {
    for (let i = 0; i < wanted.length; i++) {
      const difference = this.bytes[at + i]! - wanted[i]!;
      if (difference !== 0) return difference;
    }
    return 0;
  }

  /** A relay's IPv4 ORPort, a copy; null when it has none. */
  ipv4(row: number): Endpoint | null {
    return this.endpoint(HEADER_BYTES + row * ROW_BYTES + IPV4_AT, 4);
  }

  /** A relay's IPv6 ORPort, a copy; null when it has none. */
  ipv6(row: number): Endpoint | null {
    return this.endpoint(HEADER_BYTES + row * ROW_BYTES + IPV6_AT, 16);
  }

  /** A relay's Ed25519 identity, a view; null when it is not known. */
  ed25519Id(row: number): Uint8Array | null {
    const at = HEADER_BYTES + row * ROW_BYTES + ED25519_AT;
    const id = this.bytes.subarray(at, at + ED25519_BYTES);
    return id.every((byte) => byte === 0) ? null : id;
  }

  private endpoint(at: number, hostBytes: number): Endpoint | null {
    const port = (this.bytes[at + hostBytes]! << 8) | this.bytes[at + hostBytes + 1]!;
    return port === 0 ? null : { host: this.bytes.slice(at, at + hostBytes), port };
  }
}

function writeEndpoint(bytes: Uint8Array, at: number, endpoint: Endpoint | null, hostBytes: number): void {
  if (endpoint === null) return;
  assert(endpoint.host.length === hostBytes, 'relay index: an address of the wrong family');
  bytes.set(endpoint.host, at);
  bytes[at + hostBytes] = endpoint.port >> 8;
  bytes[at + hostBytes + 1] = endpoint.port & 255;
}
