/**
 * A keyed 32-bit hash for shared tables whose keys a peer may choose: HalfSipHash-2-4.
 *
 * The key is random per process, so that nobody outside can pick identities or addresses that fall on one bucket.
 *
 * @source github.com/veorq/SipHash, halfsiphash.c (the algorithm and its test vectors)
 */

/** Hash bytes under a 64-bit key, given as two 32-bit words. Returns an unsigned 32-bit number. */
export function keyedHash(key0: number, key1: number, bytes: Uint8Array): number {
  let v0 = key0 | 0;
  let v1 = key1 | 0;
  let v2 = 0x6c796765 ^ key0;
  let v3 = 0x74656462 ^ key1;
  const whole = bytes.length & ~3;
  // Whole words, then the tail with the length on top, then four rounds to finish.
  for (let at = 0, rounds = 2; rounds > 0; at += 4) {
    let word = 0;
    if (at < whole) {
      word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    } else if (at === whole) {
      word = bytes.length << 24;
      for (let i = whole; i < bytes.length; i++) word |= bytes[i]! << (8 * (i - whole));
    } else {
      v2 ^= 0xff;
      rounds = 4;
    }
    v3 ^= word;
    for (let round = 0; round < rounds; round++) {
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
    }
    v0 ^= word;
    if (rounds === 4) return (v1 ^ v3) >>> 0;
  }
  return 0;
}
