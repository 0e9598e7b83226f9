/**
 * Base16, base32 and base64 as Tor's documents and key files use them.
 *
 * Decoders return null for text that they did not themselves print: no whitespace, no foreign characters, no
 * stray bits behind the last byte. So a value has one spelling (but for the case of base16 and base32, and
 * base64's padding), and a signature over the text and one over the bytes mean the same. All are linear.
 */

/** Print bytes as base16 in upper case, the way fingerprints are written. */
export function encodeHex(bytes: Uint8Array): string {
  return bytes.toHex().toUpperCase();
}

/** Read base16 of either case. Returns null unless it is an even number of digits. */
export function decodeHex(text: string): Uint8Array | null {
  return text.length % 2 === 0 && /^[0-9a-fA-F]*$/.test(text) ? Uint8Array.fromHex(text) : null;
}

/** Print bytes as base64 with its `=` padding, in one line. */
export function encodeBase64(bytes: Uint8Array): string {
  return bytes.toBase64();
}

/** Print bytes as base64 without padding, as `ntor-onion-key` and router status lines have it. */
export function encodeBase64Unpadded(bytes: Uint8Array): string {
  return bytes.toBase64({ omitPadding: true });
}

/**
 * Read base64, either padded in full or not at all.
 *
 * Returns null for whitespace, foreign characters, half a padding, and unused bits that are not zero.
 */
export function decodeBase64(text: string): Uint8Array | null {
  const body = text.endsWith('==') ? text.slice(0, -2) : text.endsWith('=') ? text.slice(0, -1) : text;
  if (body.length % 4 === 1 || !/^[A-Za-z0-9+/]*$/.test(body)) return null;
  const padding = (4 - (body.length % 4)) % 4;
  if (body.length !== text.length && text.length - body.length !== padding) return null;
  if (padding > 0) {
    const unused = BASE64_DIGITS.indexOf(body[body.length - 1]!) & (padding === 2 ? 0x0f : 0x03);
    if (unused !== 0) return null;
  }
  return Uint8Array.fromBase64(body);
}

const BASE64_DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const BASE32_DIGITS = 'abcdefghijklmnopqrstuvwxyz234567';

/** Print bytes as base32 (RFC 4648) in lower case, without padding. */
export function encodeBase32(bytes: Uint8Array): string {
  let text = '';
  let held = 0;
  let bits = 0;
  for (const byte of bytes) {
    held = (held << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += BASE32_DIGITS[(held >>> bits) & 31];
    }
    held &= (1 << bits) - 1;
  }
  if (bits > 0) text += BASE32_DIGITS[(held << (5 - bits)) & 31];
  return text;
}

/** Read base32 of either case, without padding. Returns null for anything that no encoder prints. */
export function decodeBase32(text: string): Uint8Array | null {
  const out = new Uint8Array(Math.floor((text.length * 5) / 8));
  const unused = text.length * 5 - out.length * 8;
  if (unused >= 5) return null;
  let held = 0;
  let bits = 0;
  let at = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = base32Digit(text.charCodeAt(i));
    if (digit < 0) return null;
    held = (held << 5) | digit;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      out[at++] = held >>> bits;
      held &= (1 << bits) - 1;
    }
  }
  return held === 0 ? out : null;
}

function base32Digit(code: number): number {
  if (code >= 97 && code <= 122) return code - 97;
  if (code >= 65 && code <= 90) return code - 65;
  if (code >= 50 && code <= 55) return code - 50 + 26;
  return -1;
}

/** Print bytes as padded base64 in lines of `width` characters, each ended by a newline: the body of a PEM object. */
export function wrapBase64(bytes: Uint8Array, width = 64): string {
  const text = encodeBase64(bytes);
  let lines = '';
  for (let at = 0; at < text.length; at += width) lines += `${text.slice(at, at + width)}\n`;
  return lines;
}
