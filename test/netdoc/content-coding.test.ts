import { expect, test } from 'bun:test';
import {
  acceptedEncodings,
  chooseEncoding,
  chooseStored,
  ENCODING_HEADERS,
  Encoding,
} from '../../src/netdoc/content-coding.ts';

const { identity, deflate, gzip, zstd } = Encoding;
/** What we keep of a consensus, and of a diff, if stored as C tor does it. */
const CONSENSUS = deflate | zstd;
const DIFF = identity | gzip | zstd;

test('names are taken letter by letter; anything else is identity', () => {
  expect(acceptedEncodings('')).toBe(identity);
  expect(acceptedEncodings('deflate, gzip,x-zstd , ,identity')).toBe(identity | deflate | gzip | zstd);
  expect(acceptedEncodings('x-gzip')).toBe(identity | gzip);
  for (const header of ['GZIP', 'gzip;q=1', '*', 'x-tor-lzma', 'zstd', 'gzip deflate'])
    expect(acceptedEncodings(header), header).toBe(identity);
});

test('what is encoded on the way: zstd, then deflate, then gzip', () => {
  expect(chooseEncoding(identity | deflate | gzip | zstd)).toBe('zstd');
  expect(chooseEncoding(identity | deflate | gzip)).toBe('deflate');
  expect(chooseEncoding(identity | gzip)).toBe('gzip');
  expect(chooseEncoding(identity)).toBe('identity');
});

test('stored consensuses: deflate is the fallback of who takes anything but identity', () => {
  expect(chooseStored(identity | deflate | gzip | zstd, CONSENSUS)).toBe('zstd');
  expect(chooseStored(identity | deflate, CONSENSUS)).toBe('deflate');
  expect(chooseStored(identity | gzip, CONSENSUS)).toBe('deflate');
  expect(chooseStored(identity, CONSENSUS)).toBe('identity');
});

test('stored diffs: identity is the fallback', () => {
  expect(chooseStored(identity | deflate | gzip | zstd, DIFF)).toBe('zstd');
  expect(chooseStored(identity | gzip, DIFF)).toBe('gzip');
  expect(chooseStored(identity | deflate, DIFF)).toBe('identity');
  expect(chooseStored(identity, DIFF)).toBe('identity');
  expect(chooseStored(gzip, zstd)).toBe('identity');
});

test('headers say the names that were understood', () => {
  for (const [name, header] of Object.entries(ENCODING_HEADERS))
    expect(acceptedEncodings(header)).toBe(identity | Encoding[name as keyof typeof Encoding]);
});
