/**
 * The listening sockets of all ORPort and DirPort lines, made before privileges are dropped and kept for the process's
 * life.
 */
import { constants } from 'node:os';
import { type Endpoint, printEndpoint } from '../bytes/address.ts';
import { EXIT_PORTS, OperatorError } from '../fault.ts';
import { closeFd, isFault, listenTcpGroup, type SystemFault } from '../libc.ts';
import type { PortKind } from '../shm/letter.ts';
import { type OrPort, orPortEndpoints } from '../torrc/port.ts';
import type { PortSockets } from './supervisor.ts';

/** A port that is advertised, with `auto` resolved. */
export interface AdvertisedOrPort extends Endpoint {
  readonly advertise: boolean;
}

/** What listening on all ORPorts gave. */
export interface OpenPorts {
  readonly sockets: PortSockets[];
  /** All endpoints by torrc's order, also those that only advertise. */
  readonly advertised: AdvertisedOrPort[];
  /** For the log: address families that this host does not have. */
  readonly notes: string[];
}

const { EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EACCES } = constants.errno;

/**
 * Listen on every ORPort (or DirPort), one socket per worker each.
 * @throws OperatorError (`EXIT_PORTS`) naming the line and the address that cannot be had
 */
export function openPorts(ports: readonly OrPort[], workers: number, kind: PortKind = 'or'): OpenPorts {
  const sockets: PortSockets[] = [];
  const advertised: AdvertisedOrPort[] = [];
  const notes: string[] = [];
  for (const wanted of orPortEndpoints(ports)) {
    const port = wanted.port === 'auto' ? 0 : wanted.port;
    if (!wanted.listen) {
      advertised.push({ host: wanted.host, port, advertise: wanted.advertise });
      continue;
    }
    const group = listenTcpGroup({ host: wanted.host, port, v6only: true }, workers);
    if (!isFault(group)) {
      const endpoint = { host: wanted.host, port: group.port };
      sockets.push({ endpoint, kind, fds: group.fds });
      advertised.push({ ...endpoint, advertise: wanted.advertise });
      continue;
    }
    const text = printEndpoint({ host: wanted.host, port });
    // A host without IPv6 is no reason to stop, unless the line named an address.
    if (!wanted.explicit && wanted.host.length === 16 && lacksFamily(group)) {
      notes.push(`${wanted.where}: no IPv6 here, so nothing listens on ${text}`);
      continue;
    }
    for (const { fds } of sockets) for (const fd of fds) closeFd(fd);
    throw new OperatorError(
      `cannot listen on ${text} (${group.text})`,
      wanted.where,
      remedy(group),
      EXIT_PORTS,
    );
  }
  return { sockets, advertised, notes };
}

function lacksFamily({ errno }: SystemFault): boolean {
  return errno === EAFNOSUPPORT || errno === EADDRNOTAVAIL;
}

function remedy({ errno }: SystemFault): string {
  if (errno === EACCES) {
    return 'ports below 1024 are for root: start as root with a User line, or choose a higher port';
  }
  if (errno === EADDRNOTAVAIL) return 'this host has no such address: write one that it has';
  if (errno === EADDRINUSE) return 'stop the process that has this port, or choose another one';
  return 'choose another address or port';
}
