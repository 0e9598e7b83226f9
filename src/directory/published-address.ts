/**
 * Which addresses and ports our descriptor gives to the world.
 *
 * From what torrc says, and failing that from the host's own interfaces. An authority refuses private addresses,
 * so outside a testing network they are no choice but a problem, told with the line that mends it.
 *
 * @source dir-spec "Server descriptors" (router, or-address); proposal 312
 */

import { type Endpoint, isAnyIp, isInternalIp, parseIp, printIp } from '../bytes/address.ts';

/** One ORPort of one address family, with the port that it really got. */
export interface AdvertisedPort {
  /** 4 or 16 bytes; all zero when the line names no address. */
  readonly host: Uint8Array;
  readonly port: number;
  /** False for NoAdvertise. */
  readonly advertise: boolean;
}

/** What to publish, or why nothing can be. */
export interface AddressChoice {
  /** For the `router` line; null exactly when there is a problem. */
  readonly ipv4: Endpoint | null;
  /** For an `or-address` line; null when there is none to publish. */
  readonly ipv6: Endpoint | null;
  /** What is wrong, and the torrc line to write. */
  readonly problem: AddressProblem | null;
}

export interface AddressProblem {
  readonly why: string;
  readonly line: string;
}

const FAMILIES = { ipv4: 4, ipv6: 16 } as const;
type Family = keyof typeof FAMILIES;

/**
 * Choose the addresses to publish.
 *
 * @param addressLines values of torrc's Address lines, with addresses for those names that have some
 * @param ports the ORPorts by address family, in torrc's order
 * @param interfaces addresses of the host's interfaces, tried last
 * @param testing under TestingTorNetwork private addresses are as good as any
 */
export function choosePublishedAddress(
  addressLines: readonly string[],
  ports: readonly AdvertisedPort[],
  interfaces: readonly Uint8Array[],
  testing: boolean,
): AddressChoice {
  const port4 = findPort(ports, 'ipv4');
  if (port4 === null) return noPort();
  const wanted = addressLines.map((text) => ({ text, host: parseIp(text) }));
  const candidates4 = listCandidates(wanted, port4, interfaces, 'ipv4');
  const host4 = candidates4.find((host) => isPublishable(host, testing));
  if (host4 === undefined) return noAddress(wanted, candidates4);
  const port6 = findPort(ports, 'ipv6');
  const candidates6 = port6 === null ? [] : listCandidates(wanted, port6, interfaces, 'ipv6');
  const host6 = candidates6.find((host) => isPublishable(host, testing));
  return {
    ipv4: { host: host4, port: port4.port },
    ipv6: port6 === null || host6 === undefined ? null : { host: host6, port: port6.port },
    problem: null,
  };
}

interface WantedAddress {
  readonly text: string;
  readonly host: Uint8Array | null;
}

function findPort(ports: readonly AdvertisedPort[], family: Family): AdvertisedPort | null {
  const bytes = FAMILIES[family];
  return ports.find((port) => port.advertise && port.port !== 0 && port.host.length === bytes) ?? null;
}

function listCandidates(
  wanted: readonly WantedAddress[],
  port: AdvertisedPort,
  interfaces: readonly Uint8Array[],
  family: Family,
): Uint8Array[] {
  const bytes = FAMILIES[family];
  const named = wanted.flatMap(({ host }) => (host?.length === bytes ? [host] : []));
  // An Address line decides, also one whose name nobody knows: what the host has besides is not asked for then.
  if (named.length > 0 || wanted.some(({ host }) => host === null)) return named;
  if (!isAnyIp(port.host)) return [port.host];
  return interfaces.filter((host) => host.length === bytes && !isInternalIp(host));
}

function isPublishable(host: Uint8Array, testing: boolean): boolean {
  return !isAnyIp(host) && (testing || !isInternalIp(host));
}

function noPort(): AddressChoice {
  const why = 'no ORPort is advertised over IPv4';
  return { ipv4: null, ipv6: null, problem: { why, line: 'ORPort 9001' } };
}

function noAddress(wanted: readonly WantedAddress[], candidates: readonly Uint8Array[]): AddressChoice {
  const line = 'Address 203.0.113.5 (with the public IPv4 address of this host)';
  const name = wanted.find(({ host }) => host === null);
  let why = 'no public IPv4 address of this host is known';
  if (candidates.length > 0) why = `${printIp(candidates[0]!)} is not a public address`;
  else if (name !== undefined) why = `Address "${name.text}" is a name for which no address is known`;
  return { ipv4: null, ipv6: null, problem: { why, line } };
}
