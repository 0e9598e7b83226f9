/**
 * The lines of torrc that make a relay an exit, and those that say how an exit looks names up.
 *
 * @source C tor's manual page, "SERVER OPTIONS"; what C tor 0.4.9.11 makes of them
 */

import type { AddressRule } from '../bytes/address-rule.ts';
import { firstRedundant, printRule, rejectsAll } from '../netdoc/exit-policy.ts';
import { parsePolicyLine } from './policy-line.ts';
import type { Values } from './values.ts';

/** What torrc wants of an exit. */
export interface ExitOptions {
  /** False: nothing is accepted, whatever the rest says. */
  readonly isExit: boolean;
  /** Rules of the ExitPolicy lines, in order. */
  readonly rules: readonly AddressRule[];
  /** What follows them: a bridge has no default policy. */
  readonly end: 'default' | 'reduced' | 'reject';
  readonly ipv6Exit: boolean;
  readonly rejectPrivate: boolean;
  readonly rejectLocalInterfaces: boolean;
  /** A stricter policy ends streams that it no longer accepts. */
  readonly reevaluate: boolean;
  /** Streams only from relays of the consensus; null follows the consensus. */
  readonly refuseUnknown: boolean | null;
}

/** How an exit looks names up. */
export interface DnsOptions {
  /** Instead of /etc/resolv.conf; null without. */
  readonly resolvConfFile: string | null;
  readonly searchDomains: boolean;
  readonly randomizeCase: boolean;
  readonly detectHijacking: boolean;
  readonly testAddresses: readonly string[];
  readonly allowNonRfc953: boolean;
  /** Start although no nameserver can be had, and try again later. */
  readonly allowBroken: boolean;
}

const WHAT_MAKES_AN_EXIT = ['ExitPolicy', 'ReducedExitPolicy', 'IPv6Exit'] as const;

/**
 * Read what torrc says of exiting.
 *
 * @throws {OperatorError} on an ExitPolicy entry that does not read
 */
export function readExitOptions(values: Values, warnings: string[]): ExitOptions {
  const lines = values.lines('ExitPolicy');
  const rules = lines.flatMap((line) => parsePolicyLine('ExitPolicy', line, warnings));
  const ipv6Exit = values.boolean('IPv6Exit');
  const reduced = values.boolean('ReducedExitPolicy');
  const exitRelay = values.autoBoolean('ExitRelay');
  const isBridge = values.boolean('BridgeRelay');
  const isExit = exitRelay === 'auto' ? lines.length > 0 || reduced || ipv6Exit : exitRelay;
  const refuseUnknown = values.autoBoolean('RefuseUnknownExits');
  const end = isBridge ? 'reject' : reduced ? 'reduced' : 'default';
  const exit: ExitOptions = Object.freeze({
    isExit,
    rules: Object.freeze(rules),
    end,
    ipv6Exit,
    rejectPrivate: values.boolean('ExitPolicyRejectPrivate'),
    rejectLocalInterfaces: values.boolean('ExitPolicyRejectLocalInterfaces'),
    reevaluate: values.boolean('ReevaluateExitPolicy'),
    refuseUnknown: refuseUnknown === 'auto' ? null : refuseUnknown,
  });
  warnings.push(...exitWarnings(values, exit));
  return exit;
}

/** What torrc asks for and will not get. */
function exitWarnings(values: Values, exit: ExitOptions): string[] {
  const out: string[] = [];
  const vain = firstRedundant(exit.rules);
  if (vain !== null) {
    out.push(
      `${values.where('ExitPolicy')}: ExitPolicy "${printRule(vain, 'torrc')}" and all that follows it has no effect, ` +
        'because what stands before speaks of every address: write accept *:* or reject *:* last',
    );
  }
  const wants = values.autoBoolean('ExitRelay') === true || (exit.isExit && !rejectsAll(exit.rules));
  if (values.boolean('BridgeRelay') && wants) {
    const place = values.where('ExitRelay', ...WHAT_MAKES_AN_EXIT);
    out.push(`${place}: an exit that is a bridge, with BridgeRelay 1, is used by nobody: write ExitRelay 0`);
  }
  return out;
}

/** Read how names are looked up. @param expand resolves `~` in a path that stands at the given place */
export function readDnsOptions(values: Values, expand: (path: string, where: string) => string): DnsOptions {
  const path = values.text('ServerDNSResolvConfFile');
  return Object.freeze({
    resolvConfFile: path === null ? null : expand(path, values.where('ServerDNSResolvConfFile')),
    searchDomains: values.boolean('ServerDNSSearchDomains'),
    randomizeCase: values.boolean('ServerDNSRandomizeCase'),
    detectHijacking: values.boolean('ServerDNSDetectHijacking'),
    testAddresses: Object.freeze([...values.list('ServerDNSTestAddresses')]),
    allowNonRfc953: values.boolean('ServerDNSAllowNonRFC953Hostnames'),
    allowBroken: values.boolean('ServerDNSAllowBrokenConfig'),
  });
}
