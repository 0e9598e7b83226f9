/** Chooses ports of loopback that nobody uses, and that no other test run will choose. */

import { readFileSync } from 'node:fs';

const LOWEST = 10_000;
/** Ports are given out in blocks; who listens on the first of a block has the others. */
const BLOCK = 64;

/**
 * Find distinct ports that are free on 127.0.0.1 and on ::1, and stay so until this process ends.
 *
 * They lie below the range from which the kernel gives outgoing connections their ports, so that a connection of
 * this very network cannot take one of them before its owner listens. Their block is held by a listener on its
 * first port: two runs at a time would else find the same ports free.
 */
export function freePorts(count: number): number[] {
  const found: number[] = [];
  while (found.length < count) {
    const port = held.pop();
    if (port === undefined) holdBlock();
    else if (isFree('127.0.0.1', port) && isFree('::1', port)) found.push(port);
  }
  return found;
}

/** Ports of our blocks that were not given out yet. */
const held: number[] = [];

/** Take a block for the life of this process. */
function holdBlock(): void {
  const blocks = Math.floor((lowestEphemeral() - LOWEST) / BLOCK);
  for (;;) {
    const first = LOWEST + BLOCK * Math.floor(Math.random() * blocks);
    try {
      listen('127.0.0.1', first).unref();
      for (let port = first + 1; port < first + BLOCK; port++) held.push(port);
      return;
    } catch {
      // Someone has it: try another.
    }
  }
}

function lowestEphemeral(): number {
  try {
    return Number(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').split(/\s+/)[0]);
  } catch {
    return 32_768;
  }
}

function listen(hostname: string, port: number): Bun.TCPSocketListener {
  return Bun.listen({ hostname, port, exclusive: true, socket: { data() {} } });
}

function isFree(hostname: string, port: number): boolean {
  try {
    listen(hostname, port).stop(true);
    return true;
  } catch {
    return false;
  }
}
