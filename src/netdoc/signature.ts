/**
 * Signatures of directory documents: how a router seals its descriptor and extra-info, and how both are checked.
 *
 * Both documents end alike: `router-sig-ed25519` covers everything before its own argument, `router-signature`
 * everything through its own line. Authorities' documents carry the RSA kind only. RSA signatures have no
 * DigestInfo.
 *
 * @source dir-spec "Signing documents", "Server descriptor format"; cert-spec
 */
import { encodeBase64Unpadded, wrapBase64 } from '../bytes/base.ts';
import { equal } from '../bytes/secret.ts';
import type { Ed25519Cert } from '../crypto/certificate.ts';
import { CertType, checkEd25519Cert, decodeEd25519Cert } from '../crypto/certificate.ts';
import { sha1, sha256 } from '../crypto/digest.ts';
import { verifyEd25519 } from '../crypto/ed25519.ts';
import type { RsaKey } from '../crypto/rsa.ts';
import { hasUsualExponent, modulusBits, rsaPublicFromDer, signRaw, verifyRaw } from '../crypto/rsa.ts';
import { Malformed } from '../fault.ts';
import { base64Field } from './field.ts';
import type { Item, ItemTable } from './item.ts';

const ED25519_PREFIX = new TextEncoder().encode('Tor router descriptor signature v1');

/** The keys that a router seals its documents with. */
export interface RouterSigner {
  readonly rsa: RsaKey;
  /** Ed25519 identity (master) public key, 32 bytes. */
  readonly ed25519Id: Uint8Array;
  /** The signing key's certificate by the identity key (type 4), as it stands on the wire. */
  readonly signingCert: Uint8Array;
  /** Sign with the Ed25519 signing key that the certificate names: 64 bytes. */
  readonly sign: (message: Uint8Array) => Uint8Array;
}

/** A document that is ready to be uploaded. */
export interface SignedDocument {
  readonly bytes: Uint8Array;
  /** SHA-1 over the part that the RSA signature covers: the document's name in the directory. */
  readonly digestSha1: Uint8Array;
  /** SHA-256 over the whole document. */
  readonly digestSha256: Uint8Array;
}

/** Print an object under a label, with its final newline. */
export function printObject(label: string, body: Uint8Array): string {
  return `-----BEGIN ${label}-----\n${wrapBase64(body)}-----END ${label}-----\n`;
}

/** Print the `identity-ed25519` item that stands second in both documents. */
export function printIdentityCert(signer: RouterSigner): string {
  return `identity-ed25519\n${printObject('ED25519 CERT', signer.signingCert)}`;
}

function ed25519Digest(signed: Uint8Array): Uint8Array {
  return sha256(Buffer.concat([ED25519_PREFIX, signed]));
}

/**
 * Append both signatures to a router's document.
 *
 * @param body - all lines before `router-sig-ed25519`, each ended by a newline
 * @param bytesMax - what authorities accept
 * @throws Malformed when the document is longer than that
 */
export function sealRouterDocument(
  noun: string,
  body: string,
  signer: RouterSigner,
  bytesMax: number,
): SignedDocument {
  const encoder = new TextEncoder();
  const head = `${body}router-sig-ed25519 `;
  const ed25519 = encodeBase64Unpadded(signer.sign(ed25519Digest(encoder.encode(head))));
  const signed = `${head}${ed25519}\nrouter-signature\n`;
  const digestSha1 = sha1(encoder.encode(signed));
  const bytes = encoder.encode(signed + printObject('SIGNATURE', signRaw(signer.rsa, digestSha1)));
  if (bytes.length > bytesMax) throw new Malformed(noun, `is longer than ${bytesMax} bytes`);
  return { bytes, digestSha1, digestSha256: sha256(bytes) };
}

/** Read an item's RSA public key: PKCS#1 DER. @throws Malformed */
export function publicKeyField(item: Item): Uint8Array {
  const der = item.objectBody('RSA PUBLIC KEY');
  rsaPublicFromDer(der);
  return der;
}

