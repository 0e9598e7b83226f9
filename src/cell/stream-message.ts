/**
 * Messages of streams: BEGIN, CONNECTED, END, RESOLVE, RESOLVED, XON and XOFF. DATA is bytes and nothing else, and
 * BEGIN_DIR is empty.
 *
 * Names are bytes on the wire and become strings of one character per byte; nothing here says whether a name may be
 * looked up. IPv6 addresses stand in brackets in BEGIN.
 *
 * @source tor-spec "Opening streams and transferring data", "Closing streams", "Remote hostname lookup"; proposal 324
 */
import { parseIp } from '../bytes/address.ts';
import { Reader } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import { assert, Malformed } from '../fault.ts';

/** Bits of the flag word behind the address of BEGIN. */
export const BeginFlag = {
  IPV6_OK: 1,
  IPV4_NOT_OK: 2,
  IPV6_PREFERRED: 4,
} as const;

/** What a client wants to be connected to. */
export interface Begin {
  /** An address, or a name in lower case; never empty. */
  readonly host: string;
  /** 4 or 16 bytes when `host` is an address, else null. */
  readonly address: Uint8Array | null;
  readonly port: number;
  readonly flags: number;
}

const FLAG_BYTES = 4;
const PORT_MAX = 65535;

/** Read a BEGIN. @throws Malformed without a NUL, with no port, or with one that is none */
export function decodeBegin(data: Uint8Array): Begin {
  const nul = data.indexOf(0);
  if (nul < 0) throw new Malformed('BEGIN', 'no NUL', data.length);
  const text = latin1(data.subarray(0, nul)).toLowerCase();
  const colon = text.lastIndexOf(':');
  // An IPv6 address without brackets is an address without a port.
  if (colon < 1 || (text.indexOf(':') !== colon && !text.startsWith('['))) {
    throw new Malformed('BEGIN', 'no port', nul);
  }
  const digits = text.slice(colon + 1);
  const port = /^[0-9]{1,9}$/.test(digits) ? Number(digits) : 0;
  if (port < 1 || port > PORT_MAX) throw new Malformed('BEGIN', 'a port that is none', colon + 1);
  const host = text.slice(0, colon);
  const flags = data.length >= nul + 1 + FLAG_BYTES ? new Reader(data, 'BEGIN', nul + 1).u32() : 0;
  return { host, address: parseIp(host), port, flags };
}

/** Encode a BEGIN. `target` is `host:port`, IPv6 addresses in brackets; without flags the word is left out. */
export function encodeBegin(target: string, flags = 0): Uint8Array {
  const writer = new Writer(new Uint8Array(target.length + 1 + (flags === 0 ? 0 : FLAG_BYTES)));
  writer.bytes(fromLatin1(target));
  writer.u8(0);
  if (flags !== 0) writer.u32(flags);
  return writer.buffer;
}

/** Where a stream got connected to, and for how long its name may be remembered (seconds). */
export interface Connected {
  /** 4 or 16 bytes; null when it is left out, as for BEGIN_DIR. */
  readonly address: Uint8Array | null;
  readonly ttl: number;
}

const IPV6_MARK = 6;

/** Encode a CONNECTED: IPv4 and TTL; or four zeros, a 6, IPv6 and TTL. */
export function encodeConnected(address: Uint8Array, ttl: number): Uint8Array {
  const ipv6 = address.length === 16;
  const writer = new Writer(new Uint8Array(ipv6 ? 25 : 8));
  if (ipv6) {
    writer.u32(0);
    writer.u8(IPV6_MARK);
  }
  writer.bytes(address);
  writer.u32(ttl);
  return writer.buffer;
}

/** Read a CONNECTED; the address is a copy. An old one leaves out the TTL. @throws Malformed */
export function decodeConnected(data: Uint8Array): Connected {
  if (data.length === 0) return { address: null, ttl: 0 };
  const reader = new Reader(data, 'CONNECTED');
  const address = reader.copy(4);
  if (address.some((byte) => byte !== 0)) {
    return { address, ttl: reader.remaining >= 4 ? reader.u32() : 0 };
  }
  if (reader.u8() !== IPV6_MARK) reader.fail('an unknown type of address');
  return { address: reader.copy(16), ttl: reader.u32() };
}

/** Why a stream ended; of a refusal by exit policy also the address that was refused, and its TTL in seconds. */
export interface End {
  readonly reason: number;
  readonly address: Uint8Array | null;
  readonly ttl: number;
}

