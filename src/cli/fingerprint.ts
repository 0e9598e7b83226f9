/**
 * `onionrelay fingerprint` and `--list-fingerprint [rsa|ed25519]`: print this relay's name in the network.
 *
 * The texts are C tor's, which scripts read: the RSA fingerprint in groups of four, the Ed25519 one in base64.
 */

import { printFingerprints } from '../keys/fingerprint-file.ts';

export type FingerprintKind = 'rsa' | 'ed25519';

/** Print the line that names a relay, with its newline. */
export function fingerprintText(
  nickname: string,
  identity: { readonly rsaId: Uint8Array; readonly ed25519Id: Uint8Array },
  kind: FingerprintKind = 'rsa',
): string {
  const texts = printFingerprints(identity.rsaId, identity.ed25519Id);
  if (kind === 'ed25519') return `${nickname} ${texts.ed25519}\n`;
  return `${nickname} ${texts.rsa.match(/.{4}/g)!.join(' ')}\n`;
}
