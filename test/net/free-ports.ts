/** Chooses ports of loopback that nobody uses. */

import { readFileSync } from 'node:fs';

const LOWEST = 10_000;

/**
 * Find distinct ports that are free on 127.0.0.1 and on ::1.
 *
 * They lie below the range from which the kernel gives outgoing connections their ports, so that a connection of
 * this very network cannot take one of them before its owner listens.
 */
export function freePorts(count: number): number[] {
  const highest = lowestEphemeral() - 1;
  const found = new Set<number>();
  while (found.size < count) {
    const port = LOWEST + Math.floor(Math.random() * (highest - LOWEST));
    if (!found.has(port) && isFree('127.0.0.1', port) && isFree('::1', port)) found.add(port);
  }
  return [...found];
}

function lowestEphemeral(): number {
  try {
    return Number(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').split(/\s+/)[0]);
  } catch {
    return 32_768;
  }
}

function isFree(hostname: string, port: number): boolean {
  try {
    Bun.listen({ hostname, port, exclusive: true, socket: { data() {} } }).stop(true);
    return true;
  } catch {
    return false;
  }
}
