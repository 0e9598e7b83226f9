/** Consensuses of both flavours: recorded ones of private networks, bad ones, and big ones. */
import { describe, expect, test } from 'bun:test';
import { encodeBase64Unpadded, encodeHex } from '../../src/bytes/base.ts';
import { sha1, sha256 } from '../../src/crypto/digest.ts';
import { generateRsa, signRaw } from '../../src/crypto/rsa.ts';
import { Malformed } from '../../src/fault.ts';
import type { AuthorityCertificate } from '../../src/netdoc/authority-certificate.ts';
import { parseAuthorityCertificates } from '../../src/netdoc/authority-certificate.ts';
import type { Consensus } from '../../src/netdoc/consensus.ts';
import { ConsensusParser, parseConsensus, verifyConsensus } from '../../src/netdoc/consensus.ts';
import { paramValue } from '../../src/netdoc/consensus-params.ts';
import { flagNames } from '../../src/netdoc/router-table.ts';
import { printObject } from '../../src/netdoc/signature.ts';
import { leastCpu, readCases, readVector, textOf } from './fixture.ts';

const ns = textOf(readVector('chutney-consensus-ns.txt'));
const microdesc = textOf(readVector('chutney-consensus-microdesc.txt'));

function certificatesOf(file: string): AuthorityCertificate[] {
  return parseAuthorityCertificates(readVector(file)).certificates;
}

const certificates = certificatesOf('chutney-authority-certificates.txt');
const authorityIds = certificates.map((certificate) => certificate.authorityId);

