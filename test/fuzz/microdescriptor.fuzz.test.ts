/** Damaged microdescriptors: taken or refused; what is taken has its keys, and its digest is that of its bytes. */
import { expect } from 'bun:test';
import { sha256 } from '../../src/crypto/digest.ts';
import { parseMicrodescriptor, parseMicrodescriptors } from '../../src/netdoc/microdescriptor.ts';
import { bytesOf, readCases } from '../netdoc/fixture.ts';
import { fuzz } from './fuzz.ts';

fuzz('microdescriptors', {
  corpus: readCases('microdescriptors.txt').map(({ document }) => document),
  dictionary: [
    '\nonion-key\n',
    '\n@last-listed ',
    '\nid ed25519 ',
    '\np accept ',
    '\nfamily-ids ',
    '\na [::1]:1\n',
    '\0',
  ].map(bytesOf),
  run: (bytes) => {
    const { list, bad, problems } = parseMicrodescriptors(bytes);
    expect(bad.length).toBe(problems.length);
    for (const { microdescriptor } of list) {
      expect(microdescriptor.digest).toEqual(sha256(microdescriptor.document));
      expect(microdescriptor.ntorOnionKey.length).toBe(32);
      expect(parseMicrodescriptor(microdescriptor.document)).toEqual(microdescriptor);
    }
  },
});
