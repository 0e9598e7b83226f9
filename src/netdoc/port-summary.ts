/**
 * Port summaries: what an exit policy comes down to when addresses are left out, as `ipv6-policy` in descriptors and
 * `p`/`p6` in microdescriptors have it: `accept 80,443` or `reject 1-24`.
 *
 * A port counts as accepted if the policy accepts it for all addresses but few: of IPv4 at most two /8, of IPv6 at
 * most one /16 may be refused before. All authorities must find the same text, so the rules are C tor's to the letter.
 *
 * @source dir-spec "Exit policy summaries"; limits of C tor 0.4.9
 */
import type { AddressRule } from '../bytes/address-rule.ts';
import { samePrefix } from '../bytes/address-rule.ts';
import { Malformed } from '../fault.ts';
import { PRIVATE_NETWORKS } from './exit-policy.ts';

const PORT_MOST = 65535;
/** Longest text, verb included, and most ranges that are read. */
const LENGTH_MOST = 1000;
const RANGES_MOST = 1000;
/** Refused addresses that a port may have: 2^25 of IPv4, 2^48 /64 networks of IPv6. Smaller IPv6 ranges don't count. */
const IPV4_REFUSED_MOST = 2 ** 25;
const IPV6_REFUSED_MOST = 2 ** 48;
const IPV6_BITS_COUNTED = 64;

/** Inclusive on both ends. */
export interface PortRange {
  readonly low: number;
  readonly high: number;
}

/** Accepts the ports of its ranges, or all others. */
export interface PortSummary {
  readonly accept: boolean;
  readonly ranges: readonly PortRange[];
}

/** Whether a connection to this port is accepted, as far as the summary can tell. */
export function summaryAllows(summary: PortSummary, port: number): boolean {
  return summary.accept === summary.ranges.some(({ low, high }) => low <= port && port <= high);
}

/** Whether a summary accepts nothing. */
export function isRejectSummary({ accept, ranges }: PortSummary): boolean {
  return !accept && ranges.length === 1 && ranges[0]!.low === 1 && ranges[0]!.high === PORT_MOST;
}

/** Print a summary. */
export function printSummary({ accept, ranges }: PortSummary): string {
  return `${accept ? 'accept' : 'reject'} ${ranges.map(printRange).join(',')}`;
}

function printRange({ low, high }: PortRange): string {
  return low === high ? `${low}` : `${low}-${high}`;
}

/** Parse a summary. Entries that begin with no digit are of a kind not known yet and skipped. @throws Malformed */
export function parseSummary(text: string): PortSummary {
  const found = /^(accept|reject) (.*)$/.exec(text);
  if (found === null) throw new Malformed('port summary', 'neither accepts nor rejects');
  const ranges: PortRange[] = [];
  for (const entry of found[2]!.split(',')) {
    if (!/^[0-9]/.test(entry)) continue;
    const [, lowText, highText] = /^([0-9]{1,5})(?:-([0-9]{1,5}))?$/.exec(entry) ?? [];
    const low = Number(lowText);
    const high = Number(highText ?? lowText);
    if (!(low >= 1 && low <= high && high <= PORT_MOST)) {
      throw new Malformed('port summary', `has the entry "${entry.slice(0, 20)}"`);
    }
    if (ranges.length === RANGES_MOST) throw new Malformed('port summary', 'has too many entries');
    ranges.push({ low, high });
  }
  if (ranges.length === 0) throw new Malformed('port summary', 'has no ports');
  return { accept: found[1] === 'accept', ranges };
}

/** Ports that fared alike so far. */
interface Span {
  readonly low: number;
  readonly high: number;
  readonly refused: number;
  readonly accepted: boolean;
}

/** Sum up what a policy says of one family. */
export function summarize(rules: readonly AddressRule[], bytes: 4 | 16): PortSummary {
  let spans: Span[] = [{ low: 1, high: PORT_MOST, refused: 0, accepted: false }];
  const refusedMost = bytes === 4 ? IPV4_REFUSED_MOST : IPV6_REFUSED_MOST;
  for (const rule of rules) {
    if (rule.host.length !== bytes) continue;
    if (rule.accept) {
      if (rule.bits !== 0) continue;
      spans = withSpans(spans, rule, (span) =>
        span.accepted || span.refused > refusedMost ? span : { ...span, accepted: true },
      );
    } else {
      const count = refusedCount(rule);
      if (count === 0) continue;
      spans = withSpans(spans, rule, (span) => ({ ...span, refused: span.refused + count }));
    }
  }
  return shorter(merge(spans, true), merge(spans, false));
}

/** How many addresses a rule refuses, in the unit of its family. What `private` stands for does not count. */
function refusedCount(rule: AddressRule): number {
  const { host, bits } = rule;
  const isPrivate = PRIVATE_NETWORKS.some(
    (network) => network.bits === bits && samePrefix(network.host, host, host.length * 8),
  );
  if (isPrivate) return 0;
  if (host.length === 4) return 2 ** (32 - bits);
  return bits > IPV6_BITS_COUNTED ? 0 : 2 ** (IPV6_BITS_COUNTED - bits);
}

/** Change what lies within a rule's ports, cutting spans where it begins and ends. */
function withSpans(spans: readonly Span[], rule: AddressRule, change: (span: Span) => Span): Span[] {
  const { portMin, portMax } = rule;
  const out: Span[] = [];
  for (const span of spans) {
    if (span.high < portMin || span.low > portMax) {
      out.push(span);
      continue;
    }
    if (span.low < portMin) out.push({ ...span, high: portMin - 1 });
    out.push(change({ ...span, low: Math.max(span.low, portMin), high: Math.min(span.high, portMax) }));
    if (span.high > portMax) out.push({ ...span, low: portMax + 1 });
  }
  return out;
}

function merge(spans: readonly Span[], accepted: boolean): PortRange[] {
  const ranges: PortRange[] = [];
  for (const span of spans) {
    if (span.accepted !== accepted) continue;
    const last = ranges.at(-1);
    if (last !== undefined && last.high + 1 === span.low) {
      ranges[ranges.length - 1] = { low: last.low, high: span.high };
    } else {
      ranges.push({ low: span.low, high: span.high });
    }
  }
  return ranges;
}

/** The form with the shorter text; if neither fits, as much of the accepting one as does. */
function shorter(accepts: readonly PortRange[], rejects: readonly PortRange[]): PortSummary {
  const all = [{ low: 1, high: PORT_MOST }];
  if (accepts.length === 0) return { accept: false, ranges: all };
  if (rejects.length === 0) return { accept: true, ranges: all };
  const most = LENGTH_MOST - 'accept '.length;
  const acceptsLength = accepts.map(printRange).join(',').length;
  const rejectsLength = rejects.map(printRange).join(',').length;
  if (rejectsLength > most && acceptsLength > most) {
    let length = -1;
    // A text that fills the room exactly up to a comma is cut there, as C tor does.
    const fitting = accepts.findIndex((range) => {
      length += printRange(range).length + 1;
      return length > most;
    });
    return { accept: true, ranges: accepts.slice(0, fitting) };
  }
  return rejectsLength < acceptsLength
    ? { accept: false, ranges: rejects }
    : { accept: true, ranges: accepts };
}
