/**
 * Exit policies as text: rules parsed and printed, and our own policy composed from what torrc asks for.
 *
 * Pure. Rules come out in order; the first that speaks of an address and port decides, and what no rule speaks of is
 * accepted. Every composed policy ends with rules for everything. Words with a wider meaning are taken apart at once:
 * `*` into a rule per family, `private` into the networks that it stands for.
 *
 * @source dir-spec "Exit policy"; policies and limits of C tor 0.4.9.11, as it answers over its control port
 */
import { isAnyIp, isInternalIp, parseIp, printIp, unmapIp } from '../bytes/address.ts';
import { type AddressRule, coversFamily, samePrefix } from '../bytes/address-rule.ts';

const IPV4_ANY = new Uint8Array(4);
const IPV6_ANY = new Uint8Array(16);
const PORT_MOST = 65535;

/** What `private` stands for, in C tor's order. */
export const PRIVATE_NETWORKS: readonly { readonly host: Uint8Array; readonly bits: number }[] = [
  '0.0.0.0/8',
  '169.254.0.0/16',
  '127.0.0.0/8',
  '192.168.0.0/16',
  '10.0.0.0/8',
  '172.16.0.0/12',
  '::/8',
  'fc00::/7',
  'fe80::/10',
  'fec0::/10',
  'ff00::/8',
  '::/127',
].map((text) => {
  const [host, bits] = text.split('/');
  return { host: parseIp(host!)!, bits: Number(bits) };
});

/** Ends the policy of an exit whose torrc asks for nothing else. */
export const DEFAULT_EXIT_POLICY =
  'reject *:25,reject *:119,reject *:135-139,reject *:445,reject *:563,reject *:1214,reject *:4661-4666,' +
  'reject *:6346-6429,reject *:6699,reject *:6881-6999,accept *:*';

/** Ends the policy of an exit with ReducedExitPolicy 1. */
export const REDUCED_EXIT_POLICY =
  'accept *:20-23,accept *:43,accept *:53,accept *:79-81,accept *:88,accept *:110,accept *:143,accept *:194,' +
  'accept *:220,accept *:389,accept *:443,accept *:464,accept *:465,accept *:531,accept *:543-544,accept *:554,' +
  'accept *:563,accept *:587,accept *:636,accept *:706,accept *:749,accept *:873,accept *:902-904,accept *:981,' +
  'accept *:989-995,accept *:1194,accept *:1220,accept *:1293,accept *:1500,accept *:1533,accept *:1677,' +
  'accept *:1723,accept *:1755,accept *:1863,accept *:2082-2083,accept *:2086-2087,accept *:2095-2096,' +
  'accept *:2102-2104,accept *:3128,accept *:3389,accept *:3690,accept *:4321,accept *:4643,accept *:5050,' +
  'accept *:5190,accept *:5222-5223,accept *:5228,accept *:5900,accept *:6660-6669,accept *:6679,accept *:6697,' +
  'accept *:8000,accept *:8008,accept *:8074,accept *:8080,accept *:8082,accept *:8087-8088,accept *:8232-8233,' +
  'accept *:8332-8333,accept *:8443,accept *:8888,accept *:9418,accept *:9999,accept *:10000,accept *:11371,' +
  'accept *:18080-18081,accept *:18089,accept *:19294,accept *:19638,accept *:50002,accept *:64738,reject *:*';

const REJECT_REST = 'reject *4:*,reject *6:*';

/** The policy of a relay that is no exit. */
export const REJECT_ALL: readonly AddressRule[] = Object.freeze(entriesOf(REJECT_REST));

/** What an entry of a policy line says. */
export interface PolicyEntry {
  /** In order; empty when the entry says nothing. */
  readonly rules: readonly AddressRule[];
  /** Why C tor takes the entry but makes less, or more, of it than it seems to say; null when it is as it seems. */
  readonly oddity: 'ipv4-after-6' | 'private-after-6' | null;
}

/** Where a policy is written: `*` means both families in torrc, and only IPv4 in a descriptor. */
export type PolicyPlace = 'torrc' | 'descriptor';

/** Parse one entry, as `accept *:80`. Returns null when it does not read. */
export function parsePolicyEntry(text: string, place: PolicyPlace = 'torrc'): PolicyEntry | null {
  const found = /^\s*(accept|reject)(6?)[ \t]+(\S+)\s*$/.exec(text);
  if (found === null) return null;
  const accept = found[1] === 'accept';
  const onlyIpv6 = found[2] === '6';
  const pattern = found[3]!;
  const secret = /^private:(.*)$/.exec(pattern);
  if (secret !== null) return privateEntry(accept, onlyIpv6, secret[1]!);
  const split = splitPattern(pattern);
  const ports = split === null ? null : parsePorts(split.ports);
  if (split === null || ports === null) return null;
  const ranges = parseRanges(split.address, split.mask, onlyIpv6, place);
  if (ranges === null) return null;
  if (onlyIpv6 && ranges.some(({ host }) => host.length === 4)) return { rules: [], oddity: 'ipv4-after-6' };
  return { rules: ranges.map((range) => ({ accept, ...range, ...ports })), oddity: null };
}

