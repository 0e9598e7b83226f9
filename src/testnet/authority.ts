/**
 * The directory authority of a test network: it takes descriptors, looks who is up, and signs a consensus of both
 * flavours now and then. The only voter, so there are no votes.
 *
 * For tests alone: its keys are made at the start and kept nowhere, and it knows loopback addresses only. Consensuses
 * come every ten seconds at first, as relays turn up, and then less and less often; the arrival of a relay brings one
 * at once.
 *
 * @source dir-spec "Directory authority operation and formats"
 */
import type { Endpoint } from '../bytes/address.ts';
import { encodeHex } from '../bytes/base.ts';
import { printAuthorityCertificate } from '../netdoc/authority-certificate.ts';
import type { ExtraInfo } from '../netdoc/extra-info.ts';
import { printHttpTime } from '../netdoc/http-time.ts';
import type { ServerDescriptor } from '../netdoc/server-descriptor.ts';
import { AuthorityDocuments } from './authority-documents.ts';
import type { ListedRelay, Voter } from './consensus-text.ts';
import { printConsensus } from './consensus-text.ts';
import type { ServedReply, ServedRequest } from './directory-server.ts';
import { makeMicrodescriptor } from './microdescriptor-text.ts';
import { viewPolicy } from './policy-view.ts';
import { relayFlags, stableUptimeSec } from './relay-flags.ts';
import type { Judgement, KnownRelay, KnownRelays } from './upload-judge.ts';
import { judgeUpload } from './upload-judge.ts';

/** C tor takes no shorter ones in a test network. */
const INTERVAL_SEC_MIN = 10;
const INTERVAL_SEC_MAX = 120;
/** An interval is this part of the network's age. */
const INTERVAL_SHARE = 0.25;
const INTERVALS_VALID = 4;
/** How long after an arrival others may arrive with it. */
const SETTLE_MS = 1500;
/** How long the first consensus waits for relays that are awaited. */
const AWAIT_MS = 15_000;
const RETRY_MS = 1000;
/** All relays share a machine: whatever they claim, they are alike. Kilobytes per second. */
const BANDWIDTH = 1000;
const RELAY_SEC_MAX = 24 * 3600;

/** What the authority needs of its surroundings. */
export interface AuthorityPorts {
  nowSec(): number;
  nowMs(): number;
  after(delayMs: number, run: () => void): () => void;
  random(length: number): Uint8Array;
  /** Whether somebody listens there; never throws. */
  answers(endpoint: Endpoint): Promise<boolean>;
}

/** What the authority is told. */
export interface AuthoritySettings {
  readonly voter: Voter;
  /** Identity of the relay that answers for it on its ORPort. */
  readonly rsaId: Uint8Array;
  /** Relays that the first consensus waits for. */
  readonly awaited: number;
  readonly params: ReadonlyMap<string, number>;
}

interface Member extends KnownRelay {
  descriptor: ServerDescriptor;
  extraInfo: ExtraInfo | null;
}

/** The authority while the network lives. */
export class Authority implements KnownRelays {
  readonly documents: AuthorityDocuments;
  /** Told of each consensus. */
  onConsensus: (relays: readonly ListedRelay[]) => void = () => undefined;
  /** Told of each upload that was refused. */
  onRefusal: (message: string) => void = () => undefined;
  private readonly settings: AuthoritySettings;
  private readonly ports: AuthorityPorts;
  private readonly members = new Map<string, Member>();
  private readonly ed25519ByRsa = new Map<string, string>();
  private readonly rsaByEd25519 = new Map<string, string>();
  private readonly sharedRandom: { readonly previous: Uint8Array; readonly current: Uint8Array };
  private readonly bornMs: number;
  private validAfterSec = 0;
  private dueMs: number;
  private cancel: () => void = () => undefined;
  private isMaking = false;
  private isStopped = false;

  constructor(settings: AuthoritySettings, ports: AuthorityPorts) {
    this.settings = settings;
    this.ports = ports;
    const { keys, host, dirPort } = settings.voter;
    // From a minute ago, as clocks of the same machine may still be read in another order.
    const certificate = printAuthorityCertificate(keys, { host, port: dirPort }, ports.nowSec() - 60);
    this.documents = new AuthorityDocuments(keys, certificate, settings.rsaId);
    this.sharedRandom = { previous: ports.random(32), current: ports.random(32) };
    this.bornMs = ports.nowMs();
    this.dueMs = this.bornMs + AWAIT_MS;
    this.schedule();
  }

  /** Make no more consensuses. */
  stop(): void {
    this.isStopped = true;
    this.cancel();
  }

  relay(rsaHex: string): KnownRelay | null {
    return this.members.get(rsaHex) ?? null;
  }

  pinnedEd25519(rsaHex: string): string | null {
    return this.ed25519ByRsa.get(rsaHex) ?? null;
  }

  pinnedRsa(ed25519Hex: string): string | null {
    return this.rsaByEd25519.get(ed25519Hex) ?? null;
  }

  /** Answer a request on the DirPort. */
  handle({ query, url, modifiedSinceSec, body }: ServedRequest): ServedReply {
    if (query.kind === 'error') return query;
    if (query.kind === 'upload' && url === '/tor/' && body !== null) return this.takeUpload(body);
    const found = this.documents.find(query);
    if (found === null) return { status: 404, reason: 'Not found' };
    const { consensus } = found;
    if (consensus === null) return { status: 200, reason: 'OK', body: found.body };
    if (modifiedSinceSec > consensus.validAfterSec) return { status: 304, reason: 'Not modified' };
    const headers = { Expires: printHttpTime(consensus.freshUntilSec) };
    return { status: 200, reason: 'OK', headers, body: found.body };
  }

