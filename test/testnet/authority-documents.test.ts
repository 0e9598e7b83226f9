/** What queries find among the authority's documents. */
import { describe, expect, test } from 'bun:test';
import { encodeBase64Unpadded, encodeHex } from '../../src/bytes/base.ts';
import { parseDirectoryRequest } from '../../src/netdoc/directory-request.ts';
import { parseExtraInfo } from '../../src/netdoc/extra-info.ts';
import { parseServerDescriptor } from '../../src/netdoc/server-descriptor.ts';
import { AuthorityDocuments } from '../../src/testnet/authority-documents.ts';
import { makeAuthorityKeys } from '../../src/testnet/authority-keys.ts';
import { makeMicrodescriptor } from '../../src/testnet/microdescriptor-text.ts';
import { NOW_SEC, textOf } from '../netdoc/fixture.ts';
import { PaperRelay } from './paper-relay.ts';

const keys = makeAuthorityKeys();
const relays = [new PaperRelay('one'), new PaperRelay('two')];
const documents = new AuthorityDocuments(keys, 'the certificate\n', relays[0]!.rsaId);

function find(url: string): string | null {
  const found = documents.find(parseDirectoryRequest(`GET ${url} HTTP/1.0\r\n\r\n`).query);
  return found === null ? null : textOf(found.body);
}

const made = relays.map((relay) => {
  const text = textOf(relay.upload());
  const at = text.indexOf('extra-info ');
  const descriptor = parseServerDescriptor(text.slice(0, at));
  const extraInfo = parseExtraInfo(text.slice(at));
  const microdescriptor = makeMicrodescriptor(descriptor, 'reject 1-65535')!;
  documents.putDescriptor(descriptor);
  documents.putExtraInfo(extraInfo);
  documents.putMicrodescriptor(microdescriptor);
  return { descriptor, extraInfo, microdescriptor };
});
const [one, two] = made as [(typeof made)[0], (typeof made)[0]];

describe('queries', () => {
  test('before the first consensus find none', () => {
    expect(find('/tor/status-vote/current/consensus')).toBeNull();
  });

  test('find consensuses by flavour, for those who trust us', () => {
    for (const flavour of ['ns', 'microdesc'] as const) {
      const document = new TextEncoder().encode(flavour);
      documents.putConsensus(flavour, { document, validAfterSec: NOW_SEC, freshUntilSec: NOW_SEC + 10 });
    }
    const own = encodeHex(keys.v3Ident);
    const other = own.startsWith('0') ? '1'.repeat(40) : '0'.repeat(40);
    const base = '/tor/status-vote/current/consensus';
    expect(find(base)).toBe('ns');
    expect(find(`${base}.z`)).toBe('ns');
    expect(find(`${base}-microdesc`)).toBe('microdesc');
    expect(find(`${base}-microdesc/${own.slice(0, 6)}.z`)).toBe('microdesc');
    expect(find(`${base}/${own}`)).toBe('ns');
    expect(find(`${base}/${other}`)).toBeNull();
    expect(find(`${base}/${own}+${other}`)).toBeNull();
    expect(find(`${base}/diff/${'A'.repeat(64)}`)).toBeNull();
    expect(documents.consensus('ns')!.validAfterSec).toBe(NOW_SEC);
  });

  test('find the certificate', () => {
    const [id, signing] = [encodeHex(keys.v3Ident), encodeHex(keys.signingKeyDigest)];
    for (const name of ['all', 'authority', `fp/${id}`, `sk/${signing}`, `fp-sk/${id}-${signing}`]) {
      expect(find(`/tor/keys/${name}`), name).toBe('the certificate\n');
    }
    for (const name of [`fp/${signing}`, `sk/${id}`, `fp-sk/${signing}-${id}`]) {
      expect(find(`/tor/keys/${name}`), name).toBeNull();
    }
  });

  test('find descriptors and extra-info documents', () => {
    for (const [kind, of] of [
      ['server', (each: typeof one) => each.descriptor],
      ['extra', (each: typeof one) => each.extraInfo],
    ] as const) {
      const texts = made.map((each) => textOf(of(each).document));
      expect(find(`/tor/${kind}/all`)).toBe(texts.join(''));
      expect(find(`/tor/${kind}/authority`)).toBe(texts[0]!);
      const names = made.map((each) => encodeHex(of(each).digestSha1));
      expect(find(`/tor/${kind}/d/${names[1]}`)).toBe(texts[1]!);
      expect(find(`/tor/${kind}/d/${names.join('+')}`)!.length).toBe(texts.join('').length);
      expect(find(`/tor/${kind}/fp/${encodeHex(two.descriptor.rsaId)}`)).toBe(texts[1]!);
      expect(find(`/tor/${kind}/fp/${'0'.repeat(40)}`)).toBeNull();
    }
  });

  test('find microdescriptors, and what was superseded', () => {
    const names = made.map(({ microdescriptor }) => encodeBase64Unpadded(microdescriptor.digest));
    const total = made.reduce((sum, { microdescriptor }) => sum + microdescriptor.document.length, 0);
    expect(find(`/tor/micro/d/${names.join('-')}`)!.length).toBe(total);
    expect(find(`/tor/micro/d/${'A'.repeat(43)}`)).toBeNull();
    const newer = parseServerDescriptor(relays[0]!.descriptor({ contact: 'newer' }));
    documents.putDescriptor(newer);
    expect(find(`/tor/server/fp/${encodeHex(newer.rsaId)}`)).toContain('contact newer');
    expect(find(`/tor/server/d/${encodeHex(one.descriptor.digestSha1)}`)).toBe(
      textOf(one.descriptor.document),
    );
  });

  test('for anything else find nothing', () => {
    for (const url of ['/tor/', '/tor/robots.txt', '/tor/hs/3/abc']) expect(find(url)).toBeNull();
  });

  test('do not keep superseded documents for ever', () => {
    for (let i = 0; i < 2100; i++) {
      documents.putMicrodescriptor({
        digest: new Uint8Array(32).fill(i & 255, 0, 16).fill(i >> 8, 16),
        document: new Uint8Array(1),
      });
    }
    expect(find(`/tor/micro/d/${encodeBase64Unpadded(one.microdescriptor.digest)}`)).toBeNull();
  });
});