function privateEntry(accept: boolean, onlyIpv6: boolean, portText: string): PolicyEntry | null {
  const ports = parsePorts(portText);
  if (ports === null) return null;
  const rules = PRIVATE_NETWORKS.map((network) => ({ accept, ...network, ...ports }));
  return { rules, oddity: onlyIpv6 ? 'private-after-6' : null };
}

/** Cut `address/mask:ports` apart. A colon before the mask belongs to an IPv6 address without brackets. */
function splitPattern(pattern: string): { address: string; mask: string | null; ports: string } | null {
  const found =
    /^(\[[^\]]*\]|[^[\]/]*)\/([^:]*)(?::(.*))?$/.exec(pattern) ??
    /^(\[[^\]]*\]|[^[\]/:]*)()(?::(.*))?$/.exec(pattern);
  if (found === null) return null;
  return { address: found[1]!, mask: pattern.includes('/') ? found[2]! : null, ports: found[3] ?? '*' };
}

interface Range {
  readonly host: Uint8Array;
  readonly bits: number;
}

function parseRanges(
  address: string,
  mask: string | null,
  onlyIpv6: boolean,
  place: PolicyPlace,
): Range[] | null {
  const ipv4 = { host: IPV4_ANY, bits: 0 };
  const ipv6 = { host: IPV6_ANY, bits: 0 };
  if (address.startsWith('*')) {
    if (mask !== null) return null;
    if (address === '*') {
      if (onlyIpv6) return [ipv6];
      return place === 'torrc' ? [ipv4, ipv6] : [ipv4];
    }
    if (place !== 'torrc') return null;
    return address === '*4' ? [ipv4] : address === '*6' ? [ipv6] : null;
  }
  const bare = address.startsWith('[') && !address.includes(':') ? address.slice(1, -1) : address;
  const host = parseIp(bare);
  if (host === null) return null;
  const bits = mask === null ? host.length * 8 : parseMask(mask, host.length);
  return bits === null ? null : [{ host, bits }];
}

function parseMask(text: string, bytes: number): number | null {
  if (/^[0-9]{1,3}$/.test(text)) return Number(text) <= bytes * 8 ? Number(text) : null;
  const dotted = bytes === 4 ? parseIp(text) : null;
  if (dotted?.length !== 4) return null;
  const bits = [...dotted].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  return /^1*0*$/.test(bits) ? bits.replace(/0+$/, '').length : null;
}

function parsePorts(text: string): { portMin: number; portMax: number } | null {
  if (text === '*' || text === '') return { portMin: 1, portMax: PORT_MOST };
  const found = /^([0-9]{1,5})(?:-([0-9]{1,5}))?$/.exec(text);
  if (found === null) return null;
  const portMin = Number(found[1]);
  const portMax = Number(found[2] ?? found[1]);
  return portMin < 1 || portMax > PORT_MOST || portMin > portMax ? null : { portMin, portMax };
}

/** Rules of a list of entries that is ours. */
function entriesOf(list: string): AddressRule[] {
  return list.split(',').flatMap((entry) => [...parsePolicyEntry(entry)!.rules]);
}

/**
 * Print a rule: for a descriptor (`reject6 [fc00::]/7:*`, `reject6 *:*`), or as torrc and logs have it (`reject *6:*`).
 */
export function printRule(rule: AddressRule, place: PolicyPlace): string {
  const { host, bits, portMin, portMax } = rule;
  const isIpv6 = host.length === 16;
  const verb = `${rule.accept ? 'accept' : 'reject'}${isIpv6 && place === 'descriptor' ? '6' : ''}`;
  let address = isIpv6 ? `[${printIp(host)}]` : printIp(host);
  if (bits === 0) address = place === 'descriptor' ? '*' : isIpv6 ? '*6' : '*4';
  else if (bits < host.length * 8) address += `/${bits}`;
  const ports = portMin === portMax ? `${portMin}` : `${portMin}-${portMax}`;
  return `${verb} ${address}:${portMin === 1 && portMax === PORT_MOST ? '*' : ports}`;
}

