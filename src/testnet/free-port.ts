/** A port of loopback for a process that must be told its port before it starts. */

import { readFileSync } from 'node:fs';
import { OperatorError } from '../fault.ts';

const LOWEST = 10_000;
const USUAL_EPHEMERAL = 32_768;
const TRIES = 1000;

/**
 * Find a port that nobody listens on, below the range from which the kernel gives outgoing connections theirs.
 * @throws OperatorError when there seems to be none
 */
export function findFreePort(host: string, random: () => number): number {
  const high = lowestEphemeral();
  for (let i = 0; i < TRIES; i++) {
    const port = LOWEST + Math.floor(random() * (high - LOWEST));
    try {
      Bun.listen({ hostname: host, port, exclusive: true, socket: { data() {} } }).stop(true);
      return port;
    } catch {
      // Someone has it: try another.
    }
  }
  throw new OperatorError('no free port was found', host, 'end some of what listens there');
}

function lowestEphemeral(): number {
  try {
    const range = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8');
    return Math.max(LOWEST + 1, Number(range.split(/\s+/)[0]));
  } catch {
    return USUAL_EPHEMERAL;
  }
}
