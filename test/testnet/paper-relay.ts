/** Relays on paper: descriptors and extra-info documents of identities of their own, signed. */
import { randomBytes } from 'node:crypto';
import { CertType, encodeEd25519Cert } from '../../src/crypto/certificate.ts';
import { generateCurve25519 } from '../../src/crypto/curve25519.ts';
import { expandSeed, publicFromExpanded, signSeed } from '../../src/crypto/ed25519.ts';
import { fingerprint, generateRsa } from '../../src/crypto/rsa.ts';
import { printExtraInfo } from '../../src/netdoc/extra-info.ts';
import type { ServerDescriptorInput } from '../../src/netdoc/server-descriptor.ts';
import { printServerDescriptor } from '../../src/netdoc/server-descriptor.ts';
import type { RouterSigner } from '../../src/netdoc/signature.ts';
import { descriptorInput, NOW_SEC } from '../netdoc/fixture.ts';

export class PaperRelay {
  readonly nickname: string;
  readonly signer: RouterSigner;
  readonly rsaId: Uint8Array;
  private readonly keys = { tapOnionKey: generateRsa(1024), ntorOnionKey: generateCurve25519() };

  constructor(nickname: string, rsa = generateRsa(1024), masterSeed = new Uint8Array(randomBytes(32))) {
    this.nickname = nickname;
    const signingSeed = new Uint8Array(randomBytes(32));
    const ed25519Id = publicFromExpanded(expandSeed(masterSeed));
    const signingCert = encodeEd25519Cert(
      {
        certType: CertType.SIGNING,
        expirationHours: Math.ceil((NOW_SEC + 30 * 86400) / 3600),
        certifiedKey: publicFromExpanded(expandSeed(signingSeed)),
        signingKey: ed25519Id,
      },
      (message) => signSeed(masterSeed, message),
    );
    this.signer = { rsa, ed25519Id, signingCert, sign: (message) => signSeed(signingSeed, message) };
    this.rsaId = fingerprint(rsa.publicDer);
  }

  descriptor(changes: Partial<ServerDescriptorInput> = {}): Uint8Array {
    const { nickname, keys } = this;
    const input = descriptorInput({ nickname, tunnelledDirServer: true, ...keys, ...changes });
    return printServerDescriptor(input, this.signer).bytes;
  }

  /** A descriptor with its extra-info document behind it. */
  upload(changes: Partial<ServerDescriptorInput> = {}): Uint8Array {
    const publishedSec = changes.publishedSec ?? NOW_SEC;
    const { nickname, signer } = this;
    const extra = printExtraInfo({ nickname, publishedSec, histories: [] }, signer);
    const extraInfoDigest = { sha1: extra.digestSha1, sha256: extra.digestSha256 };
    return Buffer.concat([this.descriptor({ extraInfoDigest, ...changes }), extra.bytes]);
  }
}
