/** Damaged server descriptors, extra-info documents and authority certificates: taken or refused, nothing else. */
import { expect } from 'bun:test';
import {
  parseAuthorityCertificate,
  verifyAuthorityCertificate,
} from '../../src/netdoc/authority-certificate.ts';
import { parseExtraInfo } from '../../src/netdoc/extra-info.ts';
import { parseServerDescriptor, verifyServerDescriptor } from '../../src/netdoc/server-descriptor.ts';
import { readDocuments } from '../netdoc/fixture.ts';
import { fuzz } from './fuzz.ts';

const encoder = new TextEncoder();
const words = [
  'opt ',
  '\nopt ',
  '\n',
  '\n\n',
  '\r\n',
  ' \t ',
  '\n# ',
  '\0',
  '-----BEGIN ED25519 CERT-----\n',
  '-----END ED25519 CERT-----\n',
  '\nrouter-sig-ed25519 ',
  '\nrouter-signature\n',
  '\nproto Link=0-63\n',
  '\nor-address [::]:0\n',
  '\noverload-general 1 2026-11-22 14:00:00\n',
  '\n__proto__ x\n',
  '99999999999999999999',
].map((word) => encoder.encode(word));

fuzz('server-descriptor', {
  corpus: [
    ...readDocuments('c-tor-descriptor.txt', 'router'),
    ...readDocuments('c-tor-descriptor-family-ipv6.txt', 'router'),
  ],
  dictionary: words,
  run: (bytes) => {
    const before = bytes.slice();
    const descriptor = parseServerDescriptor(bytes);
    expect(descriptor.orPort).toBeGreaterThan(0);
    expect(bytes).toEqual(before);
    verifyServerDescriptor(descriptor, descriptor.publishedSec);
  },
});

fuzz('extra-info', {
  corpus: readDocuments('c-tor-descriptor.txt', 'extra-info'),
  dictionary: [...words, encoder.encode('\nwrite-history 2026-11-22 14:00:00 (86400 s) 1,2,3\n')],
  run: (bytes) => {
    expect(parseExtraInfo(bytes).rsaId.length).toBe(20);
  },
});

fuzz('authority-certificate', {
  corpus: readDocuments('chutney-authority-certificates.txt', 'dir-key-certificate-version').slice(0, 2),
  dictionary: words,
  cases: 1000,
  run: (bytes) => verifyAuthorityCertificate(parseAuthorityCertificate(bytes)),
});
