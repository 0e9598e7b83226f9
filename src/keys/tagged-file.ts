/**
 * The two ways in which C tor writes a key to a file: tagged binary, and PEM with a zero byte behind it.
 *
 * Pure: bytes in, bytes out. A tagged file starts with 32 bytes, `== FORM: TAG ==` filled up with zeros, and
 * goes on with the content; the tag says what the key is for, so that a file under a wrong name is noticed.
 * Files are small: the caller reads at most `KEY_FILE_BYTES_MAX`.
 */

import { assert, Malformed } from '../fault.ts';

/** No key file of C tor's is nearly as large. */
export const KEY_FILE_BYTES_MAX = 16_384;

const HEADER_BYTES = 32;

/** What one kind of tagged file holds. */
export interface TaggedForm {
  /** C tor's name of the format. */
  readonly form: string;
  /** What the key is for. */
  readonly tag: string;
  /** Length of the content. */
  readonly bytes: number;
}

/** The tagged files of a relay's `keys` directory, by what they hold. */
export const TaggedForms = {
  masterSecret: { form: 'ed25519v1-secret', tag: 'type0', bytes: 64 },
  masterPublic: { form: 'ed25519v1-public', tag: 'type0', bytes: 32 },
  signingSecret: { form: 'ed25519v1-secret', tag: 'type4', bytes: 64 },
  signingCert: { form: 'ed25519v1-cert', tag: 'type4', bytes: 140 },
  onionKey: { form: 'c25519v1', tag: 'onion', bytes: 64 },
} as const satisfies Record<string, TaggedForm>;

function header({ form, tag }: TaggedForm): Uint8Array {
  const text = new TextEncoder().encode(`== ${form}: ${tag} ==`);
  assert(text.length <= HEADER_BYTES, 'a key file header has 32 bytes');
  const out = new Uint8Array(HEADER_BYTES);
  out.set(text);
  return out;
}

/** Encode a tagged key file. New bytes: 32 of header, then the content. */
export function encodeTagged(form: TaggedForm, content: Uint8Array): Uint8Array {
  assert(content.length === form.bytes, `a ${form.form} file holds ${form.bytes} bytes`);
  const out = new Uint8Array(HEADER_BYTES + content.length);
  out.set(header(form));
  out.set(content, HEADER_BYTES);
  return out;
}

/** The readable part of a header, for messages; null when it is not the header of any tagged file. */
function headerText(file: Uint8Array): string | null {
  const text = new TextDecoder('latin1').decode(file.subarray(0, HEADER_BYTES)).replace(/\0+$/, '');
  return /^== [\x21-\x7e]+: [\x21-\x7e]+ ==$/.test(text) ? text : null;
}

/**
 * Decode a tagged key file. Returns a copy of its content.
 *
 * @throws Malformed when it is cut short, too long, or holds something else.
 */
export function decodeTagged(form: TaggedForm, file: Uint8Array): Uint8Array {
  const noun = 'key file';
  const wanted = HEADER_BYTES + form.bytes;
  const found = headerText(file);
  const expected = header(form);
  if (file.length < HEADER_BYTES) throw new Malformed(noun, `truncated: ${file.length} of ${wanted} bytes`);
  if (Buffer.compare(file.subarray(0, HEADER_BYTES), expected) !== 0) {
    const instead = found === null ? 'no such header' : `"${found}"`;
    throw new Malformed(noun, `wrong tag: "${headerText(expected)}" expected, ${instead} found`);
  }
  if (file.length < wanted) throw new Malformed(noun, `truncated: ${file.length} of ${wanted} bytes`);
  if (file.length > wanted) throw new Malformed(noun, `too long: ${file.length} bytes instead of ${wanted}`);
  return file.slice(HEADER_BYTES);
}

/** Encode PEM text as C tor's file: with one zero byte behind the last line. */
export function encodePemFile(pem: string): Uint8Array {
  return new TextEncoder().encode(`${pem}\0`);
}

/**
 * Decode a PEM file to its text, with or without C tor's zero byte.
 *
 * @throws Malformed when it is not one whole PEM object with this label.
 */
export function decodePemFile(label: string, file: Uint8Array): string {
  const text = new TextDecoder('latin1').decode(file).replace(/\0+$/, '').trim();
  const begin = `-----BEGIN ${label}-----`;
  const end = `-----END ${label}-----`;
  if (text.length === 0) throw new Malformed('key file', 'empty');
  if (!text.startsWith(begin)) throw new Malformed('key file', `does not begin with "${begin}"`);
  if (!text.endsWith(end)) throw new Malformed('key file', `truncated: does not end with "${end}"`);
  if (text.indexOf('-----', begin.length) !== text.length - end.length) {
    throw new Malformed('key file', 'more than one PEM object');
  }
  return `${text}\n`;
}
