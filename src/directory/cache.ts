/**
 * Consensuses and certificates on disk, under C tor's names and in its form, so that either program starts with what the
 * other one left.
 *
 * What is read here is believed no more than what comes over the wire: it goes through the same checks.
 */

import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileErrorCode, replaceFile } from '../atomic-file.ts';
import { OperatorError } from '../fault.ts';
import { log } from '../log.ts';
import type { ConsensusFlavour } from '../netdoc/consensus.ts';
import { summariseProblems } from './certificate-store.ts';
import { FLAVOURS, type Network } from './network.ts';

const CERTIFICATES = 'cached-certs';
const CONSENSUS: Readonly<Record<ConsensusFlavour, string>> = {
  ns: 'cached-consensus',
  microdesc: 'cached-microdesc-consensus',
};
const JOURNALED = ['cached-descriptors', 'cached-extrainfo', 'cached-microdescs'];
/** All files of a directory's cache, those of `DocumentStore` too. */
export const CACHE_FILES: readonly string[] = [
  CERTIFICATES,
  ...Object.values(CONSENSUS),
  ...JOURNALED.flatMap((name) => [name, `${name}.new`]),
];
const FILE_BYTES_MAX = 1 << 26;

/** The cached documents of one directory: CacheDirectory, or DataDirectory. */
export class DirectoryCache {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Offer everything that is cached to the network. A file that cannot be read or believed costs a message. */
  load(network: Network): void {
    const certificates = this.#read(CERTIFICATES);
    if (certificates !== null) {
      const { problems } = network.certificates.add(certificates);
      if (problems.length > 0) {
        log.warn('dir', `${this.#path(CERTIFICATES)}: skipped: ${summariseProblems(problems)}`);
      }
    }
    for (const flavour of FLAVOURS) {
      const document = this.#read(CONSENSUS[flavour]);
      if (document === null) continue;
      const verdict = network.offer(flavour, document, CONSENSUS[flavour]);
      if (verdict.kind === 'refused') log.info('dir', `${this.#path(CONSENSUS[flavour])} ${verdict.why}`);
    }
  }

  saveConsensus(flavour: ConsensusFlavour, document: Uint8Array): void {
    this.#write(CONSENSUS[flavour], document);
  }

  saveCertificates(documents: Uint8Array): void {
    this.#write(CERTIFICATES, documents);
  }

  #path(name: string): string {
    return join(this.#directory, name);
  }

  #read(name: string): Uint8Array | null {
    const path = this.#path(name);
    try {
      if (statSync(path).size > FILE_BYTES_MAX) {
        log.warn('fs', `${path} is too long to be what its name says; not read`);
        return null;
      }
      return readFileSync(path);
    } catch (error) {
      if (fileErrorCode(error) !== 'ENOENT') log.warn('fs', `Cannot read ${path}: ${messageOf(error)}`);
      return null;
    }
  }

  /** A cache that cannot be written makes the next start slower, and nothing else. */
  #write(name: string, content: Uint8Array): void {
    try {
      replaceFile(this.#path(name), content);
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      log.warn('fs', error.message);
    }
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
