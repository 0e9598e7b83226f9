/**
 * Documents on their way into a store: from its files at the start, from answers later. What all stores do alike.
 *
 * One that does not parse, or is not to be believed, costs only itself. What a store keeps of a document has to be bytes
 * of its own: a view would hold on to the whole answer, or file, that it came in.
 */
import { Malformed } from '../fault.ts';
import { annotatedRanges } from '../netdoc/annotated.ts';
import type { JournaledFile } from './journaled-file.ts';

/** How a store reads its files. */
export interface StoredIntake<T> {
  /** The keyword of a document's first line. */
  readonly keyword: string;
  /** Documents that are read from disk before others have their turn: some ten milliseconds. */
  readonly piece: number;
  /** @throws Malformed when it does not parse, or is not to be believed */
  read(document: Uint8Array, annotations: ReadonlyMap<string, string>): T;
  put(parsed: T, annotations: ReadonlyMap<string, string>): void;
}

/** How it takes answers, too. */
export interface Intake<T> extends StoredIntake<T> {
  digestOf(parsed: T): Uint8Array;
  /** By which digest it would be asked for that did not read; null when that cannot be told. */
  badDigestOf(document: Uint8Array): Uint8Array | null;
  /** Keep it. Returns what its file gets; null when it is held already. */
  put(parsed: T, annotations: ReadonlyMap<string, string>): readonly Uint8Array[] | null;
}

/** What became of an answer. */
export interface TakenDocuments {
  readonly added: number;
  /** Digests of what does not parse or is not to be believed: no use asking for them again. */
  readonly bad: readonly Uint8Array[];
  /** How many came that nobody asked for. */
  readonly unwanted: number;
  readonly problems: readonly string[];
}

/** Read a store's files, with a pause after every few documents. Returns what was wrong with those that were left out. */
export function* readStored<T>(file: JournaledFile, intake: StoredIntake<T>): Generator<undefined, string[]> {
  const { main, journal } = file.read();
  const problems: string[] = [];
  let count = 0;
  for (const bytes of [main, journal]) {
    for (const { start, end, annotations } of annotatedRanges(bytes, intake.keyword)) {
      const parsed = parse(bytes.subarray(start, end), annotations, intake);
      if (parsed instanceof Malformed) problems.push(parsed.message);
      else intake.put(parsed.value, annotations);
      if (++count % intake.piece === 0) yield;
    }
  }
  return problems;
}

/** Take what an answer holds, if it was asked for, and append it to the store's file. */
export function takeAnswer<T>(
  bytes: Uint8Array,
  isWanted: (digest: Uint8Array) => boolean,
  file: JournaledFile,
  intake: Intake<T>,
): TakenDocuments {
  const bad: Uint8Array[] = [];
  const problems: string[] = [];
  const chunks: Uint8Array[] = [];
  let [added, unwanted] = [0, 0];
  for (const { start, end, annotations } of annotatedRanges(bytes, intake.keyword)) {
    const document = bytes.subarray(start, end);
    const parsed = parse(document, annotations, intake);
    if (parsed instanceof Malformed) {
      problems.push(parsed.message);
      const digest = intake.badDigestOf(document);
      if (digest !== null) bad.push(digest);
    } else if (!isWanted(intake.digestOf(parsed.value))) {
      unwanted++;
    } else {
      const own = intake.put(parsed.value, annotations);
      if (own === null) continue;
      chunks.push(...own);
      added++;
    }
  }
  file.append(chunks);
  return { added, bad, unwanted, problems };
}

function parse<T>(
  document: Uint8Array,
  annotations: ReadonlyMap<string, string>,
  intake: StoredIntake<T>,
): { readonly value: T } | Malformed {
  try {
    return { value: intake.read(document, annotations) };
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return error;
  }
}
