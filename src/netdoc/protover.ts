/**
 * Subprotocol versions: lists such as `Link=4-5 Relay=2-4`.
 *
 * Relays say in `proto` what they speak; the consensus says what is recommended and required. A version is a
 * number from 0 to 63, so one protocol's versions are a 64-bit mask.
 *
 * @source dir-spec "proto", tor-spec "Subprotocol versioning"
 */
import { Malformed } from '../fault.ts';

const VERSION_MAX = 63;
const NAME = /^[A-Za-z0-9-]{1,100}$/;
const RANGE = /^(\d{1,9})(?:-(\d{1,9}))?$/;

/** Versions by protocol name; bit n of the mask stands for version n. */
export type ProtocolSet = ReadonlyMap<string, bigint>;

function rangeMask(text: string): bigint {
  const match = RANGE.exec(text);
  if (match === null) throw new Malformed('protocol list', 'has a bad version range');
  const low = Number(match[1]);
  const high = match[2] === undefined ? low : Number(match[2]);
  if (low > high || high > VERSION_MAX) throw new Malformed('protocol list', 'has a bad version range');
  const width = BigInt(high - low + 1);
  return ((1n << width) - 1n) << BigInt(low);
}

/**
 * Parse a protocol list. An entry without versions (`Foo=`) is allowed and speaks nothing.
 * A protocol that is named twice speaks what both entries say.
 *
 * @throws Malformed when C tor would call the list unparseable
 */
export function parseProtocols(text: string): ProtocolSet {
  const set = new Map<string, bigint>();
  for (const entry of text.split(' ')) {
    if (entry === '') continue;
    const equals = entry.indexOf('=');
    const name = equals < 0 ? '' : entry.slice(0, equals);
    if (!NAME.test(name)) throw new Malformed('protocol list', 'has a bad protocol name');
    const versions = entry.slice(equals + 1);
    let mask = set.get(name) ?? 0n;
    if (versions !== '') for (const range of versions.split(',')) mask |= rangeMask(range);
    set.set(name, mask);
  }
  return set;
}

function printRanges(mask: bigint): string {
  const ranges: string[] = [];
  for (let low = 0; low <= VERSION_MAX; low++) {
    if (((mask >> BigInt(low)) & 1n) === 0n) continue;
    let high = low;
    while (high < VERSION_MAX && ((mask >> BigInt(high + 1)) & 1n) === 1n) high++;
    ranges.push(low === high ? `${low}` : `${low}-${high}`);
    low = high;
  }
  return ranges.join(',');
}

/** Print a protocol list: names in ASCII order, versions as ranges, protocols without versions left out. */
export function printProtocols(set: ProtocolSet): string {
  const names = [...set.keys()].filter((name) => set.get(name) !== 0n).sort();
  return names.map((name) => `${name}=${printRanges(set.get(name)!)}`).join(' ');
}

/** Whether the set speaks one version of one protocol. */
export function speaks(set: ProtocolSet, name: string, version: number): boolean {
  return (((set.get(name) ?? 0n) >> BigInt(version)) & 1n) === 1n;
}

/**
 * Say which of the required versions we lack.
 *
 * @param required - a consensus' list, e.g. `Link=4-5 Relay=2`
 * @param ours - our own list
 * @returns the missing part in the same form, or the empty string when nothing is missing
 * @throws Malformed when one of the lists is
 */
export function missingProtocols(required: string, ours: string): string {
  const have = parseProtocols(ours);
  const missing = new Map<string, bigint>();
  for (const [name, mask] of parseProtocols(required)) {
    const lacking = mask & ~(have.get(name) ?? 0n);
    if (lacking !== 0n) missing.set(name, lacking);
  }
  return printProtocols(missing);
}
