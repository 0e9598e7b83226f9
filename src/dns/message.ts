/**
 * DNS messages: questions printed, answers parsed.
 *
 * Pure and bounded. A pointer may only lead backward, so that reading a name ends; names have at most 255 bytes, and
 * every count is held against the bytes that are there. What is found is what the question asked for: the records of
 * the name itself, or of the names that it is an alias of.
 *
 * @source RFC 1035 (messages), RFC 3596 (AAAA), RFC 2308 (how long nothing may be cached)
 */
import { Reader } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import { assert, Malformed } from '../fault.ts';
import { isAskable } from './name.ts';

/** Types of records that we ask for or read. */
export const RecordType = { A: 1, CNAME: 5, SOA: 6, PTR: 12, AAAA: 28 } as const;

/** Response codes. */
export const ResponseCode = {
  OK: 0,
  FORMAT: 1,
  SERVER_FAILED: 2,
  NAME: 3,
  NOT_IMPLEMENTED: 4,
  REFUSED: 5,
} as const;

const HEADER_BYTES = 12;
const CLASS_INTERNET = 1;
const FLAG_RESPONSE = 0x8000;
const FLAG_TRUNCATED = 0x0200;
const FLAG_RECURSION_DESIRED = 0x0100;
const OPCODE_MASK = 0x7800;
const CODE_MASK = 0x000f;
const POINTER_MASK = 0xc0;
const NAME_BYTES_MOST = 255;
/** Aliases that are followed. */
const ALIASES_MOST = 16;
const NOUN = 'DNS answer';

/** Print a question. @param name askable, its case as it shall be asked */
export function encodeQuestion(id: number, name: string, type: number): Uint8Array {
  assert(isAskable(name), 'a question has a name that fits');
  const labels = (name.endsWith('.') ? name.slice(0, -1) : name).split('.');
  const bytes = new Uint8Array(HEADER_BYTES + labels.reduce((sum, label) => sum + label.length + 1, 1) + 4);
  const out = new Writer(bytes);
  out.u16(id);
  out.u16(FLAG_RECURSION_DESIRED);
  out.u16(1);
  out.at = HEADER_BYTES;
  for (const label of labels) {
    out.u8(label.length);
    out.bytes(Buffer.from(label, 'latin1'));
  }
  out.u8(0);
  out.u16(type);
  out.u16(CLASS_INTERNET);
  return bytes;
}

/** A message read as the answer to a question. */
export interface DnsAnswer {
  readonly id: number;
  /** The question that it repeats. */
  readonly name: string;
  readonly type: number;
  readonly code: number;
  /** Cut off: ask again over TCP. The rest is empty then. */
  readonly isTruncated: boolean;
  /** Addresses, for questions of A and AAAA. */
  readonly hosts: readonly Uint8Array[];
  /** A host name, for questions of PTR. */
  readonly hostname: string | null;
  /** The shortest time that what was found, or that nothing was found, may be cached; 0 when it is not said. */
  readonly ttlSec: number;
}

interface DnsRecord {
  readonly owner: string;
  readonly type: number;
  readonly ttlSec: number;
  readonly data: Uint8Array;
  /** Where `data` begins in the message, for names in it. */
  readonly at: number;
}

/** The number of a message, by which its question is found. Null if it is too short to have one. */
export function messageId(bytes: Uint8Array): number | null {
  return bytes.length < HEADER_BYTES ? null : (bytes[0]! << 8) | bytes[1]!;
}

/** Parse an answer. @throws Malformed */
export function parseAnswer(bytes: Uint8Array): DnsAnswer {
  const reader = new Reader(bytes, NOUN);
  const id = reader.u16();
  const flags = reader.u16();
  if ((flags & FLAG_RESPONSE) === 0) reader.fail('is a question');
  if ((flags & OPCODE_MASK) !== 0) reader.fail('answers something else');
  const questions = reader.u16();
  const answers = reader.u16();
  const authorities = reader.u16();
  reader.u16();
  if (questions !== 1) reader.fail('does not repeat one question');
  const name = readName(reader);
  const type = reader.u16();
  if (reader.u16() !== CLASS_INTERNET) reader.fail('is of another class');
  const head = { id, name, type, code: flags & CODE_MASK };
  const nothing = { hosts: [], hostname: null, ttlSec: 0 };
  if ((flags & FLAG_TRUNCATED) !== 0) return { ...head, isTruncated: true, ...nothing };
  const records = readRecords(reader, answers);
  const found = records.filter(isWanted(type, aliasesOf(name, records, bytes)));
  if (found.length === 0 || head.code !== ResponseCode.OK) {
    return { ...head, isTruncated: false, ...nothing, ttlSec: negativeTtl(reader, authorities) };
  }
  return {
    ...head,
    isTruncated: false,
    hosts: type === RecordType.PTR ? [] : found.map(({ data }) => new Uint8Array(data)),
    hostname: type === RecordType.PTR ? nameIn(bytes, found[0]!) : null,
    ttlSec: Math.min(...found.map(({ ttlSec }) => ttlSec)),
  };
}

