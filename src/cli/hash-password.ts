/**
 * `--hash-password`: the salted hash that HashedControlPassword takes, in C tor's `16:` form.
 *
 * It is the iterated and salted S2K of OpenPGP with SHA-1: weak by today's measure, but what every controller
 * and torrc uses.
 *
 * @source RFC 2440 section 3.6.1.3; control-spec "AUTHENTICATE"
 */

import { createHash } from 'node:crypto';
import { equal } from '../bytes/secret.ts';

const SALT_BYTES = 8;
/** Coded count: 0x60 stands for 65536 hashed bytes. */
const COUNT_CODE = 0x60;

/** Hash a password with a salt of 8 bytes. Returns `16:` and 58 upper-case hex digits. */
export function hashPassword(password: string, random: (bytes: number) => Uint8Array): string {
  const salt = random(SALT_BYTES);
  const digest = stringToKey(password, salt, COUNT_CODE);
  const all = Buffer.concat([salt, Uint8Array.of(COUNT_CODE), digest]);
  return `16:${all.toString('hex').toUpperCase()}`;
}

/** Whether a password is the one behind a `16:` hash. */
export function checkPassword(password: string, hash: string): boolean {
  const found = /^16:([0-9A-Fa-f]{16})([0-9A-Fa-f]{2})([0-9A-Fa-f]{40})$/.exec(hash);
  if (found === null) return false;
  const salt = Buffer.from(found[1]!, 'hex');
  const digest = stringToKey(password, salt, Number.parseInt(found[2]!, 16));
  return equal(digest, Buffer.from(found[3]!, 'hex'));
}

/** Hash salt and password over and over until `code`'s count of bytes went in. */
function stringToKey(password: string, salt: Uint8Array, code: number): Uint8Array {
  const count = (16 + (code & 15)) << ((code >> 4) + 6);
  const unit = Buffer.concat([salt, new TextEncoder().encode(password)]);
  const hash = createHash('sha1');
  let left = count;
  for (; left >= unit.length; left -= unit.length) hash.update(unit);
  hash.update(unit.subarray(0, left));
  return hash.digest();
}
