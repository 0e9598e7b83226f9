/**
 * Relays as path selection sees them: an entry of the microdesc consensus with the microdescriptor that it names.
 *
 * Also which relays belong together and shall not stand in one path: alike networks (IPv4 /16, IPv6 /32), families
 * that name each other, and families with an id in common.
 * @source dir-spec "Microdescriptor format"; path-spec "Path selection and constraints"
 */
import { type Endpoint, isAnyIp } from '../bytes/address.ts';
import { encodeHex } from '../bytes/base.ts';
import type { Consensus } from '../netdoc/consensus.ts';
import { type PortSummary, summaryAllows } from '../netdoc/port-summary.ts';
import { parseProtocols, speaks } from '../netdoc/protover.ts';
import { RouterFlag } from '../netdoc/router-table.ts';
import type { OriginHop } from '../shm/origin-letter.ts';

/** What paths take from a microdescriptor. */
export interface RelayFacts {
  /** 32 bytes. */
  readonly ntorOnionKey: Uint8Array;
  readonly ed25519Id: Uint8Array | null;
  readonly family: readonly string[];
  readonly familyIds: readonly string[];
  readonly policy: PortSummary | null;
  readonly ipv6Policy: PortSummary | null;
}

/** Who a relay is and whose kin: what two relays are compared by. */
export interface Kin {
  /** RSA identity, 40 hex digits in upper case. */
  readonly fingerprint: string;
  readonly nickname: string;
  /** 4 and 16 bytes; null or all zero: none. */
  readonly ipv4: Uint8Array | null;
  readonly ipv6: Uint8Array | null;
  /** `$FINGERPRINT` with a nickname behind it or alone, or a nickname. */
  readonly family: readonly string[];
  readonly familyIds: readonly string[];
}

/** A relay that a path may go through. */
export interface PathNode extends Kin {
  readonly rsaId: Uint8Array;
  /** Bits of `RouterFlag`. */
  readonly flags: number;
  /** Consensus weight, kilobytes per second. */
  readonly bandwidth: number;
  readonly orPort: number;
  readonly ipv6Port: number;
  readonly proto: string;
  /** Null while its microdescriptor is not there. */
  readonly facts: RelayFacts | null;
}

const NO_WORDS: readonly string[] = [];

/** List the relays of a microdesc consensus; `factsOf` finds microdescriptors by their digest. */
export function listNodes(
  consensus: Pick<Consensus, 'routers'>,
  factsOf: (digest: Uint8Array) => RelayFacts | null,
): PathNode[] {
  const nodes: PathNode[] = [];
  for (let row = 0; row < consensus.routers.count; row++) {
    const status = consensus.routers.at(row);
    const facts = factsOf(status.digest);
    nodes.push({
      rsaId: status.rsaId,
      fingerprint: encodeHex(status.rsaId).toUpperCase(),
      nickname: status.nickname,
      flags: status.flags,
      bandwidth: status.bandwidth,
      ipv4: status.address,
      orPort: status.orPort,
      ipv6: status.ipv6?.host ?? null,
      ipv6Port: status.ipv6?.port ?? 0,
      proto: status.proto,
      facts,
      family: facts?.family ?? NO_WORDS,
      familyIds: facts?.familyIds ?? NO_WORDS,
    });
  }
  return nodes;
}

/** Whether a relay has all of these flags. */
export function hasFlags(node: PathNode, flags: number): boolean {
  return (node.flags & flags) === flags;
}

/** Whether it exits, and is not known for exiting badly. */
export function isExit(node: PathNode): boolean {
  return hasFlags(node, RouterFlag.Exit) && !hasFlags(node, RouterFlag.BadExit);
}

/** Whether it exits to a port, at most addresses, as far as its summary tells. */
export function exitsTo({ facts }: PathNode, port: number, isIpv6: boolean): boolean {
  const summary = (isIpv6 ? facts?.ipv6Policy : facts?.policy) ?? null;
  return summary !== null && summaryAllows(summary, port);
}

/** Whether it speaks a version of a subprotocol. */
export function nodeSpeaks({ proto }: PathNode, name: string, version: number): boolean {
  return speaks(parseProtocols(proto), name, version);
}

/** A relay as a hop of a circuit. One without a microdescriptor can only be asked by CREATE_FAST, as a first hop. */
export function hopOf(node: PathNode): OriginHop {
  const { rsaId, facts, ipv4, orPort, ipv6, ipv6Port } = node;
  return {
    rsaId,
    ed25519Id: facts?.ed25519Id ?? null,
    onionKey: facts?.ntorOnionKey ?? null,
    ipv4: endpointOf(ipv4, orPort),
    ipv6: endpointOf(ipv6, ipv6Port),
    ntorV3: nodeSpeaks(node, 'Relay', 4),
    congestionControl: nodeSpeaks(node, 'FlowCtrl', 2),
  };
}

function endpointOf(host: Uint8Array | null, port: number): Endpoint | null {
  return host === null || port === 0 ? null : { host, port };
}

/** Whether two relays shall not stand in one path. A relay is its own kin. */
export function areKin(a: Kin, b: Kin, distinctSubnets: boolean): boolean {
  if (a.fingerprint === b.fingerprint) return true;
  if (distinctSubnets && (sharesPrefix(a.ipv4, b.ipv4, 2) || sharesPrefix(a.ipv6, b.ipv6, 4))) return true;
  if (a.familyIds.some((id) => b.familyIds.includes(id))) return true;
  return names(a, b) && names(b, a);
}

function sharesPrefix(a: Uint8Array | null, b: Uint8Array | null, bytes: number): boolean {
  if (a === null || b === null || isAnyIp(a) || isAnyIp(b)) return false;
  for (let i = 0; i < bytes; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Whether `a`'s family line names `b`. */
function names(a: Kin, { fingerprint, nickname }: Kin): boolean {
  for (const word of a.family) {
    if (!word.startsWith('$')) {
      if (word.toLowerCase() === nickname.toLowerCase()) return true;
    } else if (word.slice(1, 41).toUpperCase() === fingerprint) {
      return true;
    }
  }
  return false;
}
