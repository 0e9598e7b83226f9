/**
 * Which addresses and ports our descriptor gives to the world.
 *
 * From what torrc says, and failing that, in C tor's order, from the host's interfaces, from what its own name stands
 * for, and last from what directory authorities say. An authority refuses private addresses, so outside a testing
 * network they are no choice but a problem, told with the line that mends it.
 *
 * @source dir-spec "Server descriptors" (router, or-address); proposals 312, 313; C tor's resolve_addr.c
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

/** Whom an address is known from: torrc (Address or ORPort), the host's interfaces or name, an authority. */
export type AddressOrigin = 'torrc' | 'interface' | 'host name' | 'authority';

/** What is known of our addresses beside torrc; 4 or 16 bytes each. */
export interface AddressSources {
  readonly interfaces: readonly Uint8Array[];
  /** What the host's own name stands for. */
  readonly hostName: readonly Uint8Array[];
  /** What authorities said last. */
  readonly suggested: readonly Uint8Array[];
}

/** What to publish, or why nothing can be. */
export interface AddressChoice {
  /** For the `router` line; null exactly when there is a problem. */
  readonly ipv4: Endpoint | null;
  /** For an `or-address` line; null when there is none to publish. */
  readonly ipv6: Endpoint | null;
  readonly ipv4Origin: AddressOrigin | null;
  readonly ipv6Origin: AddressOrigin | null;
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
 * @param sources what else is known, in the order of `AddressSources`
 * @param testing under TestingTorNetwork private addresses are as good as any
 */
export function choosePublishedAddress(
  addressLines: readonly string[],
  ports: readonly AdvertisedPort[],
  sources: AddressSources,
  testing: boolean,
): AddressChoice {
  const port4 = findPort(ports, 'ipv4');
  if (port4 === null) return noPort();
  const wanted = addressLines.map((text) => ({ text, host: parseIp(text) }));
  const candidates4 = listCandidates(wanted, port4, sources, 'ipv4');
  const found4 = candidates4.find(({ host }) => isPublishable(host, testing));
  if (found4 === undefined) return noAddress(wanted, candidates4);
  const port6 = findPort(ports, 'ipv6');
  const candidates6 = port6 === null ? [] : listCandidates(wanted, port6, sources, 'ipv6');
  const found6 = candidates6.find(({ host }) => isPublishable(host, testing)) ?? null;
  return {
    ipv4: { host: found4.host, port: port4.port },
    ipv6: port6 === null || found6 === null ? null : { host: found6.host, port: port6.port },
    ipv4Origin: found4.origin,
    ipv6Origin: found6?.origin ?? null,
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

interface Candidate {
  readonly host: Uint8Array;
  readonly origin: AddressOrigin;
}

function listCandidates(
  wanted: readonly WantedAddress[],
  port: AdvertisedPort,
  { interfaces, hostName, suggested }: AddressSources,
  family: Family,
): Candidate[] {
  const bytes = FAMILIES[family];
  const named = wanted.flatMap(({ host }) => (host?.length === bytes ? [host] : []));
  // An Address line decides, also one whose name nobody knows: what the host has besides is not asked for then.
  if (named.length > 0 || wanted.some(({ host }) => host === null)) return candidates(named, 'torrc');
  if (!isAnyIp(port.host)) return candidates([port.host], 'torrc');
  const isPublic = (host: Uint8Array): boolean => host.length === bytes && !isInternalIp(host);
  return [
    ...candidates(interfaces.filter(isPublic), 'interface'),
    ...candidates(hostName.filter(isPublic), 'host name'),
    ...candidates(suggested.filter(isPublic), 'authority'),
  ];
}

function candidates(hosts: readonly Uint8Array[], origin: AddressOrigin): Candidate[] {
  return hosts.map((host) => ({ host, origin }));
}

function isPublishable(host: Uint8Array, testing: boolean): boolean {
  return !isAnyIp(host) && (testing || !isInternalIp(host));
}

const NOWHERE = { ipv4: null, ipv6: null, ipv4Origin: null, ipv6Origin: null };

function noPort(): AddressChoice {
  const why = 'no ORPort is advertised over IPv4';
  return { ...NOWHERE, problem: { why, line: 'ORPort 9001' } };
}

function noAddress(wanted: readonly WantedAddress[], found: readonly Candidate[]): AddressChoice {
  const line = 'Address 203.0.113.5 (with the public IPv4 address of this host)';
  const name = wanted.find(({ host }) => host === null);
  let why = 'no public IPv4 address of this host is known';
  if (found.length > 0) why = `${printIp(found[0]!.host)} is not a public address`;
  else if (name !== undefined) why = `Address "${name.text}" is a name for which no address is known`;
  return { ...NOWHERE, problem: { why, line } };
}
