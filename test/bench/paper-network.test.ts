/** Networks on paper: documents that parse, belong together and are signed; and what is asked for of them. */
import { afterAll, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeRequests } from '../../src/bench/directory-mix.ts';
import { makePaperNetwork } from '../../src/bench/paper-network.ts';
import { encodeBase64Unpadded, encodeHex } from '../../src/bytes/base.ts';
import {
  parseAuthorityCertificate,
  verifyAuthorityCertificate,
} from '../../src/netdoc/authority-certificate.ts';
import { parseConsensus, verifyConsensus } from '../../src/netdoc/consensus.ts';
import { parseMicrodescriptors } from '../../src/netdoc/microdescriptor.ts';

const NOW_SEC = 1795359000;
const RELAYS = 60;
const root = mkdtempSync(join(tmpdir(), 'onionrelay-paper-network-'));
const directory = join(root, 'data');
const network = makePaperNetwork(RELAYS, NOW_SEC);
network.layInto(directory);
const read = (name: string): Uint8Array => new Uint8Array(readFileSync(join(directory, name)));

afterAll(() => rmSync(root, { recursive: true }));

test('the authority of the torrc line signed the consensus', () => {
  const certificate = parseAuthorityCertificate(new TextDecoder().decode(read('cached-certs')));
  verifyAuthorityCertificate(certificate);
  expect(network.authority).toContain(`v3ident=${encodeHex(certificate.authorityId)} `);
  const consensus = parseConsensus(read('cached-microdesc-consensus'));
  expect(consensus.validAfterSec).toBeLessThanOrEqual(NOW_SEC);
  expect(consensus.freshUntilSec).toBeGreaterThan(NOW_SEC);
  const verdict = verifyConsensus(consensus, [certificate.authorityId], [certificate], NOW_SEC);
  expect(verdict).toMatchObject({ good: 1, needed: 1, bad: 0 });
});

test('the microdescriptors are those that the consensus lists', () => {
  const text = new TextDecoder().decode(read('cached-microdesc-consensus'));
  const listed = [...text.matchAll(/^m (\S+)$/gm)].map(([, digest]) => digest!).sort();
  expect(listed).toHaveLength(RELAYS);
  expect([...network.microdescriptors.keys()].sort()).toEqual(listed);
  const { list, problems } = parseMicrodescriptors(read('cached-microdescs'));
  expect(problems).toEqual([]);
  const parsed = list.map(({ microdescriptor }) => encodeBase64Unpadded(microdescriptor.digest)).sort();
  expect(parsed).toEqual(listed);
});

test('the same number gives the same relays, under another authority', () => {
  const again = makePaperNetwork(RELAYS, NOW_SEC);
  expect([...again.microdescriptors.keys()]).toEqual([...network.microdescriptors.keys()]);
  expect(again.authority).not.toBe(network.authority);
});

test('requests name microdescriptors of the network, one or several, in every encoding', () => {
  const requests = makeRequests(network.microdescriptors);
  const counts = new Set<number>();
  for (const { path, documents } of requests) {
    const asked = /^\/tor\/micro\/d\/(.+)$/.exec(path)![1]!.split('-');
    counts.add(asked.length);
    expect(new Set(asked).size).toBe(asked.length);
    expect(documents).toEqual(asked.map((digest) => network.microdescriptors.get(digest)!));
  }
  expect([...counts].sort()).toEqual([1, 8]);
  expect(new Set(requests.map(({ encodings }) => encodings.split(',')[0]))).toEqual(
    new Set(['identity', 'x-zstd', 'deflate']),
  );
  expect(makeRequests(new Map([...network.microdescriptors].slice(0, 3)))[95]!.documents).toHaveLength(3);
});