describe('parseConsensus', () => {
  test('reads the ns flavour', () => {
    const consensus = parseConsensus(ns);
    expect(consensus).toMatchObject({
      flavour: 'ns',
      method: 35,
      validAfterSec: 946684940,
      freshUntilSec: 946684960,
      validUntilSec: 946684980,
      voteDelaySec: 4,
      distributionDelaySec: 4,
      serverVersions: '',
      params: new Map([
        ['AuthDirMaxServersPerAddr', 0],
        ['cc_alg', 2],
      ]),
      sharedRandomPrevious: null,
    });
    expect(consensus.knownFlags).toContain('NoEdConsensus');
    expect(consensus.requiredRelayProtocols).toContain('LinkAuth=3');
    expect(consensus.recommendedRelayProtocols).toContain('Relay=2-4');
    expect(consensus.bandwidthWeights.get('Wbd')).toBe(3333);
    expect(paramValue(consensus.params, 'cc_alg')).toBe(2);
    expect(consensus.voters.map((voter) => voter.nickname)).toEqual([
      'test001a',
      'test002a',
      'test003a',
      'test000a',
    ]);
    expect(consensus.voters[0]).toMatchObject({ dirPort: 7101, orPort: 5101, authorityId: authorityIds[0]! });
    const { routers } = consensus;
    expect(routers.count).toBe(7);
    const first = routers.at(0);
    expect(first).toMatchObject({
      nickname: 'test002a',
      publishedSec: 946684893,
      address: Uint8Array.of(127, 0, 0, 1),
      orPort: 5102,
      dirPort: 7102,
      ipv6: null,
      bandwidth: 208,
      isUnmeasured: true,
      version: 'Tor 0.4.9.6',
    });
    expect(first.rsaId.toHex().toUpperCase()).toBe('257D06F0360BB2246388724F109EC0895A1D41FB');
    expect(first.digest.toHex()).toBe('aa759a63c5f8f5f7a138f6503e993de5663fb018');
    expect(flagNames(first.flags).join(' ')).toBe(
      'Authority Exit Fast Guard HSDir Running Stable V2Dir Valid',
    );
    expect(routers.get(first.rsaId)).toEqual(first);
  });

  test('reads the microdesc flavour', () => {
    const { flavour, routers } = parseConsensus(microdesc);
    expect(flavour).toBe('microdesc');
    expect(routers.count).toBe(7);
    expect(encodeBase64Unpadded(routers.at(0).digest)).toBe('vLfl33OgtMN89WPVnORZlZQj2SPFfSNvJHZ4ZNtAPec');
    expect([routers.at(0).orPort, routers.at(0).publishedSec]).toEqual([5102, 2145916800]);
  });

  test('reads IPv6 addresses', () => {
    const { routers } = parseConsensus(readVector('chutney-2020-consensus-microdesc.txt'));
    expect(routers.at(0).ipv6).toEqual({ host: new Uint8Array(16).fill(1, 15), port: 5002 });
  });

  test('reads shared random values and measured weights', () => {
    const value = encodeBase64Unpadded(new Uint8Array(32).fill(5));
    const text = ns
      .replace('dir-source test001a', `shared-rand-current-value 4 ${value}=\ndir-source test001a`)
      .replace('w Bandwidth=208 Unmeasured=1', 'w Bandwidth=4294967295');
    const { sharedRandomCurrent, routers } = parseConsensus(text);
    expect(sharedRandomCurrent).toEqual({ reveals: 4, value: new Uint8Array(32).fill(5) });
    expect([routers.at(0).bandwidth, routers.at(0).isUnmeasured]).toEqual([4294967295, false]);
  });

  test("is not disturbed by lines, flags and parameters that it doesn't know", () => {
    const text = ns
      .replace('known-flags ', 'novelty 1 2 3\nknown-flags ')
      .replace('s Authority Exit ', 's Authority Brilliant Exit ')
      .replace('w Bandwidth=208', 'novelty\nw Bandwidth=208 Colour=blue')
      .replace('directory-footer\n', 'directory-footer\nnovelty\n')
      .replace('cc_alg=2', 'cc_alg=2 zzz=-2147483648');
    const consensus = parseConsensus(text);
    expect(consensus.routers.count).toBe(7);
    expect(consensus.params.get('zzz')).toBe(-2147483648);
  });

  test('skips signatures of unknown algorithms and second ones', () => {
    const whole = parseConsensus(ns);
    const unknown = parseConsensus(ns.replace('directory-signature 0B', 'directory-signature sha9 0B'));
    expect(unknown.signatures.length).toBe(whole.signatures.length - 1);
    const block = /directory-signature 0B[\s\S]*?END SIGNATURE-----\n/.exec(ns)![0];
    expect(parseConsensus(ns + block).signatures.length).toBe(whole.signatures.length);
  });

  test('takes a flag that is not in known-flags, as C tor does', () => {
    const { document } = readCases('bad-consensuses.txt').find(({ name }) => name === 'bad-flags')!;
    expect(parseConsensus(document).routers.count).toBeGreaterThan(0);
  });

  test.each(readCases('bad-consensuses.txt').filter(({ name }) => name !== 'bad-flags'))(
    '$name is refused',
    ({ document }) => {
      expect(() => parseConsensus(document)).toThrow(Malformed);
    },
  );

  test.each([
    ['another flavour', 'network-status-version 3', 'network-status-version 3 tiny'],
    ['a vote', 'vote-status consensus', 'vote-status vote'],
    ['a bad method', 'consensus-method 35', 'consensus-method 0'],
    ['a bad time', 'valid-after 2000', 'valid-after 200'],
    ['no freshness', 'fresh-until 2000-01-01 00:02:40', 'fresh-until 2000-01-01 00:02:20'],
    ['no validity', 'valid-until 2000-01-01 00:03:00', 'valid-until 2000-01-01 00:02:30'],
    ['a missing delay', 'voting-delay 4 4', 'voting-delay 4'],
    ['unsorted flags', 'known-flags Authority Exit', 'known-flags Exit Authority'],
    ['unsorted parameters', 'params Auth', 'params zz=1 Auth'],
    ['a parameter twice', 'cc_alg=2', 'cc_alg=2 cc_alg=3'],
    ['a parameter over 32 bits', 'cc_alg=2', 'cc_alg=2147483648'],
    ['a bad list of protocols', 'required-relay-protocols Cons=2', 'required-relay-protocols Cons=64'],
    ['a bad list for clients', 'required-client-protocols Cons=2', 'required-client-protocols Cons=x'],
    ['a voter without ports', '127.0.0.1 7101 5101', '127.0.0.1 7101'],
    ['a voter with a bad id', 'test001a 0B89', 'test001a XX89'],
    ['a bad nickname', 'r test002a', 'r test_002a'],
    ['a short identity', 'r test002a JX0', 'r test002a X0'],
    ['a bad descriptor digest', 'qnWaY8', 'qnWaY'],
    ['a bad address', '127.0.0.1 5102', '127.0.0.256 5102'],
    ['a short r line', ' 5102 7102', ''],
    ['an entry without flags', 's Authority', 'x Authority'],
    ['an entry without protocols', 'pr Conflux=1', 'prr Conflux=1'],
    ['an entry with bad protocols', 'pr Conflux=1', 'pr Conflux=1-'],
    ['a bad weight', 'w Bandwidth=208', 'w Bandwidth=-1'],
    ['a weight over 32 bits', 'w Bandwidth=208', 'w Bandwidth=4294967296'],
    ['a policy summary of another kind', 'p reject 1-65535', 'p refuse 1-65535'],
    ['two weights', 'w Bandwidth=208', 'w Bandwidth=1\nw Bandwidth=208'],
    ['a bad bandwidth weight', 'Wbd=3333', 'Wbd=x'],
    ['a misplaced footer', 'bandwidth-weights', 'directory-footer\nbandwidth-weights'],
    ['a signature of no voter', 'directory-signature 0B', 'directory-signature 0C'],
    ['a bad signing key', '0AB4001E', '0AB4001X'],
    ['a line behind a signature', 'directory-signature 5B', 'novelty\ndirectory-signature 5B'],
    ['an opt before a signature', 'directory-signature 0B', 'opt directory-signature 0B'],
  ])('refuses %s', (_, from, to) => {
    expect(ns).toContain(from);
    expect(() => parseConsensus(ns.replace(from, to))).toThrow(Malformed);
  });

  test('refuses short and long signatures, and none', () => {
    const [before, object] = /directory-signature 0B[^\n]*\n([\s\S]*?END SIGNATURE-----\n)/.exec(ns)!;
    for (const bytes of [127, 513]) {
      const text = ns.replace(
        before,
        before.replace(object!, printObject('SIGNATURE', new Uint8Array(bytes))),
      );
      expect(() => parseConsensus(text)).toThrow('bad length');
    }
    expect(() => parseConsensus(ns.slice(0, ns.indexOf('directory-signature')))).toThrow(Malformed);
  });

  test('refuses every truncation but those behind a signature', () => {
    const firstEnd = ns.indexOf('-----END SIGNATURE-----') + 23;
    for (let end = 0; end < firstEnd; end += 11)
      expect(() => parseConsensus(ns.slice(0, end))).toThrow(Malformed);
    expect(parseConsensus(ns.slice(0, firstEnd)).signatures.length).toBe(1);
  });
});

