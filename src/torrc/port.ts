/**
 * Port lines: `[ADDRESS:](PORT|auto) [flags]` of ORPort, and the looser check of the other ports' lines.
 *
 * Pure. Host names are not looked up: a relay's ORPort is an address literal or none.
 *
 * @source C tor's manual page, "ORPort"
 */

import { parseIp, printIp, sameIp } from '../bytes/address.ts';
import { OperatorError } from '../fault.ts';
import { type TorrcLine, whereOf } from './line.ts';

/** One ORPort line. */
export interface OrPort {
  /** Address to listen on or to advertise; null means every address of the families that the flags leave. */
  readonly host: Uint8Array | null;
  readonly port: number | 'auto';
  /** Listen, but keep it out of the descriptor. */
  readonly noAdvertise: boolean;
  /** Put it into the descriptor, but do not listen. */
  readonly noListen: boolean;
  readonly ipv4Only: boolean;
  readonly ipv6Only: boolean;
  /** Where it was written. */
  readonly where: string;
}

/** An ORPort line resolved to one address family. */
export interface OrPortEndpoint {
  /** 4 or 16 bytes; all zero means every address of that family. */
  readonly host: Uint8Array;
  readonly port: number | 'auto';
  /** Whether the line named the address. */
  readonly explicit: boolean;
  readonly listen: boolean;
  readonly advertise: boolean;
  readonly where: string;
}

const HINTS = {
  ORPort: 'write ORPort 9001, ORPort 192.0.2.1:9001 or ORPort [2001:db8::1]:9001',
  DirPort: 'write DirPort 9030, or DirPort 192.0.2.1:9030',
} as const;

type PortName = keyof typeof HINTS;

/**
 * Parse all ORPort lines; `ORPort 0` alone gives none. Unknown flags are warned of and skipped, as in C tor.
 *
 * @throws {OperatorError} on an address or port that does not read, or flags that contradict each other
 */
export function parseOrPorts(lines: readonly TorrcLine[], warn: (text: string) => void): OrPort[] {
  const out: OrPort[] = [];
  let zero: TorrcLine | null = null;
  for (const line of lines) {
    const parsed = parsePortWithFlags('ORPort', line, warn);
    if (parsed === null) zero = line;
    else out.push(parsed);
  }
  if (zero !== null && out.length > 0) {
    throw new OperatorError(
      'ORPort 0 beside another ORPort',
      whereOf(zero),
      `remove this line, or the one at ${out[0]!.where}`,
    );
  }
  checkOrPorts(out);
  return out;
}

/**
 * Parse all DirPort lines, which have ORPort's form; `DirPort 0` gives none. Where no address is named, it is IPv4.
 *
 * @throws {OperatorError} on an address or port that does not read, or flags that contradict each other
 */
export function parseDirPorts(lines: readonly TorrcLine[], warn: (text: string) => void): OrPort[] {
  return lines.flatMap((line) => {
    const parsed = parsePortWithFlags('DirPort', line, warn);
    if (parsed === null) return [];
    return parsed.host !== null || parsed.ipv6Only ? [parsed] : [{ ...parsed, ipv4Only: true }];
  });
}

function parsePortWithFlags(name: PortName, line: TorrcLine, warn: (text: string) => void): OrPort | null {
  const where = whereOf(line);
  const [address, ...flags] = line.value.split(/[ \t]+/).filter((word) => word !== '');
  const { host, port } = parseAddressPort(name, address ?? '', where);
  const has = (flag: string) => flags.some((each) => each.toLowerCase() === flag);
  const parsed: OrPort = {
    host,
    port,
    noAdvertise: has('noadvertise'),
    noListen: has('nolisten'),
    ipv4Only: has('ipv4only'),
    ipv6Only: has('ipv6only'),
    where,
  };
  for (const flag of flags) {
    if (!/^(noadvertise|nolisten|ipv4only|ipv6only)$/i.test(flag)) {
      warn(
        `${where}: ${name} has the unknown flag ${flag}: write NoAdvertise, NoListen, IPv4Only or IPv6Only`,
      );
    }
  }
  if (parsed.noAdvertise && parsed.noListen) {
    throw new OperatorError(
      `${name} with both NoAdvertise and NoListen does nothing`,
      where,
      `write ${name} ${address} NoAdvertise, or ${name} ${address} NoListen`,
    );
  }
  if (parsed.ipv4Only && parsed.ipv6Only) {
    throw new OperatorError(
      `${name} with both IPv4Only and IPv6Only does nothing`,
      where,
      `write ${name} ${address} IPv4Only, or ${name} ${address} IPv6Only`,
    );
  }
  if (host !== null && (host.length === 4 ? parsed.ipv6Only : parsed.ipv4Only)) {
    const flag = host.length === 4 ? 'IPv6Only' : 'IPv4Only';
    throw new OperatorError(
      `${name} ${flag} with the address ${printIp(host)}`,
      where,
      `write ${name} ${address} without ${flag}`,
    );
  }
  return port === 0 ? null : parsed;
}

