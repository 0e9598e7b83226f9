/**
 * EXTEND2 and EXTENDED2 messages, and the link specifiers that say where a circuit shall go on.
 *
 * Two steps: `decodeExtend2` reads the shape and keeps every specifier, known or not; `interpretSpecifiers`
 * says what they mean. Whether we want to go there is for `circuit/extend`. As in C tor, bytes behind the
 * handshake are ignored.
 *
 * @source tor-spec "CREATE and CREATED cells" (EXTEND and EXTENDED messages)
 */
import type { Endpoint } from '../bytes/address.ts';
import { Reader } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import { assert, Malformed } from '../fault.ts';
import { RELAY_DATA_MAX } from './relay-message.ts';

/** Link specifier types that we understand. */
export const LinkSpecifierType = {
  IPV4: 0,
  IPV6: 1,
  RSA_ID: 2,
  ED25519_ID: 3,
} as const;

/** One thing that is known of the next relay, not looked into. */
export interface LinkSpecifier {
  readonly type: number;
  /** At most 255 bytes. */
  readonly body: Uint8Array;
}

/** A wish to extend the circuit by one hop. */
export interface Extend2 {
  readonly specifiers: LinkSpecifier[];
  /** Passed on as it is, known or not. */
  readonly handshakeType: number;
  readonly data: Uint8Array;
}

/** Read an EXTEND2 message; all bodies are views. @throws Malformed */
export function decodeExtend2(data: Uint8Array): Extend2 {
  const reader = new Reader(data, 'EXTEND2');
  const specifiers = readLinkSpecifiers(reader);
  const handshakeType = reader.u16();
  return { specifiers, handshakeType, data: reader.view(reader.u16()) };
}

/** Encode an EXTEND2 message. */
export function encodeExtend2(extend: Extend2): Uint8Array {
  const length = linkSpecifiersLength(extend.specifiers) + 4 + extend.data.length;
  assert(length <= RELAY_DATA_MAX, 'an EXTEND2 message fits a relay cell');
  const writer = new Writer(new Uint8Array(length));
  writeLinkSpecifiers(writer, extend.specifiers);
  writer.u16(extend.handshakeType);
  writer.u16(extend.data.length);
  writer.bytes(extend.data);
  return writer.buffer;
}

/** Take a counted list of link specifiers; bodies are views. @throws Malformed */
export function readLinkSpecifiers(reader: Reader): LinkSpecifier[] {
  const specifiers: LinkSpecifier[] = [];
  for (let left = reader.u8(); left > 0; left--) {
    const type = reader.u8();
    specifiers.push({ type, body: reader.view(reader.u8()) });
  }
  return specifiers;
}

/** Count the bytes that `writeLinkSpecifiers` will write. */
export function linkSpecifiersLength(specifiers: readonly LinkSpecifier[]): number {
  let length = 1;
  for (const specifier of specifiers) length += 2 + specifier.body.length;
  return length;
}

/** Put a counted list of link specifiers. */
export function writeLinkSpecifiers(writer: Writer, specifiers: readonly LinkSpecifier[]): void {
  writer.u8(specifiers.length);
  for (const specifier of specifiers) {
    writer.u8(specifier.type);
    writer.u8(specifier.body.length);
    writer.bytes(specifier.body);
  }
}

/** What a list of link specifiers says about one relay. */
export interface ExtendTarget {
  /** SHA-1 of its RSA identity key, 20 bytes, maybe all zero; null when it is not named. */
  readonly rsaId: Uint8Array | null;
  /** Its Ed25519 identity, 32 bytes; null when it is not named, or named as all zero. */
  readonly ed25519Id: Uint8Array | null;
  readonly ipv4: Endpoint | null;
  readonly ipv6: Endpoint | null;
}

/**
 * Say what a list of link specifiers means; ids and addresses are views.
 *
 * Of several addresses of one family the first counts, as in C tor. Unknown types are passed over.
 *
 * @throws Malformed for a known type of the wrong length, and for an identity that is named twice
 */
export function interpretSpecifiers(specifiers: readonly LinkSpecifier[]): ExtendTarget {
  let rsaId: Uint8Array | null = null;
  let ed25519Id: Uint8Array | null = null;
  let ipv4: Endpoint | null = null;
  let ipv6: Endpoint | null = null;
  for (const { type, body } of specifiers) {
    switch (type) {
      case LinkSpecifierType.IPV4:
        requireLength(body, 6, 'IPv4');
        ipv4 ??= readEndpoint(body, 4);
        break;
      case LinkSpecifierType.IPV6:
        requireLength(body, 18, 'IPv6');
        ipv6 ??= readEndpoint(body, 16);
        break;
      case LinkSpecifierType.RSA_ID:
        requireLength(body, 20, 'RSA id');
        if (rsaId !== null) throw new Malformed('link specifier', 'RSA id twice');
        rsaId = body;
        break;
      case LinkSpecifierType.ED25519_ID:
        requireLength(body, 32, 'Ed25519 id');
        if (ed25519Id !== null) throw new Malformed('link specifier', 'Ed25519 id twice');
        ed25519Id = body;
        break;
    }
  }
  if (ed25519Id !== null && isAllZero(ed25519Id)) ed25519Id = null;
  return { rsaId, ed25519Id, ipv4, ipv6 };
}

function requireLength(body: Uint8Array, length: number, what: string): void {
  if (body.length !== length) {
    throw new Malformed('link specifier', `${what} of ${body.length} bytes instead of ${length}`);
  }
}

function readEndpoint(body: Uint8Array, hostBytes: 4 | 16): Endpoint {
  return { host: body.subarray(0, hostBytes), port: (body[hostBytes]! << 8) | body[hostBytes + 1]! };
}

function isAllZero(id: Uint8Array): boolean {
  for (const byte of id) if (byte !== 0) return false;
  return true;
}

/** Spell a target as link specifiers in the order of C tor: IPv4, RSA id, Ed25519 id, IPv6. Bodies of ids are not copied. */
export function specifiersOf(target: ExtendTarget): LinkSpecifier[] {
  const specifiers: LinkSpecifier[] = [];
  const { rsaId, ed25519Id, ipv4, ipv6 } = target;
  if (ipv4 !== null) specifiers.push({ type: LinkSpecifierType.IPV4, body: endpointBody(ipv4) });
  if (rsaId !== null) specifiers.push({ type: LinkSpecifierType.RSA_ID, body: rsaId });
  if (ed25519Id !== null) specifiers.push({ type: LinkSpecifierType.ED25519_ID, body: ed25519Id });
  if (ipv6 !== null) specifiers.push({ type: LinkSpecifierType.IPV6, body: endpointBody(ipv6) });
  return specifiers;
}

function endpointBody(endpoint: Endpoint): Uint8Array {
  const writer = new Writer(new Uint8Array(endpoint.host.length + 2));
  writer.bytes(endpoint.host);
  writer.u16(endpoint.port);
  return writer.buffer;
}

/** Read an EXTENDED2 message: the next relay's half of the handshake, as a view. @throws Malformed */
export function decodeExtended2(data: Uint8Array): Uint8Array {
  const reader = new Reader(data, 'EXTENDED2');
  return reader.view(reader.u16());
}

/** Encode an EXTENDED2 message. */
export function encodeExtended2(handshake: Uint8Array): Uint8Array {
  assert(handshake.length <= RELAY_DATA_MAX - 2, 'an EXTENDED2 message fits a relay cell');
  const writer = new Writer(new Uint8Array(2 + handshake.length));
  writer.u16(handshake.length);
  writer.bytes(handshake);
  return writer.buffer;
}