/** Read an item's RSA key of the kind routers have: 1024 bits, exponent 65537. PKCS#1 DER. @throws Malformed */
export function routerKeyField(item: Item): Uint8Array {
  const der = item.objectBody('RSA PUBLIC KEY');
  const key = rsaPublicFromDer(der);
  if (modulusBits(key) !== 1024) throw item.malformed('is not a 1024-bit key');
  if (!hasUsualExponent(key)) throw item.malformed('has a bad exponent');
  return der;
}

/** Check a raw RSA signature of `digest` by the key with this PKCS#1 DER. @throws Malformed */
export function checkDocumentSignature(
  noun: string,
  keyDer: Uint8Array,
  digest: Uint8Array,
  signature: Uint8Array,
): void {
  if (!verifyRaw(keyDer, digest, signature)) throw new Malformed(noun, 'RSA signature is wrong');
}

/** What a router's document says about its own signing; nothing of it is verified yet. */
export interface RouterSeal {
  readonly signingCert: Ed25519Cert;
  /** Ed25519 identity from the certificate. */
  readonly ed25519Id: Uint8Array;
  readonly ed25519Digest: Uint8Array;
  readonly ed25519Signature: Uint8Array;
  /** SHA-1 over the part that the RSA signature covers. */
  readonly digestSha1: Uint8Array;
  readonly rsaSignature: Uint8Array;
}

/**
 * Read the identity certificate and both signatures, and check that they stand where they must: second,
 * next to last and last.
 *
 * @param items - all items of the document; signatures cover the bytes from the first one on
 * @throws Malformed
 */
export function readRouterSeal(bytes: Uint8Array, items: readonly Item[], table: ItemTable): RouterSeal {
  const identity = table.get('identity-ed25519');
  const ed25519 = table.get('router-sig-ed25519');
  const rsa = table.get('router-signature');
  if (items[1] !== identity) throw identity.malformed('is not the second item');
  if (items[items.length - 2] !== ed25519) throw ed25519.malformed('is not next to last');
  if (items[items.length - 1] !== rsa) throw rsa.malformed('is not the last item');
  const signingCert = decodeEd25519Cert(identity.objectBody('ED25519 CERT'));
  if (signingCert.certType !== CertType.SIGNING)
    throw identity.malformed('has a certificate of another type');
  if (signingCert.signedWith === null) throw identity.malformed('has a certificate without its signing key');
  const start = items[0]!.start;
  return {
    signingCert,
    ed25519Id: signingCert.signedWith,
    ed25519Digest: ed25519Digest(bytes.subarray(start, ed25519.signedEnd(bytes, ' '))),
    ed25519Signature: base64Field(ed25519, 0, 64),
    digestSha1: sha1(bytes.subarray(start, rsa.signedEnd(bytes, '\n'))),
    rsaSignature: rsa.objectBody('SIGNATURE'),
  };
}

/**
 * Give the SHA-1 by which others name a router's document, also of one that does not parse; null when it has no
 * `router-signature` line. The document begins at the first byte.
 */
export function signedPartSha1(document: Uint8Array): Uint8Array | null {
  const line = '\nrouter-signature\n';
  const at = Buffer.from(document.buffer, document.byteOffset, document.length).indexOf(line);
  return at < 0 ? null : sha1(document.subarray(0, at + line.length));
}

/**
 * Check the certificate and both signatures of a router's document.
 *
 * @param rsaDer - the router's RSA identity, PKCS#1 DER
 * @param nowSec - wall time; an expired signing key is refused
 * @throws Malformed
 */
export function checkRouterSeal(noun: string, seal: RouterSeal, rsaDer: Uint8Array, nowSec: number): void {
  const { signingCert, ed25519Id } = seal;
  const problem = checkEd25519Cert(signingCert, ed25519Id, nowSec);
  if (problem !== null) throw new Malformed(noun, `identity-ed25519: ${problem}`);
  if (!verifyEd25519(signingCert.certifiedKey, seal.ed25519Digest, seal.ed25519Signature)) {
    throw new Malformed(noun, 'Ed25519 signature is wrong');
  }
  checkDocumentSignature(noun, rsaDer, seal.digestSha1, seal.rsaSignature);
}

/** Whether the bytes are all zero. */
export function isZero(bytes: Uint8Array): boolean {
  return equal(bytes, new Uint8Array(bytes.length));
}
