/**
 * The AUTHENTICATE cell of link authentication method 3 (Ed25519-SHA256-RFC5705): how the initiator of a link
 * proves that the owner of its identity sits at the other end of this very TLS session.
 *
 * Both ends compute the same 264 bytes from what they saw; the initiator adds 24 random bytes and signs. The
 * keying material is exported with SHA-256 of the initiator's RSA key as context: C tor and Arti do so, although
 * tor-spec's text of 2023 names the Ed25519 identity.
 * @source tor-spec "AUTHENTICATE cells", "Link authentication type 3: Ed25519-SHA256-RFC5705"
 */

import { createHash } from 'node:crypto';
import { equal } from '../bytes/secret.ts';
import { Writer } from '../bytes/writer.ts';
import { sha256 } from '../crypto/digest.ts';
import { signSeed, verifyEd25519 } from '../crypto/ed25519.ts';
import { fingerprintSha256 } from '../crypto/rsa.ts';
import { channelViolation } from './handshake-cells.ts';

/** The one method that is sent, offered and accepted. */
export const AUTH_METHOD = 3;
/** A whole authentication: 264 agreed bytes, 24 random ones, a signature of 64. */
export const AUTHENTICATION_BYTES = 352;

const AGREED_BYTES = 264;
const RANDOM_BYTES = 24;
const SIGNED_BYTES = AGREED_BYTES + RANDOM_BYTES;
const TYPE = new TextEncoder().encode('AUTH0003');
const EXPORTER_LABEL = 'EXPORTER FOR TOR TLS CLIENT BINDING AUTH0003';

/** What the handshake knows about the TLS session below it. */
export interface TlsFacts {
  /** DER of the TLS certificate that the responder of this connection served. */
  readonly responderCertDer: Uint8Array;
  /** Export keying material (RFC 5705, RFC 8446): `length` bytes. */
  exportKeyingMaterial(label: string, context: Uint8Array, length: number): Uint8Array;
}

/** One side's two identities. */
export interface LinkIdentity {
  /** The RSA identity key, PKCS#1 DER. */
  readonly rsaPublicDer: Uint8Array;
  /** 32 bytes. */
  readonly ed25519Id: Uint8Array;
}

/** Everything that the two sides must agree on. */
export interface AuthenticateContext {
  readonly initiator: LinkIdentity;
  readonly responder: LinkIdentity;
  /** SHA-256 of what the responder sent, up to and including AUTH_CHALLENGE. */
  readonly responderLog: Uint8Array;
  /** SHA-256 of what the initiator sent before AUTHENTICATE. */
  readonly initiatorLog: Uint8Array;
  readonly tls: TlsFacts;
}

/** A running SHA-256 over the raw bytes that one side sent. */
export class HandshakeLog {
  readonly #hash = createHash('sha256');

  add(wire: Uint8Array): void {
    this.#hash.update(wire);
  }

  /** Get the digest so far; more may be added afterwards. */
  digest(): Uint8Array {
    return new Uint8Array(this.#hash.copy().digest());
  }
}

/** Build what both sides must compute alike: 264 bytes. */
export function agreedBytes(context: AuthenticateContext): Uint8Array {
  const { initiator, responder, tls } = context;
  const initiatorKeyDigest = fingerprintSha256(initiator.rsaPublicDer);
  const out = new Uint8Array(AGREED_BYTES);
  const writer = new Writer(out);
  writer.bytes(TYPE);
  writer.bytes(initiatorKeyDigest);
  writer.bytes(fingerprintSha256(responder.rsaPublicDer));
  writer.bytes(initiator.ed25519Id);
  writer.bytes(responder.ed25519Id);
  writer.bytes(context.responderLog);
  writer.bytes(context.initiatorLog);
  writer.bytes(sha256(tls.responderCertDer));
  writer.bytes(tls.exportKeyingMaterial(EXPORTER_LABEL, initiatorKeyDigest, 32));
  return out;
}

/**
 * Build and sign an authentication: 352 bytes.
 *
 * @param authSecret seed of the link-authentication key that our type 6 certificate names
 */
export function buildAuthentication(
  context: AuthenticateContext,
  random: (bytes: number) => Uint8Array,
  authSecret: Uint8Array,
): Uint8Array {
  const out = new Uint8Array(AUTHENTICATION_BYTES);
  const writer = new Writer(out);
  writer.bytes(agreedBytes(context));
  writer.bytes(random(RANDOM_BYTES));
  writer.bytes(signSeed(authSecret, out.subarray(0, SIGNED_BYTES)));
  return out;
}

/**
 * Check an initiator's authentication against what we saw ourselves.
 *
 * @param authKey the link-authentication key from the initiator's type 6 certificate
 * @throws Violation when it has another length, another content or no good signature
 */
export function checkAuthentication(
  authentication: Uint8Array,
  context: AuthenticateContext,
  authKey: Uint8Array,
): void {
  if (authentication.length !== AUTHENTICATION_BYTES) {
    throw channelViolation(
      'link_handshake_bad_authenticate',
      `AUTHENTICATE with ${authentication.length} bytes instead of ${AUTHENTICATION_BYTES}`,
    );
  }
  if (!equal(authentication.subarray(0, AGREED_BYTES), agreedBytes(context))) {
    throw channelViolation('link_handshake_bad_authenticate', 'AUTHENTICATE is not about this connection');
  }
  const signed = authentication.subarray(0, SIGNED_BYTES);
  if (!verifyEd25519(authKey, signed, authentication.subarray(SIGNED_BYTES))) {
    throw channelViolation('link_handshake_bad_signature', 'AUTHENTICATE with a wrong signature');
  }
}
