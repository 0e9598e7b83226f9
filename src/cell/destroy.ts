/**
 * Bodies of DESTROY cells and of TRUNCATE and TRUNCATED messages: one reason byte.
 *
 * The reason is any number from 0 to 255; `DestroyReason` in `reason.ts` names those assigned. A DESTROY is
 * padded to 509 bytes, but the message inside a relay cell can be empty: no reason is no reason to guess one,
 * so an empty body is malformed.
 *
 * @source tor-spec "Tearing down circuits"
 */
import { Reader } from '../bytes/reader.ts';
import { assert } from '../fault.ts';

/** Read the reason of a DESTROY. @throws Malformed when the body is empty */
export function decodeDestroy(body: Uint8Array): number {
  return new Reader(body, 'DESTROY').u8();
}

/** Encode a DESTROY body of one byte. */
export function encodeDestroy(reason: number): Uint8Array {
  return encodeReason(reason);
}

/** Read the reason of a TRUNCATE. @throws Malformed when the message is empty */
export function decodeTruncate(data: Uint8Array): number {
  return new Reader(data, 'TRUNCATE').u8();
}

/** Encode a TRUNCATE message of one byte. */
export function encodeTruncate(reason: number): Uint8Array {
  return encodeReason(reason);
}

/** Read the reason of a TRUNCATED. @throws Malformed when the message is empty */
export function decodeTruncated(data: Uint8Array): number {
  return new Reader(data, 'TRUNCATED').u8();
}

/** Encode a TRUNCATED message of one byte. */
export function encodeTruncated(reason: number): Uint8Array {
  return encodeReason(reason);
}

function encodeReason(reason: number): Uint8Array {
  assert(reason >= 0 && reason <= 255, 'a reason fits one byte');
  return Uint8Array.of(reason);
}
