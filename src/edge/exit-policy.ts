/**
 * @hot Our exit policy, compiled for lookups: one per worker and set of options.
 *
 * The rules are cut into address segments in which the same rules apply; segments with the same rules share a table of
 * port spans. A lookup is two binary searches, however many rules there are. What no rule speaks of is accepted, as in
 * C tor; the policies that `netdoc/exit-policy` composes speak of everything.
 */
import { isAnyIp, unmapIp } from '../bytes/address.ts';
import { type AddressRule, coversFamily, sameRule } from '../bytes/address-rule.ts';

const PORTS = 65536;
const IPV4_FLAG = 1;
const IPV6_FLAG = 2;

/** What an exit may connect to. Immutable. */
export class ExitPolicy {
  /** Nothing is accepted of a family, and of either. */
  readonly isRejectAllIpv4: boolean;
  readonly isRejectAllIpv6: boolean;
  readonly isRejectAll: boolean;
  private readonly rules: readonly AddressRule[];
  private readonly ipv4: Segments;
  private readonly ipv6: Segments;
  /** Per port: which families have an address at which it is accepted. */
  private readonly somewhere = new Uint8Array(PORTS);

  constructor(rules: readonly AddressRule[]) {
    this.rules = rules;
    this.ipv4 = buildSegments(rules, 4);
    this.ipv6 = buildSegments(rules, 16);
    this.isRejectAllIpv4 = !markPorts(this.ipv4, this.somewhere, IPV4_FLAG);
    this.isRejectAllIpv6 = !markPorts(this.ipv6, this.somewhere, IPV6_FLAG);
    this.isRejectAll = this.isRejectAllIpv4 && this.isRejectAllIpv6;
  }

  /** The policy of these rules; this one itself if they are its own, since it takes time to make a long one. */
  createFrom(rules: readonly AddressRule[]): ExitPolicy {
    const isSame =
      rules.length === this.rules.length && rules.every((rule, i) => sameRule(rule, this.rules[i]!));
    return isSame ? this : new ExitPolicy(rules);
  }

  /**
   * Whether we connect to an address (4 or 16 bytes) at a port. Never to the address "any" or port 0; to an IPv4
   * address in IPv6 form only if both forms are accepted.
   */
  allows(host: Uint8Array, port: number): boolean {
    if (port < 1 || port >= PORTS || isAnyIp(host)) return false;
    if (host.length === 4) return lookUp(this.ipv4, findIpv4(this.ipv4.starts, host), port);
    if (!lookUp(this.ipv6, findIpv6(this.ipv6.starts, host), port)) return false;
    const mapped = unmapIp(host);
    return mapped.length === 16 || this.allows(mapped, port);
  }

  /** Whether there is any address, of the wanted families, at which this port is accepted. */
  allowsPortSomewhere(port: number, ipv4 = true, ipv6 = true): boolean {
    if (port < 1 || port >= PORTS) return false;
    return (this.somewhere[port]! & ((ipv4 ? IPV4_FLAG : 0) | (ipv6 ? IPV6_FLAG : 0))) !== 0;
  }
}

/** The segments of one family, in order, and the port tables that they share. */
interface Segments {
  /** First address of each segment: one word each for IPv4, four for IPv6. */
  readonly starts: Uint32Array;
  /** Which table each segment has. */
  readonly tables: Int32Array;
  /** Where each table's spans begin among `portStarts`; one more at the end. */
  readonly tableAt: Int32Array;
  readonly portStarts: Uint16Array;
  readonly portAccepts: Uint8Array;
}

/** The last segment that begins at or before an address. */
function findIpv4(starts: Uint32Array, host: Uint8Array): number {
  const address = ((host[0]! << 24) | (host[1]! << 16) | (host[2]! << 8) | host[3]!) >>> 0;
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (starts[middle]! <= address) low = middle;
    else high = middle - 1;
  }
  return low;
}

function findIpv6(starts: Uint32Array, host: Uint8Array): number {
  let low = 0;
  let high = starts.length / 4 - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (isAtMost(starts, middle * 4, host)) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Whether the four words at `at` are an address at or before `host`. */
function isAtMost(starts: Uint32Array, at: number, host: Uint8Array): boolean {
  for (let word = 0; word < 4; word++) {
    const i = word * 4;
    const value = ((host[i]! << 24) | (host[i + 1]! << 16) | (host[i + 2]! << 8) | host[i + 3]!) >>> 0;
    const start = starts[at + word]!;
    if (start !== value) return start < value;
  }
  return true;
}

function lookUp(segments: Segments, segment: number, port: number): boolean {
  const { portStarts, tableAt } = segments;
  const table = segments.tables[segment]!;
  let low = tableAt[table]!;
  let high = tableAt[table + 1]! - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (portStarts[middle]! <= port) low = middle;
    else high = middle - 1;
  }
  return segments.portAccepts[low] === 1;
}

