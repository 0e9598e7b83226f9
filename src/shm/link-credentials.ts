/**
 * What a worker needs to prove who this relay is on a link: one generation of the TLS link key and the
 * certificates that tie it to both identities.
 *
 * Made by the control plane at every rotation of the link key and lettered to all workers; read by the link
 * handshake. Only strings, numbers and byte arrays, so that `postMessage` clones it. A connection keeps the
 * generation that its TLS handshake was served with until its own handshake ends, whatever is current by then.
 * @source tor-spec "Negotiating and initializing channels", cert-spec
 */

/** One generation of link key, certificates and link-authentication key. Never mutated. */
export interface LinkCredentials {
  /** Counts rotations; a later one is newer. */
  readonly generation: number;
  /** SHA-1 of the RSA identity's PKCS#1 DER: 20 bytes. */
  readonly rsaId: Uint8Array;
  /** The RSA identity's public key, PKCS#1 DER. */
  readonly rsaPublicDer: Uint8Array;
  /** The Ed25519 master identity's public key: 32 bytes. */
  readonly ed25519Id: Uint8Array;
  /** The TLS private key. Secret. */
  readonly tlsKeyPem: string;
  /** The certificate that TLS serves. */
  readonly tlsCertPem: string;
  /** The same certificate, DER. */
  readonly tlsCertDer: Uint8Array;
  /** Body of the CERTS cell that a responder sends: types 2, 4, 5 and 7; type 5 is bound to `tlsCertDer`. */
  readonly responderCerts: Uint8Array;
  /** Body of the CERTS cell that an initiator sends: types 2, 4, 6 and 7; type 6 certifies `authPublic`. */
  readonly initiatorCerts: Uint8Array;
  /** Ed25519 seed of the link-authentication key: 32 bytes. Secret. */
  readonly authSecret: Uint8Array;
  /** Its public key: 32 bytes. */
  readonly authPublic: Uint8Array;
}
