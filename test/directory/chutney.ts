/** The recorded documents of one private network of C tors, which belong together, and a `Network` that believes them. */
import type { DirectoryAuthority } from '../../src/directory/authority.ts';
import { Network } from '../../src/directory/network.ts';
import { parseAuthorityCertificates } from '../../src/netdoc/authority-certificate.ts';
import { parseConsensus } from '../../src/netdoc/consensus.ts';
import { readVector, withoutHeader } from '../netdoc/fixture.ts';
import { VirtualTime } from './virtual-time.ts';

const read = (name: string): Uint8Array => withoutHeader(readVector(`chutney-${name}.txt`));

export const NS = read('consensus-ns');
export const MICRODESC = read('consensus-microdesc');
export const CERTIFICATES = read('authority-certificates');
export const DESCRIPTORS = read('descriptors');
export const EXTRA_INFOS = read('extra-infos');
export const MICRODESCRIPTORS = read('microdescs');
export const CONSENSUS = parseConsensus(NS);
export const MICRODESC_CONSENSUS = parseConsensus(MICRODESC);
export const VALID_SEC = CONSENSUS.validAfterSec;
/** When all of the recorded descriptors were published already. */
export const NOW_SEC = VALID_SEC + 15;

export const AUTHORITIES: readonly DirectoryAuthority[] = parseAuthorityCertificates(
  CERTIFICATES,
).certificates.map(({ authorityId }, i) => ({
  nickname: `test00${i}a`,
  rsaId: new Uint8Array(20).fill(i + 1),
  v3Ident: authorityId,
  dir: { host: Uint8Array.of(127, 0, 0, 1), port: 7100 + i },
  orPort: 0,
  ipv6: null,
  isBridgeAuthority: false,
  weight: 1,
  uploadTo: [],
  downloadFrom: [],
}));

/** Make a network that knows the certificates, and the clock that it goes by. */
export function makeChutney(): { network: Network; time: VirtualTime } {
  const time = new VirtualTime(NOW_SEC);
  const ownRsaId = new Uint8Array(20).fill(77);
  const network = new Network({ authorities: AUTHORITIES, ownRsaId, ownProtocols: 'Link=4-5', timing: time });
  network.certificates.add(CERTIFICATES);
  return { network, time };
}