describe('verifyConsensus', () => {
  test.each([
    ['chutney-consensus-ns.txt', 'chutney-authority-certificates.txt', 4],
    ['chutney-consensus-microdesc.txt', 'chutney-authority-certificates.txt', 4],
    ['chutney-2020-consensus-microdesc.txt', 'chutney-2020-authority-certificates.txt', 3],
  ])('%s carries the signatures of all authorities', (file, certificateFile, count) => {
    const consensus = parseConsensus(readVector(file));
    const certs = certificatesOf(certificateFile);
    const ids = certs.map((certificate) => certificate.authorityId);
    const verdict = verifyConsensus(consensus, ids, certs, consensus.validAfterSec);
    expect(verdict).toMatchObject({ good: count, needed: Math.floor(count / 2) + 1, bad: 0, missing: [] });
    expect([...verdict.signers].sort()).toEqual(ids.map(encodeHex).sort());
  });

  const consensus = parseConsensus(microdesc);
  const nowSec = consensus.validAfterSec;

  test('counts nothing when the document was changed', () => {
    const changed = parseConsensus(microdesc.replace('Bandwidth=208', 'Bandwidth=209'));
    expect(verifyConsensus(changed, authorityIds, certificates, nowSec)).toMatchObject({ good: 0, bad: 4 });
  });

  test('says which certificates are missing', () => {
    const verdict = verifyConsensus(consensus, authorityIds, certificates.slice(0, 2), nowSec);
    expect(verdict).toMatchObject({ good: 2, needed: 3, bad: 0 });
    const missing = verdict.missing.map(({ authorityId }) => authorityId.toHex()).sort();
    expect(missing).toEqual(
      authorityIds
        .slice(2)
        .map((id) => id.toHex())
        .sort(),
    );
  });

  test('takes an expired certificate for none', () => {
    const later = Math.max(...certificates.map((certificate) => certificate.expiresSec)) + 1;
    const verdict = verifyConsensus(consensus, authorityIds, certificates, later);
    expect([verdict.good, verdict.missing.length]).toEqual([0, 4]);
  });

  test('counts only authorities that we know', () => {
    const strangers = [1, 2, 3].map((n) => new Uint8Array(20).fill(n));
    const ids = [authorityIds[0]!, ...strangers];
    expect(verifyConsensus(consensus, ids, certificates, nowSec)).toMatchObject({
      good: 1,
      needed: 3,
      bad: 0,
      missing: [],
    });
    expect(verifyConsensus(consensus, [], certificates, nowSec)).toMatchObject({ good: 0, needed: 1 });
  });

  test('does not count one authority twice', () => {
    const twice = { ...consensus, signatures: [...consensus.signatures, ...consensus.signatures] };
    expect(verifyConsensus(twice, authorityIds, certificates, nowSec).good).toBe(4);
  });

  test("does not believe a signature by another authority's key", () => {
    const [mine, other] = certificates as [AuthorityCertificate, AuthorityCertificate];
    const forged = [{ ...other, authorityId: mine.authorityId }];
    expect(verifyConsensus(consensus, authorityIds, forged, nowSec).good).toBe(0);
  });

  test('checks SHA-1 and SHA-256 signatures against their own digest', () => {
    const key = generateRsa(2048);
    const certificate: AuthorityCertificate = { ...certificates[0]!, signingKeyDer: key.publicDer };
    const signing = { authorityId: certificate.authorityId, signingKeyDigest: certificate.signingKeyDigest };
    const signedWith = (algorithm: 'sha1' | 'sha256', digest: Uint8Array): Consensus => ({
      ...consensus,
      signatures: [{ ...signing, algorithm, signature: signRaw(key, digest) }],
    });
    const good = (document: Consensus): number =>
      verifyConsensus(document, authorityIds, [certificate], nowSec).good;
    const signed = Buffer.from(
      microdesc.slice(
        microdesc.indexOf('network-status-version'),
        microdesc.indexOf('directory-signature ') + 'directory-signature '.length,
      ),
    );
    expect(good(signedWith('sha1', sha1(signed)))).toBe(1);
    expect(good(signedWith('sha256', sha256(signed)))).toBe(1);
    expect(good(signedWith('sha1', sha256(signed)))).toBe(0);
    expect(good(signedWith('sha256', sha1(signed)))).toBe(0);
  });
});