/** `EndReason.EXITPOLICY`, the only one with an address behind it. */
const EXITPOLICY = 4;

/** Read an END; the address is a copy. @throws Malformed when it is empty, as C tor refuses that */
export function decodeEnd(data: Uint8Array): End {
  const reader = new Reader(data, 'END');
  const reason = reader.u8();
  const { remaining } = reader;
  if (reason !== EXITPOLICY || (remaining !== 8 && remaining !== 20))
    return { reason, address: null, ttl: 0 };
  return { reason, address: reader.copy(remaining - 4), ttl: reader.u32() };
}

/** Encode an END. */
export function encodeEnd(reason: number): Uint8Array {
  return Uint8Array.of(reason);
}

/** Encode the END of a stream whose address the exit policy refuses. */
export function encodePolicyEnd(address: Uint8Array, ttl: number): Uint8Array {
  const writer = new Writer(new Uint8Array(1 + address.length + 4));
  writer.u8(EXITPOLICY);
  writer.bytes(address);
  writer.u32(ttl);
  return writer.buffer;
}

/** Read the name or address that RESOLVE asks about: everything up to the first NUL. */
export function decodeResolve(data: Uint8Array): string {
  const nul = data.indexOf(0);
  return latin1(nul < 0 ? data : data.subarray(0, nul));
}

/** Encode a RESOLVE. */
export function encodeResolve(name: string): Uint8Array {
  const data = new Uint8Array(name.length + 1);
  data.set(fromLatin1(name));
  return data;
}

/** Types of the answers in RESOLVED. */
export const ResolvedType = {
  HOSTNAME: 0,
  IPV4: 4,
  IPV6: 6,
  ERROR_TRANSIENT: 0xf0,
  ERROR: 0xf1,
} as const;

/** One answer. `value` has at most 255 bytes; `ttl` is in seconds. */
export interface Resolved {
  readonly type: number;
  readonly value: Uint8Array;
  readonly ttl: number;
}

/** Encode the answers of a RESOLVED. */
export function encodeResolved(answers: readonly Resolved[]): Uint8Array {
  let length = 0;
  for (const { value } of answers) length += 6 + value.length;
  const writer = new Writer(new Uint8Array(length));
  for (const { type, value, ttl } of answers) {
    writer.u8(type);
    writer.u8(value.length);
    writer.bytes(value);
    writer.u32(ttl);
  }
  return writer.buffer;
}

/** Read the answers of a RESOLVED; values are copies. @throws Malformed when one is cut short or has a wrong size */
export function decodeResolved(data: Uint8Array): Resolved[] {
  const reader = new Reader(data, 'RESOLVED');
  const answers: Resolved[] = [];
  while (reader.remaining > 0) {
    const type = reader.u8();
    const value = reader.copy(reader.u8());
    if (type === ResolvedType.IPV4 && value.length !== 4) reader.fail('an IPv4 address of another size');
    if (type === ResolvedType.IPV6 && value.length !== 16) reader.fail('an IPv6 address of another size');
    answers.push({ type, value, ttl: reader.u32() });
  }
  return answers;
}

const FLOW_VERSION = 0;

/** Encode an XOFF: stop sending on this stream. */
export function encodeXoff(): Uint8Array {
  return Uint8Array.of(FLOW_VERSION);
}

/** Read an XOFF. What trails it is ignored. @throws Malformed for another version than 0 */
export function decodeXoff(data: Uint8Array): void {
  const reader = new Reader(data, 'XOFF');
  if (reader.u8() !== FLOW_VERSION) reader.fail('unknown version');
}

/** Encode an XON: go on sending, at about this rate in 1000 bytes per second; 0 gives no advice. */
export function encodeXon(rate: number): Uint8Array {
  assert(rate >= 0 && rate <= 0xffffffff, 'the rate of XON fits 32 bits');
  const writer = new Writer(new Uint8Array(5));
  writer.u8(FLOW_VERSION);
  writer.u32(rate);
  return writer.buffer;
}

/** Read the rate of an XON, in 1000 bytes per second. What trails it is ignored. @throws Malformed */
export function decodeXon(data: Uint8Array): number {
  const reader = new Reader(data, 'XON');
  if (reader.u8() !== FLOW_VERSION) reader.fail('unknown version');
  return reader.u32();
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

function fromLatin1(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}
