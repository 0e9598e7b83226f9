/** What an authority takes and what it refuses, with the reason. */
import { describe, expect, test } from 'bun:test';
import { encodeHex } from '../../src/bytes/base.ts';
import type { ExtraInfo } from '../../src/netdoc/extra-info.ts';
import type { ServerDescriptor, ServerDescriptorInput } from '../../src/netdoc/server-descriptor.ts';
import { type Judgement, judgeUpload, type KnownRelays } from '../../src/testnet/upload-judge.ts';
import { NOW_SEC, textOf } from '../netdoc/fixture.ts';
import { PaperRelay } from './paper-relay.ts';

/** Keeps what was taken, as the authority does. */
class Book implements KnownRelays {
  readonly relays = new Map<string, { descriptor: ServerDescriptor; extraInfo: ExtraInfo | null }>();

  relay(rsaHex: string) {
    return this.relays.get(rsaHex) ?? null;
  }
  pinnedEd25519(rsaHex: string): string | null {
    const known = this.relays.get(rsaHex);
    return known === undefined ? null : encodeHex(known.descriptor.ed25519Id);
  }
  pinnedRsa(ed25519Hex: string): string | null {
    for (const [rsaHex, { descriptor }] of this.relays) {
      if (encodeHex(descriptor.ed25519Id) === ed25519Hex) return rsaHex;
    }
    return null;
  }
  upload(body: Uint8Array | string, nowSec = NOW_SEC): Judgement[] {
    const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : body;
    const judgements = judgeUpload(bytes, this, nowSec);
    for (const judgement of judgements) {
      if (judgement.kind === 'descriptor') {
        const { descriptor } = judgement;
        this.relays.set(encodeHex(descriptor.rsaId), { descriptor, extraInfo: null });
      } else if (judgement.kind === 'extra-info') {
        const { extraInfo } = judgement;
        this.relays.get(encodeHex(extraInfo.rsaId))!.extraInfo = extraInfo;
      }
    }
    return judgements;
  }
}

const relay = new PaperRelay('one');
const kinds = (judgements: readonly Judgement[]): string[] => judgements.map(({ kind }) => kind);
const messageOf = (judgements: readonly Judgement[]): string =>
  judgements.map((judgement) => ('message' in judgement ? judgement.message : judgement.kind)).join('; ');