/** Whether a policy accepts nothing of a family: rejects all of it before it accepts any. Without rules: yes. */
export function rejectsFamily(rules: readonly AddressRule[], bytes: 4 | 16): boolean {
  for (const rule of rules) {
    if (rule.host.length !== bytes) continue;
    if (rule.accept) return false;
    if (coversFamily(rule)) return true;
  }
  return true;
}

/** Whether a policy accepts nothing. */
export function rejectsAll(rules: readonly AddressRule[]): boolean {
  return rejectsFamily(rules, 4) && rejectsFamily(rules, 16);
}

/** The policy lines of a descriptor: only the IPv4 rules, or `reject *:*` for a relay that is no exit. */
export function descriptorPolicy(rules: readonly AddressRule[]): string[] {
  if (rejectsAll(rules)) return ['reject *:*'];
  return rules.filter(({ host }) => host.length === 4).map((rule) => printRule(rule, 'descriptor'));
}

/** What our own policy is made of. */
export interface ExitPolicyWish {
  /** Rules of the ExitPolicy lines, in order. */
  readonly rules: readonly AddressRule[];
  readonly ipv6Exit: boolean;
  readonly rejectPrivate: boolean;
  /** Our own addresses, which nobody shall reach from here; private ones among them are left to `private`. */
  readonly rejectHosts: readonly Uint8Array[];
  /** What follows the lines. */
  readonly end: 'default' | 'reduced' | 'reject';
}

/** Put our policy together, without rules that decide nothing. */
export function composeExitPolicy(wish: ExitPolicyWish): AddressRule[] {
  const ends = { default: DEFAULT_EXIT_POLICY, reduced: REDUCED_EXIT_POLICY, reject: REJECT_REST };
  return withoutRedundancies([...beginning(wish), ...wish.rules, ...entriesOf(ends[wish.end])]);
}

/** The first of torrc's rules that can decide nothing, because those before it end with all of both families. */
export function firstRedundant(rules: readonly AddressRule[]): AddressRule | null {
  let ipv4 = false;
  let ipv6 = false;
  for (const [i, rule] of rules.entries()) {
    if (!coversFamily(rule)) continue;
    if (rule.host.length === 4) ipv4 = true;
    else ipv6 = true;
    if (ipv4 && ipv6) return rules[i + 1] ?? null;
  }
  return null;
}

function beginning(wish: ExitPolicyWish): AddressRule[] {
  const rules: AddressRule[] = [];
  if (!wish.ipv6Exit) rules.push(...entriesOf('reject *6:*'));
  if (wish.rejectPrivate) rules.push(...entriesOf('reject private:*'));
  for (const host of wish.rejectHosts) {
    if (isInternalIp(host) || isAnyIp(host) || isMulticast(host)) continue;
    if (unmapIp(host).length === 16 && !wish.ipv6Exit) continue;
    rules.push({ accept: false, host, bits: host.length * 8, portMin: 1, portMax: PORT_MOST });
  }
  return withoutRedundancies(rules);
}

function isMulticast(host: Uint8Array): boolean {
  return host.length === 4 ? (host[0]! & 0xf0) === 0xe0 : host[0] === 0xff;
}

/** Whether everything that `b` speaks of, `a` speaks of too. */
function covers(a: AddressRule, b: AddressRule): boolean {
  return (
    a.bits <= b.bits && a.portMin <= b.portMin && a.portMax >= b.portMax && samePrefix(a.host, b.host, a.bits)
  );
}

function intersects(a: AddressRule, b: AddressRule): boolean {
  return (
    a.portMin <= b.portMax && b.portMin <= a.portMax && samePrefix(a.host, b.host, Math.min(a.bits, b.bits))
  );
}

/**
 * Leave out rules that decide nothing, the same ones as C tor: those after a rule for all of their family, those that
 * an earlier rule covers, and those that a later rule with the same verdict covers with no contrary one between that
 * has to do with them.
 */
export function withoutRedundancies(rules: readonly AddressRule[]): AddressRule[] {
  const kept: AddressRule[] = [];
  const closed = { 4: false, 16: false };
  for (const rule of rules) {
    const family = rule.host.length as 4 | 16;
    if (closed[family]) continue;
    if (coversFamily(rule)) closed[family] = true;
    if (!kept.some((earlier) => covers(earlier, rule))) kept.push(rule);
  }
  return kept.filter((rule, at) => !isCoveredLater(kept, rule, at));
}

function isCoveredLater(rules: readonly AddressRule[], rule: AddressRule, at: number): boolean {
  for (let later = at + 1; later < rules.length; later++) {
    const other = rules[later]!;
    if (other.accept === rule.accept) {
      if (covers(other, rule)) return true;
    } else if (intersects(other, rule)) {
      return false;
    }
  }
  return false;
}
