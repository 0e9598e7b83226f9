/**
 * The network as the client knows it: the newest consensus and its microdescriptors, checked as any client checks them.
 *
 * The authority is in the same process, so nothing is fetched.
 */
import { encodeHex } from '../bytes/base.ts';
import { PathChooser } from '../directory/path.ts';
import { hopOf } from '../directory/path-node.ts';
import type { RandomUnit } from '../directory/timing.ts';
import { assert } from '../fault.ts';
import { parseAuthorityCertificate, verifyAuthorityCertificate } from '../netdoc/authority-certificate.ts';
import { type Consensus, parseConsensus, verifyConsensus } from '../netdoc/consensus.ts';
import { NO_PARAMS, paramValue } from '../netdoc/consensus-params.ts';
import { type Microdescriptor, parseMicrodescriptor } from '../netdoc/microdescriptor.ts';
import type { PathWish } from '../shm/client-letter.ts';
import type { AuthorityDocuments } from './authority-documents.ts';
import type { NamedPath } from './client-thread.ts';

/** Chooses the client's paths. */
export class ClientNetwork {
  private readonly documents: AuthorityDocuments;
  private readonly v3Ident: Uint8Array;
  private readonly random: RandomUnit;
  private readonly microdescriptors = new Map<string, Microdescriptor>();
  private chooser: PathChooser | null = null;
  private consensus: Consensus | null = null;

  constructor(documents: AuthorityDocuments, v3Ident: Uint8Array, random: RandomUnit) {
    this.documents = documents;
    this.v3Ident = v3Ident;
    this.random = random;
  }

  /** Parameters of the consensus. */
  get params(): ReadonlyMap<string, number> {
    return this.consensus?.params ?? NO_PARAMS;
  }

  /** Take the newest consensus. @throws Malformed on a document that does not read, which is a bug */
  refresh(nowSec: number): void {
    const served = this.documents.consensus('microdesc');
    if (served === null) return;
    const consensus = parseConsensus(served.document);
    const certificate = parseAuthorityCertificate(this.documents.certificateText);
    verifyAuthorityCertificate(certificate);
    const { good, needed } = verifyConsensus(consensus, [this.v3Ident], [certificate], nowSec);
    assert(good >= needed, 'the authority of a test network signs its consensuses');
    this.consensus = consensus;
    const rules = { distinctSubnets: false, own: null, isExcluded: () => false };
    const scale = paramValue(consensus.params, 'bwweightscale');
    this.chooser = new PathChooser(consensus, (digest) => this.facts(digest), scale, rules, this.random);
  }

  private facts(digest: Uint8Array): Microdescriptor | null {
    const name = encodeHex(digest);
    const known = this.microdescriptors.get(name);
    if (known !== undefined) return known;
    const found = this.documents.find({ kind: 'microdescriptors', ids: [digest] });
    if (found === null) return null;
    const parsed = parseMicrodescriptor(found.body);
    this.microdescriptors.set(name, parsed);
    return parsed;
  }

  /** Choose a path of three relays. Null while there is none. */
  choose({ port, isIpv6 }: PathWish): NamedPath | null {
    const nodes = this.chooser?.toExit({ port, isIpv6, stable: false }) ?? null;
    if (nodes === null) return null;
    return { hops: nodes.map(hopOf), nicknames: nodes.map(({ nickname }) => nickname) };
  }
}
