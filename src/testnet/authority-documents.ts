/**
 * Every document that the authority serves, and what queries find of them.
 *
 * Superseded documents stay for a while, as consensuses in force still name them; how many is bounded.
 *
 * @source dir-spec "General-use HTTP URLs"
 */
import { encodeHex } from '../bytes/base.ts';
import { equal } from '../bytes/secret.ts';
import type { ConsensusFlavour } from '../netdoc/consensus.ts';
import type {
  CertificateKey,
  ConsensusQuery,
  DescriptorKey,
  DirectoryQuery,
} from '../netdoc/directory-request.ts';
import { isSignedByEnough } from '../netdoc/directory-request.ts';
import type { ExtraInfo } from '../netdoc/extra-info.ts';
import type { ServerDescriptor } from '../netdoc/server-descriptor.ts';
import type { AuthorityKeys } from './authority-keys.ts';
import type { MicrodescriptorText } from './microdescriptor-text.ts';

const KEPT_MAX = 2000;

/** Documents by digest, the oldest going first. */
class Shelf {
  private readonly byDigest = new Map<string, Uint8Array>();

  put(digest: string, document: Uint8Array): void {
    this.byDigest.delete(digest);
    this.byDigest.set(digest, document);
    for (const oldest of this.byDigest.keys()) {
      if (this.byDigest.size <= KEPT_MAX) return;
      this.byDigest.delete(oldest);
    }
  }

  get(digest: string): Uint8Array | null {
    return this.byDigest.get(digest) ?? null;
  }
}

/** A consensus in force. */
export interface ServedConsensus {
  readonly document: Uint8Array;
  readonly validAfterSec: number;
  readonly freshUntilSec: number;
}

/** What a GET of a known resource finds. */
export interface FoundDocuments {
  readonly body: Uint8Array;
  /** The consensus that it is, if it is one. */
  readonly consensus: ServedConsensus | null;
}

/** The authority's documents. */
export class AuthorityDocuments {
  private readonly keys: AuthorityKeys;
  private readonly certificate: Uint8Array;
  private readonly ownRsaHex: string;
  private readonly consensuses = new Map<ConsensusFlavour, ServedConsensus>();
  /** Newest of each relay, by RSA identity in hex. */
  private readonly descriptors = new Map<string, Uint8Array>();
  private readonly extraInfos = new Map<string, Uint8Array>();
  private readonly descriptorShelf = new Shelf();
  private readonly extraInfoShelf = new Shelf();
  private readonly microdescriptorShelf = new Shelf();

  /** @param rsaId - identity of the relay that answers for the authority on its ORPort */
  constructor(keys: AuthorityKeys, certificate: string, rsaId: Uint8Array) {
    this.keys = keys;
    this.certificate = new TextEncoder().encode(certificate);
    this.ownRsaHex = encodeHex(rsaId);
  }

  putConsensus(flavour: ConsensusFlavour, consensus: ServedConsensus): void {
    this.consensuses.set(flavour, consensus);
  }

  putDescriptor({ rsaId, digestSha1, document }: ServerDescriptor): void {
    this.descriptors.set(encodeHex(rsaId), document);
    this.descriptorShelf.put(encodeHex(digestSha1), document);
  }

  putExtraInfo({ rsaId, digestSha1, document }: ExtraInfo): void {
    this.extraInfos.set(encodeHex(rsaId), document);
    this.extraInfoShelf.put(encodeHex(digestSha1), document);
  }

  putMicrodescriptor({ digest, document }: MicrodescriptorText): void {
    this.microdescriptorShelf.put(encodeHex(digest), document);
  }

  /** The certificate of the key that signs consensuses. */
  get certificateText(): Uint8Array {
    return this.certificate;
  }

  /** The consensus in force. */
  consensus(flavour: ConsensusFlavour): ServedConsensus | null {
    return this.consensuses.get(flavour) ?? null;
  }

  /** Find what a query asks for; null when there is nothing of it. */
  find(query: DirectoryQuery): FoundDocuments | null {
    if (query.kind === 'consensus') return this.findConsensus(query);
    const parts = this.findParts(query);
    return parts.length === 0 ? null : { body: Buffer.concat(parts), consensus: null };
  }

  private findConsensus({ flavour, wantedSigners, diffOnly }: ConsensusQuery): FoundDocuments | null {
    const found = this.consensuses.get(flavour);
    if (found === undefined || diffOnly) return null;
    const isEnough =
      wantedSigners === null || isSignedByEnough(wantedSigners, [encodeHex(this.keys.v3Ident)]);
    return isEnough ? { body: found.document, consensus: found } : null;
  }

  private findParts(query: DirectoryQuery): Uint8Array[] {
    switch (query.kind) {
      case 'certificates':
        return this.hasCertificate(query.by, query.ids) ? [this.certificate] : [];
      case 'server-descriptors':
        return this.select(this.descriptors, this.descriptorShelf, query.by, query.ids);
      case 'extra-infos':
        return this.select(this.extraInfos, this.extraInfoShelf, query.by, query.ids);
      case 'microdescriptors':
        return found(query.ids.map((id) => this.microdescriptorShelf.get(encodeHex(id))));
      default:
        return [];
    }
  }

  private hasCertificate(by: CertificateKey, ids: readonly Uint8Array[]): boolean {
    const { v3Ident, signingKeyDigest } = this.keys;
    if (by === 'all' || by === 'authority') return true;
    const own = { fp: v3Ident, sk: signingKeyDigest, 'fp-sk': Buffer.concat([v3Ident, signingKeyDigest]) }[
      by
    ];
    return ids.some((id) => equal(id, own));
  }

  private select(
    newest: ReadonlyMap<string, Uint8Array>,
    shelf: Shelf,
    by: DescriptorKey,
    ids: readonly Uint8Array[],
  ): Uint8Array[] {
    const names = ids.map(encodeHex);
    switch (by) {
      case 'all':
        return [...newest.values()];
      case 'authority':
        return found([newest.get(this.ownRsaHex) ?? null]);
      case 'fp':
        return found(names.map((name) => newest.get(name) ?? null));
      default:
        return found(names.map((name) => shelf.get(name)));
    }
  }
}

function found(parts: readonly (Uint8Array | null)[]): Uint8Array[] {
  return parts.filter((one) => one !== null);
}
