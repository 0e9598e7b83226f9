/**
 * The few ASN.1 DER shapes of RSA keys and X.509 certificates, read strictly and written by hand.
 *
 * Below `rsa` and `x509`. Readers return views. One-byte tags only; every length must be in its shortest form
 * and inside its parent; recursion is as deep as the caller's own code, so input cannot deepen it.
 * @source ITU-T X.690
 */
import { joinAll } from '../bytes/join.ts';
import { assert, Malformed } from '../fault.ts';

/** The tags that occur, with their class and constructed bits. */
export const Tag = {
  INTEGER: 0x02,
  BIT_STRING: 0x03,
  NULL: 0x05,
  OBJECT_IDENTIFIER: 0x06,
  UTF8_STRING: 0x0c,
  UTC_TIME: 0x17,
  GENERALIZED_TIME: 0x18,
  SEQUENCE: 0x30,
  SET: 0x31,
} as const;

/** A cursor over consecutive DER values. */
export class DerReader {
  readonly #bytes: Uint8Array;
  readonly #noun: string;
  readonly #end: number;
  #at: number;

  /** Read `bytes` from `at` to `end`; `noun` names the object in errors. */
  constructor(bytes: Uint8Array, noun: string, at = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#noun = noun;
    this.#at = at;
    this.#end = end;
  }

  /** Offset of the next value in the whole input. */
  get at(): number {
    return this.#at;
  }

  /** Look at the next tag; -1 at the end. */
  peekTag(): number {
    return this.#at < this.#end ? this.#bytes[this.#at] : -1;
  }

  /** Read one value of this tag: a view of its content. @throws Malformed */
  content(tag: number): Uint8Array {
    const [start, end] = this.#take(tag);
    return this.#bytes.subarray(start, end);
  }

  /** Read one value of any tag: a view of all of it, header included. @throws Malformed */
  whole(): Uint8Array {
    const start = this.#at;
    const [, end] = this.#take(this.peekTag());
    return this.#bytes.subarray(start, end);
  }

