/**
 * Fetches the authorities' certificates: when one is missing or has expired, and when a consensus waits for one.
 *
 * @source dir-spec "Downloading certificates from directory authorities"
 */
import { encodeHex } from '../bytes/base.ts';
import { log } from '../log.ts';
import type { DirectoryAuthority } from './authority.ts';
import { summariseProblems } from './certificate-store.ts';
import { Errand, type ErrandTools, LOOK_MS, refusalOf } from './errand.ts';
import type { DirectoryReply } from './http-exchange.ts';

const BODY_BYTES_MAX = 1 << 21;

/** Fetches certificates. */
export class CertificateErrand {
  readonly #errand: Errand;
  readonly #tools: ErrandTools;
  readonly #onArrived: () => void;

  /** @param onArrived - some came that we lacked */
  constructor(tools: ErrandTools, onArrived: () => void) {
    this.#tools = tools;
    this.#onArrived = onArrived;
    this.#errand = new Errand('authority certificates', tools);
  }

  start(delaySec: number): void {
    this.#errand.start(delaySec, () => this.look());
  }

  stop(): void {
    this.#errand.stop();
  }

  /** Look whether some are missing, and ask for them. */
  look(): void {
    const errand = this.#errand;
    if (!errand.isRunning || errand.isAsking) return;
    const path = this.#wantedPath();
    if (path === null) {
      errand.backoff.reset();
      errand.wait(LOOK_MS);
      this.#arm();
    } else if (errand.msUntilDue() <= 0 || errand.backoff.failures === 0) {
      this.#fetch(path);
    } else {
      this.#arm();
    }
  }

  /** The path that asks for what is missing; authorities' newest certificates first, then particular keys. */
  #wantedPath(): string | null {
    const { network, timing } = this.#tools;
    const missing = network.certificates.missing(timing.nowSec()).map(encodeHex);
    if (missing.length > 0) return `/tor/keys/fp/${missing.sort().join('+')}`;
    const pairs = network
      .neededCertificates()
      .map(({ authorityId, signingKeyDigest }) => `${encodeHex(authorityId)}-${encodeHex(signingKeyDigest)}`);
    return pairs.length > 0 ? `/tor/keys/fp-sk/${pairs.sort().join('+')}` : null;
  }

  #fetch(path: string): void {
    this.#errand.ask({ path, headers: {}, bytesMax: BODY_BYTES_MAX }, (outcome, authority) => {
      const refusal = refusalOf(outcome);
      if (refusal !== null || 'why' in outcome) this.#fail(authority, refusal!);
      else this.#take(outcome.reply, authority);
    });
  }

  #take(reply: DirectoryReply, authority: DirectoryAuthority): void {
    const { network, timing } = this.#tools;
    const { added, problems } = network.certificates.add(reply.body);
    if (problems.length > 0) {
      const what = summariseProblems(problems);
      log.warn('dir', `Authority ${authority.nickname} sent bad certificates: ${what}`);
    }
    if (added.length === 0) {
      this.#fail(authority, 'has none that we lack');
      return;
    }
    log.info('dir', `Got ${added.length} authority certificates from ${authority.nickname}.`);
    network.certificates.dropOld(timing.nowSec());
    this.#onArrived();
    // What is still missing after a success is asked of another authority, but not in a tight loop.
    if (this.#wantedPath() !== null) this.#fail(authority, 'lacks some');
    else this.look();
  }

  #fail(authority: DirectoryAuthority, why: string): void {
    this.#errand.fail(authority, why, this.#tools.network.neededCertificates().length > 0);
    this.#arm();
  }

  #arm(): void {
    this.#errand.arm(() => this.look());
  }
}
