/**
 * `onionrelay keygen` and `--keygen`: make a relay's keys without running it, or a new signing key from the
 * master key.
 *
 * For operators who keep the master secret on another machine: run it there once a month and copy the two
 * signing files to the relay.
 */

import { DEFAULT_SIGNING_POLICY, generateKeys, type SigningPolicy } from '../keys/identity.ts';
import { type KeyStore, keyPath } from '../keys/key-store.ts';

/**
 * Make the keys and tell which files are new.
 *
 * @returns the lines to print.
 * @throws OperatorError (`EXIT_KEYS`)
 */
export function keygenText(
  store: KeyStore,
  nowSec: number,
  policy: SigningPolicy = DEFAULT_SIGNING_POLICY,
): string {
  const made = generateKeys(store, nowSec, policy);
  const days = Math.round(policy.lifetimeSec / 86_400);
  const lines = made.map((name) => `made ${keyPath(store, name)}`);
  lines.push(`The signing key is good for ${days} day${days === 1 ? '' : 's'}.`);
  return `${lines.join('\n')}\n`;
}