/** Records of this type for one of these names, with data that has their length. */
function isWanted(type: number, names: ReadonlySet<string>): (record: DnsRecord) => boolean {
  const length = type === RecordType.A ? 4 : type === RecordType.AAAA ? 16 : null;
  return (record) =>
    record.type === type && names.has(record.owner) && (length === null || record.data.length === length);
}

/** A name, and those that it is an alias of, in lower case. */
function aliasesOf(name: string, records: readonly DnsRecord[], bytes: Uint8Array): Set<string> {
  const names = new Set([name.toLowerCase()]);
  let last = name.toLowerCase();
  for (let hop = 0; hop < ALIASES_MOST; hop++) {
    const alias = records.find(({ type, owner }) => type === RecordType.CNAME && owner === last);
    if (alias === undefined) break;
    last = nameIn(bytes, alias).toLowerCase();
    names.add(last);
  }
  return names;
}

function readRecords(reader: Reader, count: number): DnsRecord[] {
  const records: DnsRecord[] = [];
  for (let i = 0; i < count; i++) {
    const record = readRecord(reader);
    if (record !== null) records.push(record);
  }
  return records;
}

/** Read a record; null for one of another class. */
function readRecord(reader: Reader): DnsRecord | null {
  const owner = readName(reader).toLowerCase();
  const type = reader.u16();
  const recordClass = reader.u16();
  // The sign bit counts as zero (RFC 2181).
  const ttl = reader.u32();
  const length = reader.u16();
  const { at } = reader;
  const data = reader.view(length);
  return recordClass === CLASS_INTERNET
    ? { owner, type, ttlSec: ttl > 0x7fffffff ? 0 : ttl, data, at }
    : null;
}

/** How long it may be cached that there is nothing: what the zone's SOA says; 0 without. */
function negativeTtl(reader: Reader, authorities: number): number {
  for (const record of readRecords(reader, authorities)) {
    if (record.type !== RecordType.SOA || record.data.length < 22) continue;
    const minimum = new Reader(record.data, NOUN, record.data.length - 4).u32();
    return Math.min(record.ttlSec, minimum);
  }
  return 0;
}

function nameIn(bytes: Uint8Array, record: DnsRecord): string {
  return readName(new Reader(bytes, NOUN, record.at, record.at + record.data.length));
}

/** Read a name, dots between its labels; the reader then stands behind it. */
function readName(reader: Reader): string {
  const { bytes } = reader;
  const labels: string[] = [];
  let length = 1;
  let from = reader;
  for (;;) {
    const start = from.at;
    const head = from.u8();
    if (head === 0) break;
    if ((head & POINTER_MASK) === POINTER_MASK) {
      const target = ((head & ~POINTER_MASK) << 8) | from.u8();
      // Backward only, so that there are no loops.
      if (target >= start) throw new Malformed(NOUN, 'points forward', start);
      from = new Reader(bytes, NOUN, target, start);
      continue;
    }
    if ((head & POINTER_MASK) !== 0) throw new Malformed(NOUN, 'has a label of another kind', start);
    length += head + 1;
    if (length > NAME_BYTES_MOST) throw new Malformed(NOUN, 'has a name that is too long', start);
    labels.push(Buffer.from(from.view(head)).toString('latin1'));
  }
  return labels.join('.');
}

/** Give each letter of a name one case or the other, by the bits of `random`: as many bytes as the name has, over 8. */
export function mixCase(name: string, random: Uint8Array): string {
  let out = '';
  for (let i = 0; i < name.length; i++) {
    const letter = name[i]!;
    out += ((random[i >> 3]! >> (i & 7)) & 1) === 1 ? letter.toUpperCase() : letter.toLowerCase();
  }
  return out;
}
