/**
 * The OutboundBindAddress lines of torrc: from which addresses we dial.
 */

import { parseIp } from '../bytes/address.ts';
import { OperatorError } from '../fault.ts';
import { whereOf } from './line.ts';
import type { BindAddresses } from './relay-options.ts';
import type { Values } from './values.ts';

/** Read the lines of one option. @throws {OperatorError} on one that is no address, or the second of its family */
export function bindAddresses(values: Values, name: string): BindAddresses {
  let ipv4: Uint8Array | null = null;
  let ipv6: Uint8Array | null = null;
  for (const line of values.lines(name)) {
    const ip = parseIp(line.value);
    if (ip === null) {
      throw new OperatorError(
        `${name} "${line.value}" is no IP address`,
        whereOf(line),
        `write ${name} 192.0.2.1`,
      );
    }
    if ((ip.length === 4 ? ipv4 : ipv6) !== null) {
      const family = ip.length === 4 ? 'IPv4' : 'IPv6';
      throw new OperatorError(
        `${name} has a second ${family} address`,
        whereOf(line),
        `write one ${name} line for IPv4 and one for IPv6`,
      );
    }
    if (ip.length === 4) ipv4 = ip;
    else ipv6 = ip;
  }
  return Object.freeze({ ipv4, ipv6 });
}
