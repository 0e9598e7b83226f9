/**
 * Keccak-f[1600] as a WebAssembly module, assembled here: the permutation under SHA3-256 and SHAKE-256, with 64-bit
 * lanes, which JavaScript does not have.
 *
 * One export, `absorb(at, blocks)`: XOR that many blocks of 136 bytes from `at` into the state, and permute after each.
 * A permutation takes 0.4 µs, as node:crypto's does; what is saved is what its hash objects and results cost around it.
 * Invariant: no branch and no address depends on what is hashed; the only loops count rounds and blocks.
 * @source FIPS 202 "SHA-3 Standard", sections 3.2 to 3.4
 */

/** Bytes that SHA3-256 and SHAKE-256 take or give between two permutations. */
export const RATE_BYTES = 136;
/** The state: 25 lanes of 64 bits, little-endian. */
export const STATE_AT = 0;
export const STATE_BYTES = 200;
/** Where blocks to absorb may lie in the module's memory. */
export const BLOCKS_AT = 512;
/** All of the module's memory: one page. */
export const MEMORY_BYTES = 65_536;

const ROUND_CONSTANTS_AT = 256;
const ROUNDS = 24;
const LANES = 25;
const LANE_BYTES = 8;

// WebAssembly's opcodes.
const LOOP = 0x03;
const BR_IF = 0x0d;
const END = 0x0b;
const LOCAL_GET = 0x20;
const LOCAL_SET = 0x21;
const LOCAL_TEE = 0x22;
const I64_LOAD = 0x29;
const I64_STORE = 0x37;
const I32_CONST = 0x41;
const I64_CONST = 0x42;
const I32_NE = 0x47;
const I32_ADD = 0x6a;
const I32_SUB = 0x6b;
const I64_AND = 0x83;
const I64_OR = 0x84;
const I64_XOR = 0x85;
const I64_ROTL = 0x89;
const EMPTY_BLOCK = 0x40;
const TYPE_I32 = 0x7f;
const TYPE_I64 = 0x7e;
const TYPE_FUNCTION = 0x60;
const ALIGN_8 = 3;

// Locals: the two parameters, then a counter of rounds, then lanes.
const AT = 0;
const BLOCKS = 1;
const ROUND_AT = 2;
const A = 3;
const B = A + LANES;
const C = B + LANES;
const D = C + 5;
const LOCALS_I64 = 2 * LANES + 10;

/**
 * Lanes that are kept inverted within `absorb`: with these, six of the 25 inversions of a round (chi) are left.
 * A table of which operand of each lane is inverted, and what joins the last two.
 */
const INVERTED: readonly number[] = [1, 2, 8, 12, 17, 20];
type Chi = readonly [first: boolean, second: boolean, third: boolean, operator: number];
const AND: Chi = [false, false, false, I64_AND];
const OR: Chi = [false, false, false, I64_OR];
const CHI: readonly Chi[] = [
  ...[OR, [false, true, false, I64_OR] as const, AND, OR, AND],
  ...[OR, AND, [false, false, true, I64_OR] as const, OR, AND],
  ...[OR, AND, [false, true, false, I64_AND] as const, [true, false, false, I64_OR] as const, AND],
  ...[AND, OR, [false, true, false, I64_OR] as const, [true, false, false, I64_AND] as const, OR],
  ...[[false, true, false, I64_AND] as const, [true, false, false, I64_OR] as const, AND, OR, AND],
];

/** Encode an unsigned number. */
function unsigned(value: number): number[] {
  const out: number[] = [];
  let rest = value;
  do {
    const low = rest & 0x7f;
    rest >>>= 7;
    out.push(rest === 0 ? low : low | 0x80);
  } while (rest !== 0);
  return out;
}

/** Encode a signed number of 32 bits. */
function signed(value: number): number[] {
  const out: number[] = [];
  let rest = value;
  for (;;) {
    const low = rest & 0x7f;
    rest >>= 7;
    const done = (rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0);
    out.push(done ? low : low | 0x80);
    if (done) return out;
  }
}

const get = (local: number): number[] => [LOCAL_GET, ...unsigned(local)];
const set = (local: number): number[] => [LOCAL_SET, ...unsigned(local)];
const tee = (local: number): number[] => [LOCAL_TEE, ...unsigned(local)];
const number32 = (value: number): number[] => [I32_CONST, ...signed(value)];
const load = (offset: number): number[] => [I64_LOAD, ALIGN_8, ...unsigned(offset)];
const rotated = (bits: number): number[] => (bits === 0 ? [] : [I64_CONST, ...signed(bits), I64_ROTL]);
const inverted = (wanted: boolean): number[] => (wanted ? [I64_CONST, ...signed(-1), I64_XOR] : []);
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** How far each lane turns (rho), by x + 5 y. */
function rotations(): number[] {
  const out = new Array<number>(LANES).fill(0);
  let x = 1;
  let y = 0;
  for (let t = 0; t < 24; t++) {
    out[x + 5 * y] = (((t + 1) * (t + 2)) / 2) % 64;
    const next = (2 * x + 3 * y) % 5;
    x = y;
    y = next;
  }
  return out;
}

