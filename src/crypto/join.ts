/** One array from several: what every hash input and handshake message in this folder is made of. */
import { joinAll } from '../bytes/join.ts';

/** Join `parts` into a new array. */
export function join(...parts: Uint8Array[]): Uint8Array {
  return joinAll(parts);
}
