/**
 * Microdescriptors as an authority makes them from server descriptors.
 *
 * Pure. The text decides the digest that the consensus names, so it is C tor's to the byte.
 *
 * @source dir-spec "Computing microdescriptors"; consensus method 35
 */
import { encodeBase64Unpadded, encodeHex } from '../bytes/base.ts';
import { decodeEd25519Cert } from '../crypto/certificate.ts';
import { sha256 } from '../crypto/digest.ts';
import { rsaPublicToPem } from '../crypto/rsa.ts';
import { isNickname } from '../netdoc/field.ts';
import type { ServerDescriptor } from '../netdoc/server-descriptor.ts';

/** What policies that accept nothing are summed up to; nothing is said about such. */
export const REJECT_ALL = 'reject 1-65535';

/** A microdescriptor. */
export interface MicrodescriptorText {
  readonly document: Uint8Array;
  /** SHA-256 of the document, 32 bytes. */
  readonly digest: Uint8Array;
}

/**
 * Make a relay's microdescriptor.
 *
 * @param summary - its exit policy for IPv4, summed up
 * @returns null when it has no TAP onion key, with which every microdescriptor begins
 */
export function makeMicrodescriptor(
  descriptor: ServerDescriptor,
  summary: string,
): MicrodescriptorText | null {
  const { tap, ntorOnionKey, family, ipv6Policy, ed25519Id, rsaId } = descriptor;
  if (tap === null) return null;
  const ids = familyIds(descriptor);
  const document = new TextEncoder().encode(
    [
      `onion-key\n${rsaPublicToPem(tap.keyDer)}`,
      `ntor-onion-key ${encodeBase64Unpadded(ntorOnionKey)}\n`,
      family.length === 0 ? '' : `family ${canonicalFamily(family, rsaId)}\n`,
      ids.length === 0 ? '' : `family-ids ${ids.join(' ')}\n`,
      summary === REJECT_ALL ? '' : `p ${summary}\n`,
      ipv6Policy === null || ipv6Policy === REJECT_ALL ? '' : `p6 ${ipv6Policy}\n`,
      `id ed25519 ${encodeBase64Unpadded(ed25519Id)}\n`,
    ].join(''),
  );
  return { document, digest: sha256(document) };
}

/** Members in one form: `$HEX` in capitals, nicknames in small letters; our own added; sorted, each once. */
function canonicalFamily(family: readonly string[], rsaId: Uint8Array): string {
  const members = [`$${encodeHex(rsaId)}`];
  for (const member of family) {
    const hex = /^\$?([0-9A-Fa-f]{40})([=~].*)?$/.exec(member);
    if (hex !== null) members.push(`$${hex[1]!.toUpperCase()}`);
    else members.push(isNickname(member) ? member.toLowerCase() : member);
  }
  return [...new Set(members)].sort().join(' ');
}

/** The families that certificates in the descriptor vouch for. */
function familyIds({ familyCerts }: ServerDescriptor): string[] {
  const ids = familyCerts.map((cert) => decodeEd25519Cert(cert).signedWith).filter((key) => key !== null);
  return [...new Set(ids.map((key) => `ed25519:${encodeBase64Unpadded(key)}`))].sort();
}
