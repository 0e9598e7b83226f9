/**
 * The authorities' key certificates that we hold, verified, newest first per authority.
 *
 * Only known authorities' certificates are kept, and each only once. The newest certificate of an authority is
 * never dropped, so that its address and key are at hand when it comes back.
 *
 * @source dir-spec "Creating key certificates", "Downloading certificates from directory authorities"
 */

import { encodeHex } from '../bytes/base.ts';
import { Malformed } from '../fault.ts';
import {
  type AuthorityCertificate,
  parseAuthorityCertificates,
  verifyAuthorityCertificate,
} from '../netdoc/authority-certificate.ts';

/** A superseded certificate signs no consensus any more once its successor is this old. */
const SUPERSEDED_SEC = 2 * 24 * 3600;

/** What became of a batch of certificates. */
export interface AddedCertificates {
  readonly added: readonly AuthorityCertificate[];
  /** Of authorities that we don't know; left out. */
  readonly unknown: number;
  readonly problems: readonly string[];
}

/** Problems that one log line names. */
const NAMED_MAX = 3;

/** Say what was wrong in one line, however much there was. */
export function summariseProblems(problems: readonly string[]): string {
  const named = problems.slice(0, NAMED_MAX).join('; ');
  const more = problems.length - NAMED_MAX;
  return more > 0 ? `${named}; and ${more} more` : named;
}

/** Certificates by authority. */
export class CertificateStore {
  readonly #byAuthority = new Map<string, AuthorityCertificate[]>();
  readonly #authorityIds: readonly Uint8Array[];
  readonly #listeners: (() => void)[] = [];

  /** @param authorityIds v3 identities of all authorities whose signatures count */
  constructor(authorityIds: readonly Uint8Array[]) {
    this.#authorityIds = authorityIds;
    for (const id of authorityIds) this.#byAuthority.set(encodeHex(id), []);
  }

  /** Be told when some came or went. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Parse, verify and keep certificates. A bad one costs only itself. */
  add(text: Uint8Array): AddedCertificates {
    const { certificates, problems } = parseAuthorityCertificates(text);
    const added: AuthorityCertificate[] = [];
    const whys = problems.map((problem) => problem.message);
    let unknown = 0;
    for (const certificate of certificates) {
      const list = this.#byAuthority.get(encodeHex(certificate.authorityId));
      if (list === undefined) unknown++;
      else if (!list.some((held) => sameBytes(held.signedDigest, certificate.signedDigest))) {
        const why = verify(certificate);
        if (why !== null) whys.push(why);
        else {
          list.push(certificate);
          list.sort((a, b) => b.publishedSec - a.publishedSec);
          added.push(certificate);
        }
      }
    }
    if (added.length > 0) this.#tell();
    return { added, unknown, problems: whys };
  }

  /** All certificates held. */
  all(): AuthorityCertificate[] {
    return [...this.#byAuthority.values()].flat();
  }

  /** Identities of authorities without an unexpired certificate. */
  missing(nowSec: number): Uint8Array[] {
    return this.#authorityIds.filter((id) => {
      const list = this.#byAuthority.get(encodeHex(id)) ?? [];
      return !list.some((certificate) => certificate.expiresSec > nowSec);
    });
  }

  /** Drop what no consensus can be signed with any more. Returns whether something was dropped. */
  dropOld(nowSec: number): boolean {
    let dropped = false;
    for (const [id, list] of this.#byAuthority) {
      const [newest, ...older] = list;
      if (newest === undefined) continue;
      const kept = older.filter((certificate) => {
        return certificate.expiresSec > nowSec && newest.publishedSec + SUPERSEDED_SEC > nowSec;
      });
      dropped ||= kept.length < older.length;
      this.#byAuthority.set(id, [newest, ...kept]);
    }
    if (dropped) this.#tell();
    return dropped;
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  /** All certificates one behind the other, as `cached-certs` holds them. */
  print(): Uint8Array {
    return Buffer.concat(this.all().map((certificate) => certificate.document));
  }
}

function verify(certificate: AuthorityCertificate): string | null {
  try {
    verifyAuthorityCertificate(certificate);
    return null;
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return error.message;
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
