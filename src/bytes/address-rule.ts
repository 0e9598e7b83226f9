/**
 * One rule of an address policy, as plain data: the form in which policies cross from documents and torrc to workers.
 *
 * `netdoc/exit-policy` parses, prints and composes rules; `edge/exit-policy` looks connections up in them.
 */

import { sameIp } from './address.ts';

/** Accepts or rejects an address range at a port range. Plain, so that it can be lettered. */
export interface AddressRule {
  readonly accept: boolean;
  /** 4 or 16 bytes; those past `bits` do not count. */
  readonly host: Uint8Array;
  /** How many leading bits of an address must be those of `host`: 0 is every address of its family. */
  readonly bits: number;
  /** 1 to 65535, both inclusive. */
  readonly portMin: number;
  readonly portMax: number;
}

/** Whether the first `bits` bits of two addresses of one family are the same. Never across families. */
export function samePrefix(a: Uint8Array, b: Uint8Array, bits: number): boolean {
  if (a.length !== b.length) return false;
  const whole = bits >> 3;
  for (let i = 0; i < whole; i++) if (a[i] !== b[i]) return false;
  const rest = bits & 7;
  return rest === 0 || (a[whole]! ^ b[whole]!) >> (8 - rest) === 0;
}

/** Whether two rules are the same, to the last bit. */
export function sameRule(a: AddressRule, b: AddressRule): boolean {
  return (
    a.accept === b.accept &&
    a.bits === b.bits &&
    a.portMin === b.portMin &&
    a.portMax === b.portMax &&
    sameIp(a.host, b.host)
  );
}

/** Whether a rule speaks of this address, at some port. */
export function coversHost(rule: AddressRule, host: Uint8Array): boolean {
  return samePrefix(rule.host, host, rule.bits);
}

/** Whether a rule speaks of every address of its family and every port. */
export function coversFamily(rule: AddressRule): boolean {
  return rule.bits === 0 && rule.portMin === 1 && rule.portMax === 65535;
}
