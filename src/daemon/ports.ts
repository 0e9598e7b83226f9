/**
 * The listening sockets of all ORPort lines, made before privileges are dropped and kept for the process's life.
 */
import { type Endpoint, printEndpoint } from '../bytes/address.ts';
import { EXIT_PORTS, OperatorError } from '../fault.ts';
import { closeFd, isFault, listenTcpGroup } from '../libc.ts';
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
}

/**
 * Listen on every ORPort, one socket per worker each.
 * @throws OperatorError (`EXIT_PORTS`) naming the line and the address that cannot be had
 */
export function openPorts(orPorts: readonly OrPort[], workers: number): OpenPorts {
  const sockets: PortSockets[] = [];
  const advertised: AdvertisedOrPort[] = [];
  for (const wanted of orPortEndpoints(orPorts)) {
    if (!wanted.listen) {
      const port = wanted.port === 'auto' ? 0 : wanted.port;
      advertised.push({ host: wanted.host, port, advertise: wanted.advertise });
      continue;
    }
    const port = wanted.port === 'auto' ? 0 : wanted.port;
    const group = listenTcpGroup({ host: wanted.host, port, v6only: true }, workers);
    if (isFault(group)) {
      // An address family that the host lacks is no reason to stop, unless the line named it.
      if (!wanted.explicit && wanted.host.length === 16 && sockets.length > 0) continue;
      for (const { fds } of sockets) for (const fd of fds) closeFd(fd);
      throw new OperatorError(
        `cannot listen on ${printEndpoint({ host: wanted.host, port })} (${group.text})`,
        wanted.where,
        'stop the process that has this port, or choose another one',
        EXIT_PORTS,
      );
    }
    const endpoint = { host: wanted.host, port: group.port };
    sockets.push({ endpoint, fds: group.fds });
    advertised.push({ ...endpoint, advertise: wanted.advertise });
  }
  return { sockets, advertised };
}
