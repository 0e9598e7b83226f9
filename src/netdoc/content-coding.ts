/**
 * Content encodings of the directory protocol: what a client says it takes, and which one an answer gets.
 *
 * Names are compared letter by letter, and quality values make a name unknown, as in C tor. There is no LZMA here.
 *
 * @source dir-spec "Standards compliance"; C tor 0.4.9.11 as it answered
 */

/** Encodings as bits. */
export const Encoding = { identity: 1, deflate: 2, gzip: 4, zstd: 8 } as const;

/** Name of an encoding in `Encoding`. */
export type EncodingName = keyof typeof Encoding;

/** What the Content-Encoding header says. */
export const ENCODING_HEADERS: Readonly<Record<EncodingName, string>> = {
  identity: 'identity',
  deflate: 'deflate',
  gzip: 'gzip',
  zstd: 'x-zstd',
};

const ACCEPTED = new Map<string, number>([
  ['identity', Encoding.identity],
  ['deflate', Encoding.deflate],
  ['gzip', Encoding.gzip],
  ['x-gzip', Encoding.gzip],
  ['x-zstd', Encoding.zstd],
]);

/** The order in which encodings are chosen, best first: C tor's, for stored documents and for those made on the way. */
const PREFERENCE: readonly EncodingName[] = ['zstd', 'deflate', 'gzip', 'identity'];

/** What headers said before: there are few that anyone sends. */
const READ_MAX = 64;
const READ_CHARS_MAX = 64;
const read = new Map<string, number>();

/** Read an Accept-Encoding header; identity is always accepted. @returns bits of `Encoding` */
export function acceptedEncodings(header: string): number {
  const known = read.get(header);
  if (known !== undefined) return known;
  let bits: number = Encoding.identity;
  for (const name of header.split(',')) bits |= ACCEPTED.get(name.trim()) ?? 0;
  if (header.length <= READ_CHARS_MAX && read.size < READ_MAX) read.set(header, bits);
  return bits;
}

/** Choose the encoding of an answer that is encoded for this client. */
export function chooseEncoding(accepted: number): EncodingName {
  return PREFERENCE.find((name) => (accepted & Encoding[name]) !== 0) ?? 'identity';
}

/**
 * Choose among the encodings in which a document is stored.
 *
 * A client that takes some encoding, but none that is stored, gets deflate where that is stored, asked for or not:
 * C tor does so, and every client reads it. One that takes none gets identity, be it inflated from what is stored.
 *
 * @param accepted - bits of `Encoding`
 * @param stored - bits of `Encoding`
 */
export function chooseStored(accepted: number, stored: number): EncodingName {
  if (accepted === Encoding.identity) return 'identity';
  const name = PREFERENCE.find((each) => (accepted & stored & Encoding[each]) !== 0);
  return name ?? ((stored & Encoding.deflate) !== 0 ? 'deflate' : 'identity');
}
