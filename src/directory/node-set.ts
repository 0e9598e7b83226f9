/**
 * A set of relays as torrc writes it (ExcludeNodes): fingerprints, nicknames and address patterns between commas.
 *
 * Country codes need a database of addresses, which we do not have yet: they are named to the operator and match
 * nobody.
 * @source C tor's manual page, "ExcludeNodes"; routerset.c
 */

import { parseIp } from '../bytes/address.ts';
import { samePrefix } from '../bytes/address-rule.ts';
import { isNickname } from '../netdoc/field.ts';
import type { PathNode } from './path-node.ts';

interface Network {
  readonly host: Uint8Array;
  readonly bits: number;
}

/** Relays by what they are called and where they are. */
export class NodeSet {
  /** Words that were not understood, or that cannot be looked up: for the operator to hear of. */
  readonly unknown: readonly string[];
  private readonly fingerprints = new Set<string>();
  private readonly nicknames = new Set<string>();
  private readonly networks: Network[] = [];

  /** @param text the option's value; empty: nobody */
  constructor(text: string) {
    const unknown: string[] = [];
    for (const word of text.split(',').map((each) => each.trim())) {
      if (word !== '' && !this.read(word)) unknown.push(word);
    }
    this.unknown = unknown;
  }

  private read(word: string): boolean {
    const fingerprint = /^\$?([0-9a-fA-F]{40})(?:[=~][0-9a-zA-Z]{1,19})?$/.exec(word);
    if (fingerprint !== null) {
      this.fingerprints.add(fingerprint[1]!.toUpperCase());
      return true;
    }
    if (isNickname(word)) {
      this.nicknames.add(word.toLowerCase());
      return true;
    }
    const network = readNetwork(word);
    if (network === null) return false;
    this.networks.push(network);
    return true;
  }

  /** Whether a relay is in the set. */
  has({ fingerprint, nickname, ipv4, ipv6 }: PathNode): boolean {
    if (this.fingerprints.has(fingerprint) || this.nicknames.has(nickname.toLowerCase())) return true;
    return this.networks.some(({ host, bits }) => {
      const address = host.length === 4 ? ipv4 : ipv6;
      return address !== null && samePrefix(host, address, bits);
    });
  }
}

function readNetwork(word: string): Network | null {
  const slash = word.indexOf('/');
  const host = parseIp((slash < 0 ? word : word.slice(0, slash)).replace(/^\[(.*)\]$/, '$1'));
  if (host === null) return null;
  const most = host.length * 8;
  if (slash < 0) return { host, bits: most };
  const text = word.slice(slash + 1);
  const bits = /^\d{1,3}$/.test(text) ? Number(text) : -1;
  return bits < 0 || bits > most ? null : { host, bits };
}