/** The constant that each round XORs in (iota), as 24 lanes. */
export function roundConstants(): BigUint64Array {
  const out = new BigUint64Array(ROUNDS);
  let register = 1;
  for (let round = 0; round < ROUNDS; round++) {
    for (let j = 0; j <= 6; j++) {
      if ((register & 1) !== 0) out[round] = out[round]! | (1n << BigInt(2 ** j - 1));
      register = (register & 0x80) !== 0 ? ((register << 1) ^ 0x71) & 0xff : register << 1;
    }
  }
  return out;
}

/** One round on the lanes in A, through B. */
function roundBody(): number[] {
  const turns = rotations();
  const code: number[] = [];
  for (const x of range(5)) {
    code.push(...get(A + x));
    for (const y of [1, 2, 3, 4]) code.push(...get(A + x + 5 * y), I64_XOR);
    code.push(...set(C + x));
  }
  for (const x of range(5)) {
    code.push(...get(C + ((x + 1) % 5)), ...rotated(1), ...get(C + ((x + 4) % 5)), I64_XOR, ...set(D + x));
  }
  for (const y of range(5)) {
    for (const x of range(5)) {
      const lane = x + 5 * y;
      const to = y + 5 * ((2 * x + 3 * y) % 5);
      code.push(...get(A + lane), ...get(D + x), I64_XOR, ...rotated(turns[lane]!), ...set(B + to));
    }
  }
  for (const lane of range(LANES)) {
    const row = lane - (lane % 5);
    const [first, second, third, operator] = CHI[lane]!;
    code.push(...get(B + lane), ...inverted(first));
    code.push(...get(B + row + ((lane + 1) % 5)), ...inverted(second));
    code.push(...get(B + row + ((lane + 2) % 5)), ...inverted(third), operator, I64_XOR);
    if (lane === 0) code.push(...get(ROUND_AT), ...load(ROUND_CONSTANTS_AT), I64_XOR);
    code.push(...set(A + lane));
  }
  return code;
}

/** The body of `absorb`. */
function absorbBody(): number[] {
  const code: number[] = [];
  for (const lane of range(LANES)) {
    const kept = [...load(lane * LANE_BYTES), ...inverted(INVERTED.includes(lane))];
    code.push(...number32(STATE_AT), ...kept, ...set(A + lane));
  }
  code.push(LOOP, EMPTY_BLOCK);
  for (const lane of range(RATE_BYTES / LANE_BYTES)) {
    code.push(...get(A + lane), ...get(AT), ...load(lane * LANE_BYTES), I64_XOR, ...set(A + lane));
  }
  code.push(...number32(0), ...set(ROUND_AT), LOOP, EMPTY_BLOCK, ...roundBody());
  code.push(...get(ROUND_AT), ...number32(LANE_BYTES), I32_ADD, ...tee(ROUND_AT));
  code.push(...number32(ROUNDS * LANE_BYTES), I32_NE, BR_IF, 0, END);
  code.push(...get(AT), ...number32(RATE_BYTES), I32_ADD, ...set(AT));
  code.push(...get(BLOCKS), ...number32(1), I32_SUB, ...tee(BLOCKS), BR_IF, 0, END);
  for (const lane of range(LANES)) {
    code.push(...number32(STATE_AT), ...get(A + lane), ...inverted(INVERTED.includes(lane)));
    code.push(I64_STORE, ALIGN_8, ...unsigned(lane * LANE_BYTES));
  }
  return [...code, END];
}

function section(id: number, content: readonly number[]): number[] {
  return [id, ...unsigned(content.length), ...content];
}

function text(name: string): number[] {
  return [...unsigned(name.length), ...new TextEncoder().encode(name)];
}

/** Assemble the module: exports `memory` (one page) and `absorb(at: i32, blocks: i32)`, for at least one block. */
export function buildKeccakModule(): Uint8Array<ArrayBuffer> {
  const locals = [2, ...unsigned(1), TYPE_I32, ...unsigned(LOCALS_I64), TYPE_I64];
  const body = [...locals, ...absorbBody()];
  const constants = [...new Uint8Array(roundConstants().buffer)];
  return new Uint8Array([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, [1, TYPE_FUNCTION, 2, TYPE_I32, TYPE_I32, 0]),
    ...section(3, [1, 0]),
    ...section(5, [1, 1, 1, 1]),
    ...section(7, [2, ...text('memory'), 2, 0, ...text('absorb'), 0, 0]),
    ...section(10, [1, ...unsigned(body.length), ...body]),
    ...section(11, [1, 0, ...number32(ROUND_CONSTANTS_AT), END, ...unsigned(constants.length), ...constants]),
  ]);
}
