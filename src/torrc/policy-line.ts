/**
 * Policy lines of torrc (`ExitPolicy`, `DirPolicy`, ...): entries between commas, each refused with its place.
 *
 * @source C tor's manual page, "ExitPolicy"
 */

import type { AddressRule } from '../bytes/address-rule.ts';
import { OperatorError } from '../fault.ts';
import { parsePolicyEntry } from '../netdoc/exit-policy.ts';
import { type TorrcLine, whereOf } from './line.ts';
import { parseList } from './units.ts';

const HINT = 'write for example "reject *:*" or "accept 192.0.2.0/24:443"';

/**
 * Parse one policy line of comma-separated entries.
 *
 * @param warnings added to: what C tor takes although it means something else than it seems to
 * @throws {OperatorError} on an entry that does not read
 */
export function parsePolicyLine(name: string, line: TorrcLine, warnings: string[] = []): AddressRule[] {
  return parseList(line.value).flatMap((text) => {
    const entry = parsePolicyEntry(text);
    if (entry === null) throw new OperatorError(`${name} entry "${text}" does not read`, whereOf(line), HINT);
    if (entry.oddity === 'ipv4-after-6') {
      warnings.push(
        `${whereOf(line)}: ${name} entry "${text}" names an IPv4 address and is left out: write accept or reject`,
      );
    } else if (entry.oddity === 'private-after-6') {
      warnings.push(
        `${whereOf(line)}: ${name} entry "${text}" is for IPv4 too: write accept private or reject private`,
      );
    }
    return [...entry.rules];
  });
}
