/**
 * Relay messages that join circuits to a conflux set: CONFLUX_LINK, LINKED, LINKED_ACK and SWITCH.
 *
 * LINK and LINKED share a form: version (1), nonce (32), last sequence number sent (8) and received (8), desired user
 * experience (1). LINKED_ACK is empty. SWITCH is the 4-byte distance from the sequence number of the leg it comes on to
 * the number before the next message. What trails is ignored, as in C tor, whose SWITCH was padded to a whole message
 * before 0.4.9.4.
 * @source proposal 329
 */
import { Reader } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import { assert } from '../fault.ts';

export const CONFLUX_NONCE_BYTES = 32;
/** The only version of LINK and LINKED. */
export const CONFLUX_VERSION = 1;
const LINK_BYTES = 1 + CONFLUX_NONCE_BYTES + 8 + 8 + 1;

/** What a side would like the other one to optimise when it sends. */
export const ConfluxUx = {
  NO_OPINION: 0,
  MIN_LATENCY: 1,
  LOW_MEM_LATENCY: 2,
  HIGH_THROUGHPUT: 3,
  LOW_MEM_THROUGHPUT: 4,
} as const;

/** A LINK or LINKED. */
export interface ConfluxLink {
  /** 32 bytes. */
  readonly nonce: Uint8Array;
  /** The sender's sequence numbers in this set: the last that it sent on any leg, and the last that it delivered. */
  readonly lastSeqSent: bigint;
  readonly lastSeqRecv: bigint;
  /** One of `ConfluxUx`. */
  readonly desiredUx: number;
}

/** Read a LINK; the nonce is a view. @throws Malformed when it is cut short, of another version, or asks for no known UX */
export function decodeConfluxLink(data: Uint8Array): ConfluxLink {
  return decodeLink(data, 'CONFLUX_LINK');
}

/** Read a LINKED; the nonce is a view. @throws Malformed as for LINK */
export function decodeConfluxLinked(data: Uint8Array): ConfluxLink {
  return decodeLink(data, 'CONFLUX_LINKED');
}

function decodeLink(data: Uint8Array, noun: string): ConfluxLink {
  const reader = new Reader(data, noun);
  if (reader.u8() !== CONFLUX_VERSION) reader.fail('unknown version');
  const nonce = reader.view(CONFLUX_NONCE_BYTES);
  const lastSeqSent = reader.u64();
  const lastSeqRecv = reader.u64();
  const desiredUx = reader.u8();
  if (desiredUx > ConfluxUx.LOW_MEM_THROUGHPUT) reader.fail('unknown desired user experience');
  return { nonce, lastSeqSent, lastSeqRecv, desiredUx };
}

/** Encode a LINK, or a LINKED: 50 bytes. */
export function encodeConfluxLink(link: ConfluxLink): Uint8Array {
  assert(link.nonce.length === CONFLUX_NONCE_BYTES, 'a conflux nonce has 32 bytes');
  const writer = new Writer(new Uint8Array(LINK_BYTES));
  writer.u8(CONFLUX_VERSION);
  writer.bytes(link.nonce);
  writeU64(writer, link.lastSeqSent);
  writeU64(writer, link.lastSeqRecv);
  writer.u8(link.desiredUx);
  return writer.buffer;
}

function writeU64(writer: Writer, value: bigint): void {
  writer.u32(Number(value >> 32n));
  writer.u32(Number(value & 0xffffffffn));
}

/** Read the relative sequence number of a SWITCH. @throws Malformed when it is cut short */
export function decodeConfluxSwitch(data: Uint8Array): number {
  return new Reader(data, 'CONFLUX_SWITCH').u32();
}

/** Encode a SWITCH: 4 bytes. */
export function encodeConfluxSwitch(relativeSeq: number): Uint8Array {
  const writer = new Writer(new Uint8Array(4));
  writer.u32(relativeSeq);
  return writer.buffer;
}
