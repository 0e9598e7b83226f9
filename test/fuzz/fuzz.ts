/**
 * The frame of all fuzz targets: valid inputs go in, get damaged, and must be either taken or refused.
 *
 * A target is `fuzz(name, { corpus, run })`. `run` may return, or throw `Malformed` or `Violation`; any other
 * throw is a failure, and so is a corpus input that is refused. What `run` asserts about values that it did
 * decode (that they encode and decode to the same again, say) is its own business.
 *
 * The run is the same every time. `FUZZ_SEED` (a number, or `random`) and `FUZZ_CASES` make it another or a
 * longer one: `FUZZ_SEED=random FUZZ_CASES=1000000 bun test test/fuzz`. A failure prints seed, case and input;
 * the input's hex, put as a line into `test/fuzz/corpus/<name>.txt`, is replayed from then on.
 */
import { test } from 'bun:test';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Malformed, Violation } from '../../src/fault.ts';
import { Prng } from './prng.ts';

/** What is to be fuzzed. */
export interface FuzzTarget {
  /** Valid inputs, at least one. */
  readonly corpus: readonly Uint8Array[];
  /** Take one input; may keep nothing of it and may change it. */
  readonly run: (bytes: Uint8Array) => void;
  /** Words that are worth inserting, e.g. keywords of a text format. */
  readonly dictionary?: readonly Uint8Array[];
  /** How many damaged inputs a normal run tries; 2000 unless told. */
  readonly cases?: number;
}

const DEFAULT_CASES = 2000;
const DEFAULT_SEED = 20261122;
const NO_TIMEOUT_MS = 24 * 3600 * 1000;

/** Register a test that fuzzes a target. The name is kebab-case and names the file of its kept inputs. */
export function fuzz(name: string, target: FuzzTarget): void {
  const seedText = process.env['FUZZ_SEED'] ?? String(DEFAULT_SEED);
  const seed = seedText === 'random' ? Math.floor(Math.random() * 2 ** 32) : Number(seedText);
  const cases = Number(process.env['FUZZ_CASES'] ?? target.cases ?? DEFAULT_CASES);
  test(`fuzz ${name}`, () => runFuzz(name, target, seed, cases, keptInputs(name)), NO_TIMEOUT_MS);
}

/**
 * Run a target over its corpus, the kept inputs, and `cases` damaged inputs.
 *
 * @throws Error that says how to repeat the failing case
 */
export function runFuzz(
  name: string,
  target: FuzzTarget,
  seed: number,
  cases: number,
  kept: readonly Uint8Array[] = [],
): void {
  const { corpus } = target;
  if (corpus.length === 0) throw new Error(`fuzz ${name}: the corpus is empty`);
  for (const [i, input] of corpus.entries()) {
    const fault = runOne(target, input, true);
    if (fault !== null) throw failure(name, `corpus input ${i}`, input, fault);
  }
  for (const [i, input] of kept.entries()) {
    const fault = runOne(target, input, false);
    if (fault !== null) throw failure(name, `kept input ${i}`, input, fault);
  }
  const random = new Prng(seed + nameHash(name) * 2 ** 20);
  const longest = corpus.reduce((most, input) => Math.max(most, input.length), 0);
  const mutator = new Mutator(random, corpus, target.dictionary ?? [], 2 * longest + 64);
  for (let i = 0; i < cases; i++) {
    const input = mutator.next();
    const fault = runOne(target, input, false);
    if (fault !== null) throw failure(name, `FUZZ_SEED=${seed}, case ${i}`, input, fault);
  }
}

function runOne(target: FuzzTarget, input: Uint8Array, mustPass: boolean): unknown {
  try {
    target.run(input.slice());
    return null;
  } catch (fault) {
    if (!mustPass && (fault instanceof Malformed || fault instanceof Violation)) return null;
    return fault ?? new Error('threw nothing');
  }
}