describe('an upload', () => {
  test('of a descriptor and its extra-info is taken', () => {
    expect(kinds(new Book().upload(relay.upload()))).toEqual(['descriptor', 'extra-info']);
  });

  test('with the extra-info first is taken, too', () => {
    const text = textOf(relay.upload());
    const at = text.indexOf('extra-info one');
    expect(kinds(new Book().upload(text.slice(at) + text.slice(0, at)))).toEqual([
      'descriptor',
      'extra-info',
    ]);
  });

  test('again is not new', () => {
    const book = new Book();
    const body = relay.upload();
    book.upload(body);
    expect(kinds(book.upload(body))).toEqual(['known', 'known']);
  });

  test('that changes nothing of weight is not new', () => {
    const book = new Book();
    book.upload(relay.upload());
    const later = { publishedSec: NOW_SEC + 600, uptimeSec: 627 };
    const same = book.upload(relay.descriptor(later), NOW_SEC + 600);
    expect(messageOf(same)).toContain('no information has changed');
    const changes: Partial<ServerDescriptorInput>[] = [
      { orPort: 9002 },
      { contact: 'somebody' },
      { policy: ['accept *:80', 'reject *:*'] },
      { tunnelledDirServer: false },
      { bandwidth: { rate: 1073741824, burst: 1073741824, observed: 1000 } },
      { uptimeSec: 9 * 3600 },
      { publishedSec: NOW_SEC + 3 * 3600 },
    ];
    for (const change of changes) {
      const body = relay.descriptor({ ...later, ...change });
      expect(kinds(judgeUpload(body, book, NOW_SEC + 3 * 3600)), JSON.stringify(change)).toEqual([
        'descriptor',
      ]);
    }
  });

  test.each([
    ['from the future', { publishedSec: NOW_SEC + 13 * 3600 }, 'clock is set too far in the future'],
    ['from the past', { publishedSec: NOW_SEC - 25 * 3600 }, 'Server is expired'],
    ['of another machine', { address: Uint8Array.of(10, 0, 0, 1) }, 'stays on one machine'],
    [
      'with a port on another machine',
      { ipv6: { host: new Uint8Array(16).fill(32, 0, 1), port: 9001 } },
      'stays on one machine',
    ],
    ['without a TAP key', { tapOnionKey: null }, 'Missing TAP key in descriptor.'],
    [
      'with an unknown policy',
      { policy: ['accept nonsense', 'reject *:*'] },
      'exit policy that does not read',
    ],
  ] as [string, Partial<ServerDescriptorInput>, string][])('%s is refused', (_, changes, reason) => {
    const judgements = new Book().upload(relay.descriptor(changes));
    expect(kinds(judgements)).toEqual(['refused']);
    expect(messageOf(judgements)).toContain(reason);
  });

  test.each([
    ['contact', /^published .*$/m, 'published 2026-11-22 14:27:01'],
    ['Ed25519 signature', /^router-sig-ed25519 ..../m, 'router-sig-ed25519 AAAA'],
    ['RSA signature', /(router-signature\n-----BEGIN SIGNATURE-----\n)..../, '$1AAAA'],
  ])('with a changed %s is refused', (_, pattern, by) => {
    const judgements = new Book().upload(textOf(relay.descriptor()).replace(pattern, by));
    expect(kinds(judgements)).toEqual(['refused']);
    expect(messageOf(judgements)).toContain('signature is wrong');
  });

  test('whose certificate has expired is refused', () => {
    const late = NOW_SEC + 31 * 86400;
    expect(messageOf(new Book().upload(relay.descriptor({ publishedSec: late }), late))).toContain('expired');
  });

  test('of a known RSA identity with another Ed25519 identity, and the other way round, is refused', () => {
    const book = new Book();
    book.upload(relay.descriptor());
    const later = { publishedSec: NOW_SEC + 60 };
    const sameRsa = new PaperRelay('one', relay.signer.rsa);
    expect(messageOf(book.upload(sameRsa.descriptor(later)))).toContain('identity key has changed');
    const seed = new Uint8Array(32).fill(9);
    book.upload(new PaperRelay('two', undefined, seed).descriptor());
    const sameEd25519 = new PaperRelay('two', undefined, seed);
    expect(messageOf(book.upload(sameEd25519.descriptor(later)))).toContain('identity key has changed');
  });

  test('of an extra-info alone needs the descriptor that names it', () => {
    const text = textOf(relay.upload());
    const extra = text.slice(text.indexOf('extra-info one'));
    expect(messageOf(new Book().upload(extra))).toContain('No corresponding router descriptor');
    const book = new Book();
    book.upload(relay.descriptor());
    expect(kinds(book.upload(extra))).toEqual(['known']);
  });

  test('of an extra-info with a wrong signature is refused', () => {
    const body = textOf(relay.upload()).replace(/(extra-info one [\s\S]*router-sig-ed25519 )..../, '$1AAAA');
    expect(kinds(new Book().upload(body))).toEqual(['descriptor', 'refused']);
  });

  test('of nothing, of too much or of no text is refused', () => {
    const book = new Book();
    expect(messageOf(book.upload('nothing here\n'))).toContain('No descriptors found');
    expect(messageOf(book.upload('router x\n'.repeat(17)))).toContain('Too many documents');
    expect(messageOf(book.upload(Uint8Array.of(0xef, 0xbb, 0xbf, 0x72)))).toContain('UTF-8');
    expect(messageOf(book.upload(Uint8Array.of(0xff)))).toContain('UTF-8');
    expect(messageOf(book.upload('router x\n'))).toStartWith('Rejected: ');
  });
});
