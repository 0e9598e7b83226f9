/**
 * The relay message inside the 509-byte body of a RELAY or RELAY_EARLY cell: tor1's format, version 0. @hot
 *
 * Command (1), recognised (2), stream id (2), digest (4), length (2), data (at most 498), then 4 zero bytes
 * and random bytes, so that nobody can foretell the body and forge authenticated SENDMEs. The fields mean
 * something only after decryption, and only once the layer has found the message to be ours.
 *
 * Accessors take `(bytes, at)`, where `at` is the offset of the body (cell offset plus `BODY_AT`).
 *
 * @source tor-spec "Relay cells"; proposal 289
 */
import { assert } from '../fault.ts';
import { BODY_BYTES } from './cell.ts';

/** Commands of relay messages. */
export const RelayCommand = {
  BEGIN: 1,
  DATA: 2,
  END: 3,
  CONNECTED: 4,
  SENDME: 5,
  EXTEND: 6,
  EXTENDED: 7,
  TRUNCATE: 8,
  TRUNCATED: 9,
  DROP: 10,
  RESOLVE: 11,
  RESOLVED: 12,
  BEGIN_DIR: 13,
  EXTEND2: 14,
  EXTENDED2: 15,
  CONFLUX_LINK: 19,
  CONFLUX_LINKED: 20,
  CONFLUX_LINKED_ACK: 21,
  CONFLUX_SWITCH: 22,
  ESTABLISH_INTRO: 32,
  ESTABLISH_RENDEZVOUS: 33,
  INTRODUCE1: 34,
  INTRODUCE2: 35,
  RENDEZVOUS1: 36,
  RENDEZVOUS2: 37,
  INTRO_ESTABLISHED: 38,
  RENDEZVOUS_ESTABLISHED: 39,
  INTRODUCE_ACK: 40,
  PADDING_NEGOTIATE: 41,
  PADDING_NEGOTIATED: 42,
  XOFF: 43,
  XON: 44,
} as const;

/** Offset of the relay command in the body. */
export const RELAY_COMMAND_AT = 0;
/** Offset of the 2-byte field that is zero in a message for us. */
export const RECOGNIZED_AT = 1;
/** Offset of the 2-byte stream id. */
export const STREAM_ID_AT = 3;
/** Offset of the 4-byte running digest. */
export const DIGEST_AT = 5;
/** Offset of the 2-byte length of the data. */
export const LENGTH_AT = 9;
/** Offset of the data. */
export const DATA_AT = 11;
/** Most bytes of data that fit a message. */
export const RELAY_DATA_MAX = BODY_BYTES - DATA_AT;
/** Zero bytes between the data and the random padding. */
export const PADDING_GAP = 4;

const NAMES: string[] = [];
for (const name of Object.keys(RelayCommand)) NAMES[RelayCommand[name as keyof typeof RelayCommand]] = name;

/** Name a relay command for people; unassigned ones are called by number. */
export function relayCommandName(command: number): string {
  return NAMES[command] ?? 'relay command '.concat(String(command));
}

/** Read the relay command. */
export function relayCommand(bytes: Uint8Array, at: number): number {
  return bytes[at + RELAY_COMMAND_AT]!;
}

/** Read the recognised field. */
export function relayRecognized(bytes: Uint8Array, at: number): number {
  return (bytes[at + RECOGNIZED_AT]! << 8) | bytes[at + RECOGNIZED_AT + 1]!;
}

/** Read the stream id; 0 means that the message concerns the whole circuit. */
export function relayStreamId(bytes: Uint8Array, at: number): number {
  return (bytes[at + STREAM_ID_AT]! << 8) | bytes[at + STREAM_ID_AT + 1]!;
}

/** Read the stated length of the data. The caller refuses a message that states more than `RELAY_DATA_MAX`. */
export function relayLength(bytes: Uint8Array, at: number): number {
  return (bytes[at + LENGTH_AT]! << 8) | bytes[at + LENGTH_AT + 1]!;
}

/** Read the data as a view, or null when the stated length is more than a body holds. */
export function relayData(bytes: Uint8Array, at: number): Uint8Array | null {
  const length = relayLength(bytes, at);
  return length > RELAY_DATA_MAX ? null : bytes.subarray(at + DATA_AT, at + DATA_AT + length);
}

/** Write a head; the digest is zero. */
function writeHead(bytes: Uint8Array, at: number, command: number, streamId: number, length: number): void {
  bytes[at + RELAY_COMMAND_AT] = command;
  bytes[at + RECOGNIZED_AT] = 0;
  bytes[at + RECOGNIZED_AT + 1] = 0;
  bytes[at + STREAM_ID_AT] = streamId >>> 8;
  bytes[at + STREAM_ID_AT + 1] = streamId;
  bytes[at + DIGEST_AT] = 0;
  bytes[at + DIGEST_AT + 1] = 0;
  bytes[at + DIGEST_AT + 2] = 0;
  bytes[at + DIGEST_AT + 3] = 0;
  bytes[at + LENGTH_AT] = length >>> 8;
  bytes[at + LENGTH_AT + 1] = length;
}

/**
 * Write the head of a DATA message over the body at `at`, whose data and padding stand there already. The layer fills
 * in the digest.
 */
export function writeDataHead(bytes: Uint8Array, at: number, streamId: number, length: number): void {
  writeHead(bytes, at, RelayCommand.DATA, streamId, length);
}

/**
 * Write a message over the 509-byte body at `at`.
 *
 * Recognised and digest fields become zero: the layer fills in the digest. Behind the data come 4 zero bytes,
 * then what `random(n)` returns for the n bytes that are left; without `random` they are zero, which only
 * tests should want. `data` is copied and may not overlap the body.
 */
export function writeRelayMessage(
  bytes: Uint8Array,
  at: number,
  command: number,
  streamId: number,
  data: Uint8Array,
  random?: (n: number) => Uint8Array,
): void {
  const length = data.length;
  assert(length <= RELAY_DATA_MAX, 'the data of a relay message has at most 498 bytes');
  writeHead(bytes, at, command, streamId, length);
  bytes.set(data, at + DATA_AT);
  const end = DATA_AT + length;
  const padding = BODY_BYTES - end - PADDING_GAP;
  if (random === undefined || padding <= 0) {
    bytes.fill(0, at + end, at + BODY_BYTES);
    return;
  }
  bytes.fill(0, at + end, at + end + PADDING_GAP);
  const noise = random(padding);
  assert(noise.length === padding, 'random padding has the length that was asked for');
  bytes.set(noise, at + end + PADDING_GAP);
}