describe("a consensus of the public network's size", () => {
  function bigConsensus(count: number): string {
    const entry = /^r test002a [\s\S]*?^p [^\n]*\n/m.exec(ns)![0];
    const routersAt = ns.indexOf('\nr ') + 1;
    const entries: string[] = [];
    for (let n = 0; n < count; n++) {
      const id = new Uint8Array(20);
      new DataView(id.buffer).setUint32(0, n);
      entries.push(entry.replace('JX0G8DYLsiRjiHJPEJ7AiVodQfs', encodeBase64Unpadded(id)));
    }
    return ns.slice(0, routersAt) + entries.join('') + ns.slice(ns.indexOf('directory-footer'));
  }

  test('is read whole', () => {
    const { routers } = parseConsensus(bigConsensus(10_000));
    expect(routers.count).toBe(10_000);
    const id = new Uint8Array(20);
    new DataView(id.buffer).setUint32(0, 9_876);
    expect(routers.find(id)).toBe(9_876);
    expect(routers.at(9_876).bandwidth).toBe(208);
  });

  test('costs in proportion to its length', () => {
    const small = Buffer.from(bigConsensus(1_000));
    const large = Buffer.from(bigConsensus(8_000));
    parseConsensus(large);
    // Eight times the relays may cost eight times as much; thrice that leaves room for a busy machine.
    const most =
      24 *
      Math.max(
        leastCpu(() => parseConsensus(small)),
        1000,
      );
    expect(leastCpu(() => parseConsensus(large))).toBeLessThan(most);
  });
});

describe('read in pieces', () => {
  test.each([1, 2, 3, 7, 8])('of %i routers it is the same', (routers) => {
    const parser = new ConsensusParser(microdesc);
    let [pieces, consensus] = [1, parser.step(routers)];
    for (; consensus === null; pieces++) consensus = parser.step(routers);
    expect(pieces).toBe(Math.floor(7 / routers) + 1);
    const whole = parseConsensus(microdesc);
    expect(consensus.signedDigestSha256).toEqual(whole.signedDigestSha256);
    expect(consensus.routers.at(6)).toEqual(whole.routers.at(6));
  });
});
