/**
 * Bodies of CREATE2, CREATED2, CREATE_FAST and CREATED_FAST.
 *
 * The handshake itself is opaque here. Bodies arrive padded to 509 bytes, so what trails the stated content is
 * padding and ignored. The old CREATE and CREATED have no codec: C tor 0.4.9 refuses them, and so do we.
 *
 * @source tor-spec "CREATE and CREATED cells"
 */
import { Reader } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import { assert } from '../fault.ts';
import { BODY_BYTES } from './cell.ts';

/** Handshake types of CREATE2 and EXTEND2. */
export const HandshakeType = {
  TAP: 0,
  NTOR: 2,
  NTOR_V3: 3,
} as const;

/** A client's first half of a handshake. */
export interface Create2 {
  /** One of `HandshakeType`, or any other number: the decoder does not judge it. */
  readonly handshakeType: number;
  readonly data: Uint8Array;
}

/** Longest handshake that fits a CREATE2 cell. */
export const CREATE2_DATA_MAX = BODY_BYTES - 4;
/** Longest handshake that fits a CREATED2 cell. */
export const CREATED2_DATA_MAX = BODY_BYTES - 2;
/** Length of each random half of a CREATE_FAST handshake. */
export const FAST_BYTES = 20;

/** Read a CREATE2 body; the data is a view. @throws Malformed */
export function decodeCreate2(body: Uint8Array): Create2 {
  const reader = new Reader(body, 'CREATE2');
  const handshakeType = reader.u16();
  return { handshakeType, data: reader.view(reader.u16()) };
}

/** Encode a CREATE2 body. */
export function encodeCreate2(create: Create2): Uint8Array {
  assert(create.data.length <= CREATE2_DATA_MAX, 'a CREATE2 handshake fits its cell');
  const writer = new Writer(new Uint8Array(4 + create.data.length));
  writer.u16(create.handshakeType);
  writer.u16(create.data.length);
  writer.bytes(create.data);
  return writer.buffer;
}

/** Read a CREATED2 body: the relay's half of the handshake, as a view. @throws Malformed */
export function decodeCreated2(body: Uint8Array): Uint8Array {
  const reader = new Reader(body, 'CREATED2');
  return reader.view(reader.u16());
}

/** Encode a CREATED2 body. */
export function encodeCreated2(data: Uint8Array): Uint8Array {
  assert(data.length <= CREATED2_DATA_MAX, 'a CREATED2 handshake fits its cell');
  const writer = new Writer(new Uint8Array(2 + data.length));
  writer.u16(data.length);
  writer.bytes(data);
  return writer.buffer;
}

/** Read a CREATE_FAST body: the client's 20 bytes X, as a view. @throws Malformed */
export function decodeCreateFast(body: Uint8Array): Uint8Array {
  return new Reader(body, 'CREATE_FAST').view(FAST_BYTES);
}

/** Encode a CREATE_FAST body. */
export function encodeCreateFast(x: Uint8Array): Uint8Array {
  assert(x.length === FAST_BYTES, 'X of CREATE_FAST has 20 bytes');
  return x.slice();
}

/** A relay's answer to CREATE_FAST. */
export interface CreatedFast {
  /** 20 random bytes. */
  readonly y: Uint8Array;
  /** 20 bytes that prove knowledge of the derived key. */
  readonly kh: Uint8Array;
}

/** Read a CREATED_FAST body; both parts are views. @throws Malformed */
export function decodeCreatedFast(body: Uint8Array): CreatedFast {
  const reader = new Reader(body, 'CREATED_FAST');
  return { y: reader.view(FAST_BYTES), kh: reader.view(FAST_BYTES) };
}

/** Encode a CREATED_FAST body. */
export function encodeCreatedFast(y: Uint8Array, kh: Uint8Array): Uint8Array {
  assert(y.length === FAST_BYTES && kh.length === FAST_BYTES, 'Y and KH of CREATED_FAST have 20 bytes each');
  const body = new Uint8Array(2 * FAST_BYTES);
  body.set(y, 0);
  body.set(kh, FAST_BYTES);
  return body;
}
