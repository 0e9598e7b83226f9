import { expect, test } from 'bun:test';
import { judgeInitiator, judgeResponder } from '../../src/channel/peer-certificates.ts';
import { sha256 } from '../../src/crypto/digest.ts';
import { makeIdentity, makeTlsKey } from '../../src/load/identity.ts';

const NOW_SEC = 1_800_000_000;

test('made-up relays prove both identities, at either end of a link', () => {
  const tlsKey = makeTlsKey();
  const one = makeIdentity(tlsKey, NOW_SEC);
  const other = makeIdentity(tlsKey, NOW_SEC);
  for (const { rsaId, ed25519Id, responderCerts, initiatorCerts, tlsCertDer } of [one, other]) {
    expect(judgeResponder(responderCerts, sha256(tlsCertDer), NOW_SEC)).toMatchObject({ rsaId, ed25519Id });
    expect(judgeInitiator(initiatorCerts, NOW_SEC)).toMatchObject({ rsaId, ed25519Id });
  }
  expect(one.rsaId).not.toEqual(other.rsaId);
  expect(one.ed25519Id).not.toEqual(other.ed25519Id);
});