  private takeUpload(body: Uint8Array): ServedReply {
    const judgements = judgeUpload(body, this, this.ports.nowSec());
    for (const judgement of judgements) this.take(judgement);
    const refusal = judgements.find(({ kind }) => kind === 'refused');
    if (refusal?.kind === 'refused') {
      this.onRefusal(refusal.message);
      return { status: 400, reason: refusal.message };
    }
    if (judgements.some(({ kind }) => kind === 'descriptor' || kind === 'extra-info')) {
      return { status: 200, reason: 'Descriptor accepted' };
    }
    return { status: 200, reason: 'OK', headers: { 'X-Descriptor-Not-New': 'Yes' } };
  }

  private take(judgement: Judgement): void {
    if (judgement.kind === 'descriptor') {
      const { descriptor } = judgement;
      const rsaHex = encodeHex(descriptor.rsaId);
      const ed25519Hex = encodeHex(descriptor.ed25519Id);
      const isNew = !this.members.has(rsaHex);
      this.ed25519ByRsa.set(rsaHex, ed25519Hex);
      this.rsaByEd25519.set(ed25519Hex, rsaHex);
      this.members.set(rsaHex, { descriptor, extraInfo: null });
      this.documents.putDescriptor(descriptor);
      if (isNew) this.hasten();
    } else if (judgement.kind === 'extra-info') {
      const { extraInfo } = judgement;
      const member = this.members.get(encodeHex(extraInfo.rsaId));
      if (member === undefined) return;
      member.extraInfo = extraInfo;
      this.documents.putExtraInfo(extraInfo);
    }
  }

  /** Somebody arrived: have a consensus soon, once all awaited relays are there. */
  private hasten(): void {
    if (this.validAfterSec === 0 && this.members.size < this.settings.awaited) return;
    this.dueMs = Math.min(this.dueMs, this.ports.nowMs() + SETTLE_MS);
    this.schedule();
  }

  private schedule(): void {
    this.cancel();
    if (this.isStopped || this.isMaking) return;
    this.cancel = this.ports.after(Math.max(0, this.dueMs - this.ports.nowMs()), () => void this.make());
  }

  /** Look who is up and sign a consensus of them. */
  private async make(): Promise<void> {
    this.isMaking = true;
    this.dueMs = Number.POSITIVE_INFINITY;
    const relays = await this.listRelays();
    this.isMaking = false;
    if (this.isStopped) return;
    const nowSec = this.ports.nowSec();
    if (relays.length === 0 || nowSec <= this.validAfterSec) {
      this.dueMs = this.ports.nowMs() + RETRY_MS;
      this.schedule();
      return;
    }
    const ageSec = (this.ports.nowMs() - this.bornMs) / 1000;
    const intervalSec = Math.min(
      Math.max(Math.floor(ageSec * INTERVAL_SHARE), INTERVAL_SEC_MIN),
      INTERVAL_SEC_MAX,
    );
    this.publish(relays, nowSec, intervalSec);
    this.dueMs = Math.min(this.dueMs, this.ports.nowMs() + intervalSec * 1000);
    this.schedule();
    this.onConsensus(relays);
  }

  private publish(relays: readonly ListedRelay[], validAfterSec: number, intervalSec: number): void {
    const freshUntilSec = validAfterSec + intervalSec;
    const content = {
      validAfterSec,
      freshUntilSec,
      validUntilSec: validAfterSec + INTERVALS_VALID * intervalSec,
      params: this.settings.params,
      sharedRandom: this.sharedRandom,
      relays,
    };
    for (const flavour of ['ns', 'microdesc'] as const) {
      const document = printConsensus(content, flavour, this.settings.voter);
      this.documents.putConsensus(flavour, { document, validAfterSec, freshUntilSec });
    }
    this.validAfterSec = validAfterSec;
  }

  /** The relays that run, with their flags. */
  private async listRelays(): Promise<ListedRelay[]> {
    const nowSec = this.ports.nowSec();
    const candidates = [...this.members.values()]
      .map(({ descriptor }) => descriptor)
      .filter(({ hibernating, publishedSec }) => !hibernating && publishedSec > nowSec - RELAY_SEC_MAX);
    const up = await Promise.all(
      candidates.map(({ address, orPort }) => this.ports.answers({ host: address, port: orPort })),
    );
    const running = candidates.filter((_, index) => up[index]);
    const uptimeSec = (one: ServerDescriptor): number => (one.uptimeSec ?? 0) + nowSec - one.publishedSec;
    const stableSec = stableUptimeSec(running.map(uptimeSec));
    return running.flatMap((descriptor) => {
      const { summary, isExit } = viewPolicy(descriptor.policy);
      const microdescriptor = makeMicrodescriptor(descriptor, summary);
      if (microdescriptor === null) return [];
      this.documents.putMicrodescriptor(microdescriptor);
      const { voter, rsaId } = this.settings;
      const isAuthority = Buffer.compare(descriptor.rsaId, rsaId) === 0;
      const facts = {
        isAuthority,
        isExit,
        servesDirectory: descriptor.tunnelledDirServer || descriptor.dirPort !== 0,
        uptimeSec: uptimeSec(descriptor),
        descriptorAgeSec: nowSec - descriptor.publishedSec,
      };
      return {
        descriptor,
        // C tor uploads to where the consensus says that the authority is.
        dirPort: isAuthority ? voter.dirPort : descriptor.dirPort,
        microdescriptorDigest: microdescriptor.digest,
        flags: relayFlags(facts, stableSec),
        bandwidth: BANDWIDTH,
        policySummary: summary,
      };
    });
  }
}
