/** Reads of a consensus what the network tests ask: when it began, and how it speaks of one relay. */

/** One relay of a consensus. */
export interface ConsensusEntry {
  readonly flags: readonly string[];
  /** The `v` line, empty where the platform names no Tor version. */
  readonly version: string;
  /** The `pr` line. */
  readonly protocols: string;
}

/** When the consensus became valid, in seconds since 1970; 0 for no consensus. */
export function validAfterSec(consensus: string): number {
  const text = consensus.match(/^valid-after (\S+) (\S+)$/m);
  return text === null ? 0 : Date.parse(`${text[1]}T${text[2]}Z`) / 1000;
}

/** Find a relay by its RSA fingerprint in hex; null when the consensus does not list it. */
export function findEntry(consensus: string, fingerprint: string): ConsensusEntry | null {
  const identity = Buffer.from(fingerprint, 'hex').toString('base64').replace(/=+$/, '');
  const from = consensus.indexOf(` ${identity} `);
  if (from < 0) return null;
  const next = consensus.indexOf('\nr ', from);
  const entry = consensus.slice(from, next < 0 ? undefined : next);
  return {
    flags: (entry.match(/^s (.*)$/m)?.[1] ?? '').split(' '),
    version: entry.match(/^v (.*)$/m)?.[1] ?? '',
    protocols: entry.match(/^pr (.*)$/m)?.[1] ?? '',
  };
}