  /** Read one constructed value of this tag: a reader over its content. @throws Malformed */
  enter(tag: number): DerReader {
    const [start, end] = this.#take(tag);
    return new DerReader(this.#bytes, this.#noun, start, end);
  }

  /** Read an INTEGER greater than zero: a view, big endian, without its sign byte. @throws Malformed */
  positiveInteger(): Uint8Array {
    const at = this.#at;
    const content = this.integer();
    if (content[0] >= 0x80) throw new Malformed(this.#noun, 'negative number', at);
    if (content[0] !== 0) return content;
    if (content.length === 1) throw new Malformed(this.#noun, 'zero where none may be', at);
    return content.subarray(1);
  }

  /** Read an INTEGER: a view of its two's complement bytes, which must be the shortest. @throws Malformed */
  integer(): Uint8Array {
    const at = this.#at;
    const content = this.content(Tag.INTEGER);
    if (content.length === 0) throw new Malformed(this.#noun, 'empty number', at);
    const padded =
      content.length > 1 &&
      (content[0] === 0 ? content[1] < 0x80 : content[0] === 0xff && content[1] >= 0x80);
    if (padded) throw new Malformed(this.#noun, 'padded number', at);
    return content;
  }

  /** Read a BIT STRING of whole bytes: a view of them. @throws Malformed */
  bitString(): Uint8Array {
    const at = this.#at;
    const content = this.content(Tag.BIT_STRING);
    if (content.length === 0 || content[0] !== 0)
      throw new Malformed(this.#noun, 'bit string of odd bits', at);
    return content.subarray(1);
  }

  /** @throws Malformed if anything is left. */
  finish(): void {
    if (this.#at !== this.#end) throw new Malformed(this.#noun, 'bytes left over', this.#at);
  }

  #take(tag: number): [number, number] {
    const at = this.#at;
    if (at + 2 > this.#end) throw new Malformed(this.#noun, 'truncated', at);
    if (this.#bytes[at] !== tag) throw new Malformed(this.#noun, `tag ${this.#bytes[at]}, not ${tag}`, at);
    if ((tag & 0x1f) === 0x1f) throw new Malformed(this.#noun, 'tag of several bytes', at);
    let length = this.#bytes[at + 1];
    let start = at + 2;
    if (length >= 0x80) {
      const count = length & 0x7f;
      if (count < 1 || count > 3) throw new Malformed(this.#noun, 'length of a form that DER has not', at);
      if (start + count > this.#end) throw new Malformed(this.#noun, 'truncated', at);
      length = 0;
      for (let i = 0; i < count; i++) length = length * 256 + this.#bytes[start + i];
      if (length < (count === 1 ? 0x80 : 256 ** (count - 1))) {
        throw new Malformed(this.#noun, 'length not in its shortest form', at);
      }
      start += count;
    }
    if (start + length > this.#end) throw new Malformed(this.#noun, 'truncated', at);
    this.#at = start + length;
    return [start, start + length];
  }
}

/** Encode one value from its content's parts. */
export function der(tag: number, ...parts: Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  assert(length < 0x1000000, 'DER that we write is small');
  const header =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : length < 0x10000
          ? [tag, 0x82, length >> 8, length & 0xff]
          : [tag, 0x83, length >> 16, (length >> 8) & 0xff, length & 0xff];
  return joinAll([Uint8Array.from(header), ...parts]);
}

/** Encode a non-negative INTEGER from its big-endian bytes. */
export function derInteger(bigEndian: Uint8Array): Uint8Array {
  let skip = 0;
  while (skip < bigEndian.length - 1 && bigEndian[skip] === 0) skip++;
  const digits = bigEndian.subarray(skip);
  if (digits.length === 0) return der(Tag.INTEGER, Uint8Array.of(0));
  return digits[0] >= 0x80 ? der(Tag.INTEGER, Uint8Array.of(0), digits) : der(Tag.INTEGER, digits);
}

/** Encode a BIT STRING of whole bytes. */
export function derBitString(bytes: Uint8Array): Uint8Array {
  return der(Tag.BIT_STRING, Uint8Array.of(0), bytes);
}

/** Encode a time as X.509 wants it: UTCTime before 2050, GeneralizedTime from then on. */
export function derTime(sec: number): Uint8Array {
  const digits = new Date(sec * 1000)
    .toISOString()
    .replace(/\.\d+Z$/, '')
    .replace(/[-:T]/g, '');
  const early = Number(digits.slice(0, 4)) < 2050;
  const text = `${early ? digits.slice(2) : digits}Z`;
  return der(early ? Tag.UTC_TIME : Tag.GENERALIZED_TIME, new TextEncoder().encode(text));
}

/** Read a UTCTime or GeneralizedTime in the one form that X.509 allows: seconds since 1970. @throws Malformed */
export function readDerTime(reader: DerReader, noun: string): number {
  const at = reader.at;
  const utc = reader.peekTag() === Tag.UTC_TIME;
  const content = reader.content(utc ? Tag.UTC_TIME : Tag.GENERALIZED_TIME);
  let text = '';
  for (const byte of content) text += String.fromCharCode(byte);
  const match = (utc ? /^(\d{2})(\d{10})Z$/ : /^(\d{4})(\d{10})Z$/).exec(text);
  if (match === null) throw new Malformed(noun, 'time that is not UTC to the second', at);
  const year = utc ? (match[1] < '50' ? `20${match[1]}` : `19${match[1]}`) : match[1];
  const rest = match[2].match(/../g) as string[];
  const iso = `${year}-${rest[0]}-${rest[1]}T${rest[2]}:${rest[3]}:${rest[4]}.000Z`;
  const ms = Date.parse(iso);
  // The round trip finds dates such as the 31st of February.
  if (Number.isNaN(ms) || new Date(ms).toISOString() !== iso) {
    throw new Malformed(noun, 'time that no calendar has', at);
  }
  return ms / 1000;
}