function parseAddressPort(
  name: PortName,
  text: string,
  where: string,
): { host: Uint8Array | null; port: number | 'auto' } {
  const portOnly = parsePort(text);
  if (portOnly !== null) return { host: null, port: portOnly };
  if (text.startsWith('unix:'))
    throw new OperatorError(`${name} cannot be a unix socket`, where, HINTS[name]);
  const colon = text.lastIndexOf(':');
  if (parseIp(text) !== null || colon < 0) {
    throw new OperatorError(`${name} "${text}" has no port that reads`, where, HINTS[name]);
  }
  const hostText = text.slice(0, colon);
  const host = hostText.includes(':') && !hostText.startsWith('[') ? null : parseIp(hostText);
  const port = parsePort(text.slice(colon + 1));
  if (host === null) {
    throw new OperatorError(`${name} "${text}" names no IP address`, where, HINTS[name]);
  }
  if (port === null || port === 0)
    throw new OperatorError(`${name} "${text}" has no port that reads`, where, HINTS[name]);
  return { host, port };
}

function parsePort(text: string): number | 'auto' | null {
  if (text.toLowerCase() === 'auto') return 'auto';
  if (!/^\+?[0-9]{1,10}$/.test(text) || Number(text) > 65535) return null;
  return Number(text);
}

/** Refuse sets of ORPorts with which no relay can work. */
function checkOrPorts(ports: readonly OrPort[]): void {
  const endpoints = orPortEndpoints(ports);
  const first = ports[0]?.where ?? '';
  const listens = endpoints.some((each) => each.listen);
  const advertised = endpoints.filter((each) => each.advertise);
  if (advertised.length > 0 && !listens) {
    throw new OperatorError(
      'ORPort is advertised but nothing listens',
      first,
      'add ORPort 192.0.2.1:9001 NoAdvertise, with the address and port to listen on',
    );
  }
  if (listens && advertised.length === 0) {
    throw new OperatorError(
      'ORPort listens but none is advertised, so nobody would find this relay',
      first,
      'remove NoAdvertise, or add ORPort 9001 NoListen, with the port that others reach',
    );
  }
  if (advertised.length > 0 && !advertised.some((each) => each.host.length === 4)) {
    throw new OperatorError(
      'ORPort is advertised for IPv6 only, but relays need IPv4 too',
      first,
      'add a line such as ORPort 9001 IPv4Only',
    );
  }
}

/**
 * Resolve ORPort lines to one endpoint per address family. Where a line that names its address listens on (or
 * advertises) the same port, the line that does not name one need not; exact duplicates count once.
 */
export function orPortEndpoints(ports: readonly OrPort[]): OrPortEndpoint[] {
  const all: OrPortEndpoint[] = [];
  for (const port of ports) {
    for (const bytes of [4, 16]) {
      if (bytes === 4 ? port.ipv6Only : port.ipv4Only) continue;
      if (port.host !== null && port.host.length !== bytes) continue;
      all.push({
        host: port.host ?? new Uint8Array(bytes),
        port: port.port,
        explicit: port.host !== null,
        listen: !port.noListen,
        advertise: !port.noAdvertise,
        where: port.where,
      });
    }
  }
  return all
    .map((one, i) => {
      const stronger = all.filter((other, j) => i !== j && supersedes(other, one, j < i));
      return {
        ...one,
        listen: one.listen && !stronger.some((other) => other.listen),
        advertise: one.advertise && !stronger.some((other) => other.advertise),
      };
    })
    .filter((one) => one.listen || one.advertise);
}

function supersedes(other: OrPortEndpoint, one: OrPortEndpoint, earlier: boolean): boolean {
  if (other.host.length !== one.host.length || other.port !== one.port || one.port === 'auto') return false;
  if (other.explicit !== one.explicit) return other.explicit;
  return earlier && sameIp(other.host, one.host);
}

/**
 * Check a line of a port that does not act yet: `[ADDRESS:](PORT|auto)` or `unix:PATH`. Flags are not judged.
 *
 * @throws {OperatorError} when no port reads
 */
export function checkPortLine(name: string, line: TorrcLine): void {
  const where = whereOf(line);
  const word = line.value.split(/[ \t]+/, 1)[0]!;
  const unixAllowed = /^(__)?(Control|Socks)Port$/.test(name);
  if (word.startsWith('unix:')) {
    if (unixAllowed && word.length > 'unix:'.length) return;
    throw new OperatorError(`${name} cannot be the unix socket "${word}"`, where, `write ${name} PORT`);
  }
  if (parsePort(word) !== null) return;
  const colon = word.lastIndexOf(':');
  const host = word.slice(0, Math.max(0, colon));
  const port = colon < 0 ? null : parsePort(word.slice(colon + 1));
  const hostReads = parseIp(host) !== null || /^[A-Za-z0-9.-]+$/.test(host);
  if (!hostReads || port === null || port === 0) {
    throw new OperatorError(
      `${name} "${word}" has no port that reads`,
      where,
      `write ${name} [ADDRESS:]PORT or auto`,
    );
  }
}
