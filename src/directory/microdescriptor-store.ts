/**
 * The microdescriptors that we hold: those of the present consensus, and those that one listed in the last week.
 *
 * Each is known by its SHA-256, which the consensus vouches for. When a consensus comes into force, what it lists is
 * marked; what none has listed for seven days goes, but only while the consensus is at most a day old, as after a long
 * rest everything looks unlisted.
 *
 * @source dir-spec "Downloading microdescriptors", "Caching"; C tor's microdesc.c for the file
 */
import { log } from '../log.ts';
import { printLastListed } from '../netdoc/annotated.ts';
import type { Consensus } from '../netdoc/consensus.ts';
import {
  type AnnotatedMicrodescriptor,
  type Microdescriptor,
  parseAnnotatedMicrodescriptor,
  parseMicrodescriptors,
} from '../netdoc/microdescriptor.ts';
import { type PortSummary, printSummary } from '../netdoc/port-summary.ts';
import { summariseProblems } from './certificate-store.ts';
import { DigestMap } from './digest-map.ts';
import { readStored, type TakenDocuments } from './document-intake.ts';
import { isMicrodescFileGrown, JournaledFile } from './journaled-file.ts';

/** How long one is kept that no consensus lists. */
const UNLISTED_SEC = 7 * 24 * 3600;
/** A consensus tells what is listed until so long after it expired. */
const REASONABLY_LIVE_SEC = 24 * 3600;

/** Documents that are read from disk before others have their turn: some ten milliseconds. */
const PIECE = 200;

interface Held {
  readonly microdescriptor: Microdescriptor;
  lastListedSec: number;
}

/** Distinct texts and policies that are shared; forgotten when there are more, so that none stays for ever. */
const SHARED_MOST = 50_000;

/** Gives equal values one object: relays of a family name the same relays, and few policies are in use. */
class Shared<T> {
  readonly #values = new Map<string, T>();

  of(key: string, value: T): T {
    const known = this.#values.get(key);
    if (known !== undefined) return known;
    if (this.#values.size >= SHARED_MOST) this.#values.clear();
    this.#values.set(key, value);
    return value;
  }
}

/** Microdescriptors by digest. */
export class MicrodescriptorStore {
  readonly #held = new DigestMap<Held>();
  readonly #file: JournaledFile;
  readonly #onChange: () => void;
  readonly #words = new Shared<string>();
  readonly #policies = new Shared<PortSummary>();
  #bytes = 0;

  /**
   * @param directory - where `cached-microdescs` lies; null keeps nothing on disk
   * @param onChange - called when some came or went
   */
  constructor(directory: string | null, onChange: () => void = () => undefined) {
    this.#file = new JournaledFile(directory, 'cached-microdescs', isMicrodescFileGrown);
    this.#onChange = onChange;
  }

  get size(): number {
    return this.#held.size;
  }

  /** Bytes of all documents. */
  get bytes(): number {
    return this.#bytes;
  }

  has(digest: Uint8Array): boolean {
    return this.#held.has(digest);
  }

  get(digest: Uint8Array): Microdescriptor | null {
    return this.#held.get(digest)?.microdescriptor ?? null;
  }

  *all(): IterableIterator<Microdescriptor> {
    for (const { microdescriptor } of this.#held.values()) yield microdescriptor;
  }

  /** Read the files. */
  load(): void {
    for (const _ of this.loadPieces());
  }

  /** Read the files, with a pause after every few documents. */
  *loadPieces(): Generator<undefined> {
    const problems = yield* readStored(this.#file, {
      keyword: 'onion-key',
      piece: PIECE,
      read: parseAnnotatedMicrodescriptor,
      put: (annotated) => void this.#put(annotated),
    });
    if (problems.length > 0) log.warn('dir', `${this.#file.name}: skipped: ${summariseProblems(problems)}`);
    if (this.#held.size > 0) this.#onChange();
  }

  /**
   * Take what an answer holds, if it was asked for.
   *
   * @param isWanted - tells by digest
   * @param listedSec - when the consensus that lists them became valid
   */
  add(bytes: Uint8Array, isWanted: (digest: Uint8Array) => boolean, listedSec: number): TakenDocuments {
    const { list, bad, problems } = parseMicrodescriptors(bytes);
    const wanted = list.filter(({ microdescriptor }) => isWanted(microdescriptor.digest));
    const chunks: Uint8Array[] = [];
    let added = 0;
    for (const { microdescriptor } of wanted) {
      const own = this.#put({ microdescriptor, lastListedSec: listedSec });
      if (own === null) continue;
      chunks.push(...own);
      added++;
    }
    this.#file.append(chunks);
    if (added > 0) {
      this.#tidy();
      this.#onChange();
    }
    const unwanted = list.length - wanted.length;
    return { added, bad, unwanted, problems: problems.map((each) => each.message) };
  }

  /** Mark what a consensus lists, and drop what has not been listed for long. */
  review(consensus: Consensus, nowSec: number): void {
    const { routers, validAfterSec, validUntilSec } = consensus;
    for (let row = 0; row < routers.count; row++) {
      const held = this.#held.get(routers.digest(row));
      if (held !== undefined && held.lastListedSec < validAfterSec) held.lastListedSec = validAfterSec;
    }
    if (nowSec > validUntilSec + REASONABLY_LIVE_SEC) return;
    let dropped = 0;
    for (const { microdescriptor, lastListedSec } of this.#held.values()) {
      if (lastListedSec >= nowSec - UNLISTED_SEC) continue;
      this.#held.delete(microdescriptor.digest);
      this.#bytes -= microdescriptor.document.length;
      this.#file.drop(microdescriptor.document.length);
      dropped++;
    }
    if (dropped === 0) return;
    this.#tidy();
    this.#onChange();
  }

  /** Digests that a consensus lists and we lack, each once. */
  missing({ routers }: Consensus): Uint8Array[] {
    const missing = new DigestMap<Uint8Array>();
    for (let row = 0; row < routers.count; row++) {
      const digest = routers.digest(row);
      if (!this.#held.has(digest) && digest.some((byte) => byte !== 0)) missing.set(digest, digest);
    }
    return [...missing.values()];
  }

  /** @returns what the file gets; null when it is held already */
  #put({ microdescriptor, lastListedSec }: AnnotatedMicrodescriptor): readonly Uint8Array[] | null {
    const held = this.#held.get(microdescriptor.digest);
    if (held !== undefined) {
      held.lastListedSec = Math.max(held.lastListedSec, lastListedSec);
      return null;
    }
    const policy = (each: PortSummary | null) => each && this.#policies.of(printSummary(each), each);
    const own: Microdescriptor = {
      ...microdescriptor,
      family: microdescriptor.family.map((word) => this.#words.of(word, word)),
      policy: policy(microdescriptor.policy),
      ipv6Policy: policy(microdescriptor.ipv6Policy),
      // Of its own, so that the answer it came in can go.
      document: new Uint8Array(microdescriptor.document),
    };
    const added: Held = { microdescriptor: own, lastListedSec };
    this.#held.set(own.digest, added);
    this.#bytes += own.document.length;
    return printed(added);
  }

  #tidy(): void {
    this.#file.tidy(() => [...this.#held.values()].flatMap(printed));
  }
}

/** A microdescriptor as its file has it. */
function printed({ microdescriptor, lastListedSec }: Held): Uint8Array[] {
  const annotation = lastListedSec === 0 ? '' : printLastListed(lastListedSec);
  return [Buffer.from(annotation), microdescriptor.document];
}