/** Set a flag at each port that some table accepts. Returns whether there is one. */
function markPorts(segments: Segments, ports: Uint8Array, flag: number): boolean {
  const { portStarts, portAccepts, tableAt } = segments;
  let any = false;
  for (let table = 0; table + 1 < tableAt.length; table++) {
    const end = tableAt[table + 1]!;
    for (let span = tableAt[table]!; span < end; span++) {
      if (portAccepts[span] !== 1) continue;
      const after = span + 1 < end ? portStarts[span + 1]! : PORTS;
      for (let port = Math.max(1, portStarts[span]!); port < after; port++) {
        ports[port]! |= flag;
        any = true;
      }
    }
  }
  return any;
}

/** Where a rule's addresses begin and end (exclusively), as numbers. */
function buildBounds(rule: AddressRule): { from: bigint; to: bigint } {
  const size = 1n << BigInt(rule.host.length * 8 - rule.bits);
  const address = BigInt(`0x${rule.host.toHex()}`);
  const from = address - (address % size);
  return { from, to: from + size };
}

/** Rules that apply in order, as a chain: the first, and what follows it. */
interface Link {
  readonly accept: boolean;
  readonly portMin: number;
  readonly portMax: number;
  /** Number of the next link; -1 after the last. */
  readonly next: number;
}

/**
 * Cut the addresses of a family up. From the last rule to the first, so that rules for everything, which stand last,
 * come while there are few segments, and rules for a single address touch only what they split off.
 */
function buildSegments(rules: readonly AddressRule[], bytes: 4 | 16): Segments {
  const own = rules.filter(({ host }) => host.length === bytes);
  const last = own.findIndex(coversFamily);
  const links: Link[] = [];
  const known = new Map<string, number>();
  const cuts: bigint[] = [0n];
  const chains: number[] = [-1];
  const space = 1n << BigInt(bytes * 8);
  for (const rule of (last < 0 ? own : own.slice(0, last + 1)).reverse()) {
    const { accept, portMin, portMax } = rule;
    const { from, to } = buildBounds(rule);
    const begin = buildCut(cuts, chains, from);
    const end = to === space ? cuts.length : buildCut(cuts, chains, to);
    const isWhole = portMin === 1 && portMax === PORTS - 1;
    for (let segment = begin; segment < end; segment++) {
      const next = isWhole ? -1 : chains[segment]!;
      const name = `${accept} ${portMin} ${portMax} ${next}`;
      let chain = known.get(name);
      if (chain === undefined) {
        chain = links.length;
        known.set(name, chain);
        links.push({ accept, portMin, portMax, next });
      }
      chains[segment] = chain;
    }
  }
  return buildTables(cuts, chains, links, bytes);
}

/** Let a segment begin at `at`. Returns which one it is. */
function buildCut(cuts: bigint[], chains: number[], at: bigint): number {
  let low = 0;
  let high = cuts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (cuts[middle]! <= at) low = middle;
    else high = middle - 1;
  }
  if (cuts[low] === at) return low;
  cuts.splice(low + 1, 0, at);
  chains.splice(low + 1, 0, chains[low]!);
  return low + 1;
}

function buildTables(
  cuts: readonly bigint[],
  chains: readonly number[],
  links: readonly Link[],
  bytes: 4 | 16,
): Segments {
  const known = new Map<number, number>();
  const starts: number[] = [];
  const tables: number[] = [];
  const tableAt: number[] = [];
  const portStarts: number[] = [];
  const portAccepts: number[] = [];
  for (const [segment, chain] of chains.entries()) {
    let table = known.get(chain);
    if (table === undefined) {
      table = known.size;
      known.set(chain, table);
      tableAt.push(portStarts.length);
      for (const { port, accept } of buildSpans(chain, links)) {
        portStarts.push(port);
        portAccepts.push(accept ? 1 : 0);
      }
    }
    if (table === tables.at(-1)) continue;
    tables.push(table);
    const start = cuts[segment]!;
    for (let word = bytes / 4 - 1; word >= 0; word--) {
      starts.push(Number((start >> BigInt(word * 32)) & 0xffffffffn));
    }
  }
  tableAt.push(portStarts.length);
  return {
    starts: Uint32Array.from(starts),
    tables: Int32Array.from(tables),
    tableAt: Int32Array.from(tableAt),
    portStarts: Uint16Array.from(portStarts),
    portAccepts: Uint8Array.from(portAccepts),
  };
}

/** Port spans that the first link of a chain to speak of them decides alike. */
function buildSpans(chain: number, links: readonly Link[]): { port: number; accept: boolean }[] {
  const rules: Link[] = [];
  for (let at = chain; at >= 0; at = links[at]!.next) rules.push(links[at]!);
  const cuts = [...new Set([0, ...rules.flatMap(({ portMin, portMax }) => [portMin, portMax + 1])])]
    .filter((port) => port < PORTS)
    .sort((a, b) => a - b);
  const spans: { port: number; accept: boolean }[] = [];
  for (const port of cuts) {
    const rule = rules.find(({ portMin, portMax }) => portMin <= port && port <= portMax);
    const accept = rule?.accept ?? true;
    if (spans.at(-1)?.accept !== accept) spans.push({ port, accept });
  }
  return spans;
}
