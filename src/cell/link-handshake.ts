/**
 * Bodies of the cells that open a channel: VERSIONS, CERTS, AUTH_CHALLENGE, AUTHENTICATE, NETINFO.
 *
 * Only their shape is judged here; what may be sent when, and whether the certificates are worth anything, is
 * for `channel/handshake`. As in C tor, bytes behind the stated content are ignored, save in VERSIONS, which
 * has no length of its own.
 *
 * @source tor-spec "Negotiating and initializing channels"
 */
import { isAnyIp } from '../bytes/address.ts';
import { Reader } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import { assert } from '../fault.ts';

/**
 * Read the link protocols that a peer offers, in its order, doubles and unknown ones included.
 * @throws Malformed for an odd length
 */
export function decodeVersions(body: Uint8Array): number[] {
  const reader = new Reader(body, 'VERSIONS');
  const versions: number[] = [];
  while (reader.remaining > 0) versions.push(reader.u16());
  return versions;
}

/** Encode a VERSIONS body. */
export function encodeVersions(versions: readonly number[]): Uint8Array {
  const writer = new Writer(new Uint8Array(2 * versions.length));
  for (const version of versions) writer.u16(version);
  return writer.buffer;
}

/** One certificate of a CERTS cell, not looked into. */
export interface CertEntry {
  readonly type: number;
  readonly body: Uint8Array;
}

/** Read a CERTS body, in order; types may repeat or be unknown. Bodies are views. @throws Malformed */
export function decodeCerts(body: Uint8Array): CertEntry[] {
  const reader = new Reader(body, 'CERTS');
  const entries: CertEntry[] = [];
  for (let left = reader.u8(); left > 0; left--) {
    const type = reader.u8();
    entries.push({ type, body: reader.view(reader.u16()) });
  }
  return entries;
}

/** Encode a CERTS body. */
export function encodeCerts(entries: readonly CertEntry[]): Uint8Array {
  let length = 1;
  for (const entry of entries) length += 3 + entry.body.length;
  const writer = new Writer(new Uint8Array(length));
  writer.u8(entries.length);
  for (const entry of entries) {
    writer.u8(entry.type);
    writer.u16(entry.body.length);
    writer.bytes(entry.body);
  }
  return writer.buffer;
}

/** Length of the responder's challenge. */
export const CHALLENGE_BYTES = 32;

/** What a responder asks of an initiator that wants to authenticate. */
export interface AuthChallenge {
  /** 32 random bytes. */
  readonly challenge: Uint8Array;
  /** Authentication methods that the responder understands; 3 is the only one in use. */
  readonly methods: number[];
}

/** Read an AUTH_CHALLENGE body; the challenge is a view. @throws Malformed */
export function decodeAuthChallenge(body: Uint8Array): AuthChallenge {
  const reader = new Reader(body, 'AUTH_CHALLENGE');
  const challenge = reader.view(CHALLENGE_BYTES);
  const methods: number[] = [];
  for (let left = reader.u16(); left > 0; left--) methods.push(reader.u16());
  return { challenge, methods };
}

/** Encode an AUTH_CHALLENGE body. */
export function encodeAuthChallenge(challenge: Uint8Array, methods: readonly number[]): Uint8Array {
  assert(challenge.length === CHALLENGE_BYTES, 'an AUTH_CHALLENGE holds 32 random bytes');
  const writer = new Writer(new Uint8Array(CHALLENGE_BYTES + 2 + 2 * methods.length));
  writer.bytes(challenge);
  writer.u16(methods.length);
  for (const method of methods) writer.u16(method);
  return writer.buffer;
}

/** An initiator's answer to the challenge. */
export interface Authenticate {
  readonly method: number;
  /** For method 3: fixed fields, 24 random bytes, signature. */
  readonly authentication: Uint8Array;
}

/** Read an AUTHENTICATE body; the authentication is a view. @throws Malformed */
export function decodeAuthenticate(body: Uint8Array): Authenticate {
  const reader = new Reader(body, 'AUTHENTICATE');
  const method = reader.u16();
  return { method, authentication: reader.view(reader.u16()) };
}

/** Encode an AUTHENTICATE body. */
export function encodeAuthenticate(method: number, authentication: Uint8Array): Uint8Array {
  const writer = new Writer(new Uint8Array(4 + authentication.length));
  writer.u16(method);
  writer.u16(authentication.length);
  writer.bytes(authentication);
  return writer.buffer;
}

const IPV4 = 4;
const IPV6 = 6;

/** What one end of a channel tells the other about time and addresses. */
export interface Netinfo {
  /** Seconds since 1970; clients say 0. */
  readonly timestampSec: number;
  /** Where the sender sees the receiver; null when it says "any address". */
  readonly otherAddress: Uint8Array | null;
  /** The sender's own addresses; clients list none. */
  readonly myAddresses: Uint8Array[];
}

/**
 * Read a NETINFO body; addresses are views.
 *
 * Own addresses that cannot be read are skipped. C tor skips unknown types too, but refuses the cell for an
 * IPv4 or IPv6 address of the wrong length; the specification wants those ignored.
 *
 * @throws Malformed when it is cut short, or when the receiver's address is none that we can read
 */
export function decodeNetinfo(body: Uint8Array): Netinfo {
  const reader: Reader = new Reader(body, 'NETINFO');
  const timestampSec = reader.u32();
  const other = readAddress(reader);
  if (other === null) reader.fail('unreadable address of the receiver');
  const myAddresses: Uint8Array[] = [];
  for (let left = reader.u8(); left > 0; left--) {
    const mine = readAddress(reader);
    if (mine !== null) myAddresses.push(mine);
  }
  return { timestampSec, otherAddress: isAnyIp(other) ? null : other, myAddresses };
}

function readAddress(reader: Reader): Uint8Array | null {
  const type = reader.u8();
  const value = reader.view(reader.u8());
  return (type === IPV4 && value.length === 4) || (type === IPV6 && value.length === 16) ? value : null;
}

/** Encode a NETINFO body. The caller keeps the list of own addresses short enough for a cell: 27 always fit. */
export function encodeNetinfo(netinfo: Netinfo): Uint8Array {
  const other = netinfo.otherAddress ?? new Uint8Array(4);
  let length = 4 + 2 + other.length + 1;
  for (const address of netinfo.myAddresses) length += 2 + address.length;
  const writer = new Writer(new Uint8Array(length));
  writer.u32(netinfo.timestampSec);
  writeAddress(writer, other);
  writer.u8(netinfo.myAddresses.length);
  for (const address of netinfo.myAddresses) writeAddress(writer, address);
  return writer.buffer;
}

function writeAddress(writer: Writer, address: Uint8Array): void {
  assert(address.length === 4 || address.length === 16, 'an IP address has 4 or 16 bytes');
  writer.u8(address.length === 4 ? IPV4 : IPV6);
  writer.u8(address.length);
  writer.bytes(address);
}
