/**
 * Policy lines of torrc (`ExitPolicy`, `DirPolicy`, ...): their grammar, and whether they reject everything.
 *
 * Pure. Only as much as a relay without exits needs: compiling a policy for lookups is the exit's business.
 *
 * @source dir-spec "exit policy" syntax; C tor's manual page, "ExitPolicy"
 */

import { parseIp } from '../bytes/address.ts';
import { OperatorError } from '../fault.ts';
import { type TorrcLine, whereOf } from './line.ts';
import { parseList } from './units.ts';

/** One entry of a policy. */
export interface PolicyEntry {
  readonly accept: boolean;
  /** Address families that it concerns. */
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  /** Whether it covers every address of its families and every port. */
  readonly everything: boolean;
}

const HINT = 'write for example "reject *:*" or "accept 192.0.2.0/24:443"';

/**
 * Parse one policy line of comma-separated entries.
 *
 * @throws {OperatorError} on an entry that does not read
 */
export function parsePolicyLine(name: string, line: TorrcLine): PolicyEntry[] {
  return parseList(line.value).map((entry) => parseEntry(name, entry, whereOf(line)));
}

/** Whether a policy rejects everything before it accepts anything. */
export function rejectsEverything(entries: readonly PolicyEntry[]): boolean {
  let ipv4 = true;
  let ipv6 = true;
  for (const entry of entries) {
    if (entry.accept && ((entry.ipv4 && ipv4) || (entry.ipv6 && ipv6))) return false;
    if (!entry.accept && entry.everything) {
      if (entry.ipv4) ipv4 = false;
      if (entry.ipv6) ipv6 = false;
    }
    if (!ipv4 && !ipv6) return true;
  }
  return false;
}

function parseEntry(name: string, text: string, where: string): PolicyEntry {
  const found = /^(accept6?|reject6?)[ \t]+(\S.*)$/i.exec(text);
  if (found === null) throw new OperatorError(`${name} entry "${text}" does not read`, where, HINT);
  const verb = found[1]!.toLowerCase();
  const pattern = found[2]!.trim();
  const { address, ports } = splitPattern(pattern);
  const families = parseAddress(address);
  const allPorts = parsePorts(ports);
  if (families === null || allPorts === null) {
    throw new OperatorError(`${name} entry "${text}" does not read`, where, HINT);
  }
  const onlySix = verb.endsWith('6');
  return {
    accept: verb.startsWith('accept'),
    ipv4: families.ipv4 && !onlySix,
    ipv6: families.ipv6,
    everything: families.all && allPorts === 'all',
  };
}

function splitPattern(pattern: string): { address: string; ports: string } {
  const afterBracket = pattern.startsWith('[') ? pattern.indexOf(']') : 0;
  const colon = pattern.indexOf(':', Math.max(0, afterBracket));
  if (colon < 0) return { address: pattern, ports: '*' };
  return { address: pattern.slice(0, colon), ports: pattern.slice(colon + 1) };
}

function parseAddress(text: string): { ipv4: boolean; ipv6: boolean; all: boolean } | null {
  const lower = text.toLowerCase();
  if (lower === '*') return { ipv4: true, ipv6: true, all: true };
  if (lower === '*4') return { ipv4: true, ipv6: false, all: true };
  if (lower === '*6') return { ipv4: false, ipv6: true, all: true };
  if (lower === 'private') return { ipv4: true, ipv6: true, all: false };
  const [host, mask, more] = text.split('/');
  const ip = parseIp(host!);
  if (ip === null || more !== undefined || (ip.length === 16 && !host!.startsWith('['))) return null;
  const bits = mask === undefined ? ip.length * 8 : parseMask(mask, ip.length);
  if (bits === null) return null;
  return { ipv4: ip.length === 4, ipv6: ip.length === 16, all: bits === 0 };
}

function parseMask(text: string, bytes: number): number | null {
  if (/^[0-9]{1,3}$/.test(text)) return Number(text) <= bytes * 8 ? Number(text) : null;
  const dotted = bytes === 4 ? parseIp(text) : null;
  if (dotted === null) return null;
  const bits = [...dotted].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  return /^1*0*$/.test(bits) ? bits.replace(/0+$/, '').length : null;
}

function parsePorts(text: string): 'all' | 'some' | null {
  if (text === '*') return 'all';
  const found = /^([0-9]{1,5})(?:-([0-9]{1,5}))?$/.exec(text);
  if (found === null) return null;
  const low = Number(found[1]);
  const high = Number(found[2] ?? found[1]);
  if (low < 1 || high > 65535 || low > high) return null;
  return low === 1 && high === 65535 ? 'all' : 'some';
}
