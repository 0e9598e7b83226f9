/**
 * The extra-infos that a directory cache holds: those that a server descriptor of ours names, and no others.
 *
 * The descriptor's relay must have signed it, and both must say the same time and digests.
 *
 * @source dir-spec "Downloading extra-info documents"; C tor's routerlist.c
 */
import { Malformed } from '../fault.ts';
import { log } from '../log.ts';
import { type ExtraInfo, parseExtraInfo, verifyExtraInfo } from '../netdoc/extra-info.ts';
import { parseServerDescriptor } from '../netdoc/server-descriptor.ts';
import { signedPartSha1 } from '../netdoc/signature.ts';
import { summariseProblems } from './certificate-store.ts';
import type { DescriptorStore } from './descriptor-store.ts';
import { DigestMap } from './digest-map.ts';
import { type Intake, readStored, type TakenDocuments, takeAnswer } from './document-intake.ts';
import { isDescriptorFileGrown, JournaledFile } from './journaled-file.ts';

/** Documents that are read from disk before others have their turn: some ten milliseconds. */
const PIECE = 100;

/** An extra-info that is held. */
export interface HeldExtraInfo {
  /** SHA-1 of the signed part, 20 bytes. */
  readonly digest: Uint8Array;
  readonly rsaId: Uint8Array;
  readonly publishedSec: number;
  readonly document: Uint8Array;
}

/** Extra-infos by digest. */
export class ExtraInfoStore {
  readonly #held = new DigestMap<HeldExtraInfo>();
  readonly #descriptors: DescriptorStore;
  readonly #file: JournaledFile;
  readonly #onChange: () => void;
  #bytes = 0;

  /** @param directory - where `cached-extrainfo` lies; null keeps nothing on disk */
  constructor(
    directory: string | null,
    descriptors: DescriptorStore,
    onChange: () => void = () => undefined,
  ) {
    this.#descriptors = descriptors;
    this.#file = new JournaledFile(directory, 'cached-extrainfo', isDescriptorFileGrown);
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

  get(digest: Uint8Array): HeldExtraInfo | null {
    return this.#held.get(digest) ?? null;
  }

  /** The extra-info that a relay's current descriptor names. */
  ofRelay(rsaId: Uint8Array): HeldExtraInfo | null {
    const digest = this.#descriptors.ofRelay(rsaId)?.extraInfoDigest ?? null;
    return digest === null ? null : this.get(digest);
  }

  all(): IterableIterator<HeldExtraInfo> {
    return this.#held.values();
  }

  /** Read the files, behind those of the descriptors. */
  load(nowSec: number): void {
    for (const _ of this.loadPieces(nowSec));
  }

  /** Read the files, with a pause after every few documents. */
  *loadPieces(nowSec: number): Generator<undefined> {
    const problems = yield* readStored(this.#file, this.#intake(nowSec, false));
    if (problems.length > 0) log.info('dir', `${this.#file.name}: skipped: ${summariseProblems(problems)}`);
    if (this.#file.sizes.journal > 0) this.#tidy(true);
    if (this.#held.size > 0) this.#onChange();
  }

  /** Take what an answer holds, if it was asked for. */
  add(bytes: Uint8Array, isWanted: (digest: Uint8Array) => boolean, nowSec: number): TakenDocuments {
    const taken = takeAnswer(bytes, isWanted, this.#file, this.#intake(nowSec, true));
    if (taken.added > 0) {
      this.#tidy(false);
      this.#onChange();
    }
    return taken;
  }

  /** Drop what no descriptor names any more. */
  review(): void {
    let dropped = 0;
    for (const held of this.#held.values()) {
      if (this.#descriptors.ofExtraInfo(held.digest) !== null) continue;
      this.#held.delete(held.digest);
      this.#bytes -= held.document.length;
      this.#file.drop(held.document.length);
      dropped++;
    }
    if (dropped === 0) return;
    this.#tidy(false);
    this.#onChange();
  }

  /** Digests that descriptors name and we lack. */
  missing(): Uint8Array[] {
    const missing = new DigestMap<Uint8Array>();
    for (const { extraInfoDigest, rsaId } of this.#descriptors.all()) {
      if (extraInfoDigest === null || this.#held.has(extraInfoDigest)) continue;
      if (this.#descriptors.ofRelay(rsaId) !== null) missing.set(extraInfoDigest, extraInfoDigest);
    }
    return [...missing.values()];
  }

  #intake(nowSec: number, isFromWire: boolean): Intake<ExtraInfo> {
    return {
      keyword: 'extra-info',
      piece: PIECE,
      read: (document) => {
        const extraInfo = parseExtraInfo(document);
        this.#check(extraInfo, nowSec, isFromWire);
        return extraInfo;
      },
      digestOf: ({ digestSha1 }) => digestSha1,
      badDigestOf: signedPartSha1,
      put: (extraInfo) => this.#put(extraInfo),
    };
  }

  /** @throws Malformed when it is not what its relay's descriptor says */
  #check(extraInfo: ExtraInfo, nowSec: number, isFromWire: boolean): void {
    const fail = (why: string): Malformed => new Malformed('extra-info', why);
    const held = this.#descriptors.ofExtraInfo(extraInfo.digestSha1);
    if (held === null) throw fail('is named by no descriptor');
    if (Buffer.compare(held.rsaId, extraInfo.rsaId) !== 0)
      throw fail('is of another relay than its descriptor');
    if (held.publishedSec !== extraInfo.publishedSec) throw fail('was published at another time');
    const sha256 = held.extraInfoSha256;
    if (sha256 !== null && Buffer.compare(sha256, extraInfo.digestSha256) !== 0)
      throw fail('has another SHA-256');
    // A descriptor that was believed vouches for this SHA-256.
    if (!isFromWire && sha256 !== null) return;
    const descriptor = parseServerDescriptor(held.document);
    const [theirs, ours] = [descriptor.seal.signingCert, extraInfo.seal.signingCert];
    if (Buffer.compare(theirs.certifiedKey, ours.certifiedKey) !== 0)
      throw fail('is signed with another key');
    verifyExtraInfo(extraInfo, descriptor.rsaDer, nowSec);
  }

  /** @returns what the file gets; null when it is held already */
  #put({ digestSha1: digest, rsaId, publishedSec, document }: ExtraInfo): readonly Uint8Array[] | null {
    if (this.#held.has(digest)) return null;
    // Of its own, so that the answer it came in can go.
    const own = new Uint8Array(document);
    this.#held.set(digest, { digest, rsaId, publishedSec, document: own });
    this.#bytes += own.length;
    return [own];
  }

  #tidy(force: boolean): void {
    this.#file.tidy(() => {
      const sorted = [...this.#held.values()].sort((a, b) => a.publishedSec - b.publishedSec);
      return sorted.map(({ document }) => document);
    }, force);
  }
}
