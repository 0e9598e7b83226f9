/** Makes DNS answers for tests, well-formed and otherwise. */

/** A record of an answer. */
export interface TestRecord {
  /** The question's name unless given. */
  readonly owner?: string;
  readonly type: number;
  readonly ttlSec?: number;
  /** Bytes, or a name. */
  readonly data: Uint8Array | string;
}

/** What a nameserver answers. */
export interface TestReply {
  readonly code?: number;
  readonly records?: readonly TestRecord[];
  readonly authorities?: readonly TestRecord[];
  readonly truncated?: boolean;
  /** Other than the question's. */
  readonly id?: number;
  readonly name?: string;
  readonly flags?: number;
}

const SOA = 6;

export function nameBytes(name: string): Uint8Array {
  const labels = name === '' ? [] : name.split('.');
  return new Uint8Array(
    Buffer.concat([
      ...labels.map((label) => Buffer.concat([Buffer.of(label.length), Buffer.from(label, 'latin1')])),
      Buffer.of(0),
    ]),
  );
}

function u16(value: number): Buffer {
  return Buffer.of(value >> 8, value & 255);
}

function recordBytes(record: TestRecord, name: string): Buffer {
  const data = typeof record.data === 'string' ? nameBytes(record.data) : record.data;
  const ttl = Buffer.alloc(4);
  ttl.writeUInt32BE(record.ttlSec ?? 600);
  // The question's name stands at byte 12: what has no owner of its own points there.
  const owner =
    record.owner === undefined || record.owner === name
      ? Buffer.of(0xc0, 12)
      : Buffer.from(nameBytes(record.owner));
  return Buffer.concat([owner, u16(record.type), u16(1), ttl, u16(data.length), data]);
}

/** Data of an SOA record that says for how long nothing may be cached. */
export function soaData(minimumSec: number): Uint8Array {
  const tail = Buffer.alloc(20);
  tail.writeUInt32BE(minimumSec, 16);
  return new Uint8Array(Buffer.concat([nameBytes('ns.example'), nameBytes('root.example'), tail]));
}

export function soa(minimumSec: number, ttlSec: number): TestRecord {
  return { owner: 'example', type: SOA, ttlSec, data: soaData(minimumSec) };
}

/** Encode an answer to a question. */
export function answerBytes(id: number, name: string, type: number, reply: TestReply = {}): Uint8Array {
  const { records = [], authorities = [], code = 0, truncated = false } = reply;
  const flags = reply.flags ?? 0x8180 | (truncated ? 0x0200 : 0) | code;
  return new Uint8Array(
    Buffer.concat([
      u16(reply.id ?? id),
      u16(flags),
      u16(1),
      u16(records.length),
      u16(authorities.length),
      u16(0),
      nameBytes(reply.name ?? name),
      u16(type),
      u16(1),
      ...records.map((record) => recordBytes(record, name)),
      ...authorities.map((record) => recordBytes(record, name)),
    ]),
  );
}
