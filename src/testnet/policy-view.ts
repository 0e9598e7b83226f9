/**
 * How an exit policy looks from far: what an authority says of it.
 *
 * Pure.
 *
 * @source dir-spec "Assigning flags in a vote", "p"
 */
import type { AddressRule } from '../bytes/address-rule.ts';
import { Malformed } from '../fault.ts';
import { parsePolicyEntry } from '../netdoc/exit-policy.ts';
import { printSummary, summarize } from '../netdoc/port-summary.ts';

/** Ports of the web: an exit lets clients out to both. */
const WEB_PORTS = [80, 443];

/** An exit policy from far. */
export interface PolicyView {
  /** Summed up for IPv4, e.g. `accept 80,443`. */
  readonly summary: string;
  /** Whether it lets clients out to both web ports of a whole /8. */
  readonly isExit: boolean;
}

/** Sum up the policy lines of a descriptor. @throws Malformed on a line that does not read */
export function viewPolicy(lines: readonly string[]): PolicyView {
  const rules = lines.flatMap((line) => {
    const entry = parsePolicyEntry(line, 'descriptor');
    if (entry === null) throw new Malformed('server descriptor', 'has an exit policy that does not read');
    return entry.rules;
  });
  return {
    summary: printSummary(summarize(rules, 4)),
    isExit: WEB_PORTS.every((port) => opensNetwork(rules, port)),
  };
}

/** Whether a /8 is accepted of which nothing was refused before. Loopback counts, as in any test network. */
function opensNetwork(rules: readonly AddressRule[], port: number): boolean {
  const refused = new Set<number>();
  for (const { accept, host, bits, portMin, portMax } of rules) {
    if (host.length !== 4 || port < portMin || port > portMax) continue;
    const count = bits >= 8 ? 1 : 2 ** (8 - bits);
    const first = host[0]! - (host[0]! % count);
    const networks = Array.from({ length: count }, (_, index) => first + index);
    if (!accept) for (const network of networks) refused.add(network);
    else if (bits <= 8 && networks.some((network) => !refused.has(network))) return true;
  }
  return false;
}
