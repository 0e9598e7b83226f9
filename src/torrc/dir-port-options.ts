/**
 * The lines of torrc about the DirPort, the plain HTTP port of a directory cache, and about the diffs that it keeps.
 *
 * A DirPort of a relay is not advertised any more: C tor 0.4.9 writes it into no descriptor but an authority's.
 *
 * @source C tor's manual page, "DIRECTORY SERVER OPTIONS"
 */
import type { AddressRule } from '../bytes/address-rule.ts';
import { parsePolicyLine } from './policy-line.ts';
import { type OrPort, parseDirPorts } from './port.ts';
import type { Values } from './values.ts';

/** What torrc says of the DirPort. */
export interface DirPortOptions {
  /** Those that listen or are advertised. */
  readonly ports: readonly OrPort[];
  /** Who may connect; whom no rule speaks of may. */
  readonly policy: readonly AddressRule[];
  /** Path of the page at its root; null without. */
  readonly frontPage: string | null;
  /** How old a consensus may be to serve diffs from it; null follows the consensus. */
  readonly maxConsensusAgeForDiffsSec: number | null;
}

/** Read what torrc says of the DirPort. @throws {OperatorError} on a port or policy that does not read */
export function readDirPortOptions(
  values: Values,
  warnings: string[],
  expand: (path: string, where: string) => string,
): DirPortOptions {
  const lines = [...values.lines('DirPort'), ...values.lines('__DirPort')];
  const policy = values.lines('DirPolicy').flatMap((line) => parsePolicyLine('DirPolicy', line, warnings));
  const page = values.text('DirPortFrontPage');
  const ageSec = values.number('MaxConsensusAgeForDiffs');
  return Object.freeze({
    ports: Object.freeze(parseDirPorts(lines, (text) => warnings.push(text))),
    policy: Object.freeze(policy),
    frontPage: page === null ? null : expand(page, values.where('DirPortFrontPage')),
    maxConsensusAgeForDiffsSec: ageSec === 0 ? null : ageSec,
  });
}
