/**
 * What workers know of the consensus: each relay's advertised addresses, by RSA identity.
 *
 * One immutable block of sorted rows. Main builds a new one when a consensus arrives and letters it; a worker swaps
 * its reference between batches. Nothing is ever written into a block that a worker holds, so nothing is locked.
 */
import type { Endpoint } from '../bytes/address.ts';
import { assert } from '../fault.ts';

/** A relay's row. */
export interface IndexedRelay {
  readonly rsaId: Uint8Array;
  readonly ipv4: Endpoint | null;
  readonly ipv6: Endpoint | null;
}

const HEADER_BYTES = 4;
const ID_BYTES = 20;
const IPV4_AT = ID_BYTES;
const IPV6_AT = IPV4_AT + 6;
const ROW_BYTES = IPV6_AT + 18;

/** A read-only view of one block. */
export class RelayIndex {
  /** Relays in it. */
  readonly count: number;
  private readonly bytes: Uint8Array;

  /** Build a block from relays in rising order of their RSA identities. */
  static create(relays: readonly IndexedRelay[]): SharedArrayBuffer {
    const sab = new SharedArrayBuffer(HEADER_BYTES + relays.length * ROW_BYTES);
    const bytes = new Uint8Array(sab);
    new DataView(sab).setUint32(0, relays.length);
    for (const [row, relay] of relays.entries()) {
      const at = HEADER_BYTES + row * ROW_BYTES;
      assert(relay.rsaId.length === ID_BYTES, 'relay index: an RSA id has 20 bytes');
      bytes.set(relay.rsaId, at);
      writeEndpoint(bytes, at + IPV4_AT, relay.ipv4, 4);
      writeEndpoint(bytes, at + IPV6_AT, relay.ipv6, 16);
    }
    return sab;
  }

  constructor(sab: SharedArrayBuffer) {
    this.bytes = new Uint8Array(sab);
    this.count = new DataView(sab).getUint32(0);
    assert(sab.byteLength === HEADER_BYTES + this.count * ROW_BYTES, 'relay index: block not made by create');
  }

  /** Find a relay's row by its RSA identity; -1 when the consensus does not list it. */
  find(rsaId: Uint8Array): number {
    let low = 0;
    let high = this.count - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const order = this.compare(middle, rsaId);
      if (order === 0) return middle;
      if (order < 0) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  private compare(row: number, rsaId: Uint8Array): number {
    const at = HEADER_BYTES + row * ROW_BYTES;
    for (let i = 0; i < ID_BYTES; i++) {
      const difference = this.bytes[at + i]! - rsaId[i]!;
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