function failure(name: string, where: string, input: Uint8Array, fault: unknown): Error {
  const text = fault instanceof Error ? `${fault.name}: ${fault.message}` : String(fault);
  const keep = `keep it as a line of test/fuzz/corpus/${name}.txt`;
  return new Error(`fuzz ${name}, ${where}: ${text}\ninput (${keep}):\n${input.toHex()}`, { cause: fault });
}

function keptInputs(name: string): Uint8Array[] {
  const path = join(import.meta.dir, 'corpus', `${name}.txt`);
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.filter((line) => line !== '' && !line.startsWith('#')).map((line) => Uint8Array.fromHex(line));
}

function nameHash(name: string): number {
  let hash = 0;
  for (const byte of new TextEncoder().encode(name)) hash = (Math.imul(hash, 31) + byte) >>> 0;
  return hash;
}

const INTERESTING_BYTES = [0, 1, 2, 4, 16, 20, 32, 64, 0x7f, 0x80, 0xfe, 0xff];

/** Damages inputs of a corpus in ways that parsers trip over. */
class Mutator {
  readonly #random: Prng;
  readonly #corpus: readonly Uint8Array[];
  readonly #dictionary: readonly Uint8Array[];
  readonly #maxLength: number;

  constructor(
    random: Prng,
    corpus: readonly Uint8Array[],
    dictionary: readonly Uint8Array[],
    maxLength: number,
  ) {
    this.#random = random;
    this.#corpus = corpus;
    this.#dictionary = dictionary;
    this.#maxLength = maxLength;
  }

  /** Make the next input: new bytes, 1 to 6 damages away from a valid one. */
  next(): Uint8Array {
    const random = this.#random;
    let bytes: Uint8Array = random.pick(this.#corpus).slice();
    for (let left = 1 + random.below(6); left > 0; left--) bytes = this.#damage(bytes);
    return bytes.length > this.#maxLength ? bytes.slice(0, this.#maxLength) : bytes;
  }

  #damage(bytes: Uint8Array): Uint8Array {
    const random = this.#random;
    const at = random.below(bytes.length + 1);
    switch (random.below(10)) {
      case 0:
        return bytes.slice(0, at);
      case 1:
        return insert(bytes, at, random.bytes(1 + random.below(16)));
      case 2:
        return insert(bytes, at, this.#chunk(bytes));
      case 3:
        return insert(bytes.slice(0, at), at, this.#chunk(random.pick(this.#corpus)));
      case 4:
        return cut(bytes, at, 1 + random.below(16));
      case 5: {
        const other = random.pick(this.#corpus);
        return insert(bytes.slice(0, at), at, other.slice(random.below(other.length + 1)));
      }
      case 6:
        if (this.#dictionary.length > 0) return insert(bytes, at, random.pick(this.#dictionary));
        return insert(bytes, bytes.length, random.bytes(1 + random.below(4)));
      case 7:
        if (at < bytes.length) bytes[at] = random.pick(INTERESTING_BYTES);
        return bytes;
      case 8:
        if (at < bytes.length) bytes[at]! += random.below(2) === 0 ? 1 : -1;
        return bytes;
      default:
        if (at < bytes.length) bytes[at]! ^= 1 << random.below(8);
        return bytes;
    }
  }

  #chunk(bytes: Uint8Array): Uint8Array {
    const at = this.#random.below(bytes.length + 1);
    return bytes.slice(at, at + 1 + this.#random.below(64));
  }
}

function insert(bytes: Uint8Array, at: number, chunk: Uint8Array): Uint8Array {
  const out = new Uint8Array(bytes.length + chunk.length);
  out.set(bytes.subarray(0, at), 0);
  out.set(chunk, at);
  out.set(bytes.subarray(at), at + chunk.length);
  return out;
}

function cut(bytes: Uint8Array, at: number, length: number): Uint8Array {
  return insert(bytes.slice(0, at), at, bytes.slice(at + length));
}
