/** One array from several. */

/** Join `parts` into a new array, whose bytes are its own: no view of a shared buffer, as `Buffer.concat` may give. */
export function joinAll(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
