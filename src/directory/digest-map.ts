/** A map whose keys are digests: arrays of bytes that are equal when their bytes are. */

/** Maps digests to values, in the order in which they came. */
export class DigestMap<T> {
  readonly #map = new Map<string, T>();

  get size(): number {
    return this.#map.size;
  }

  get(digest: Uint8Array): T | undefined {
    return this.#map.get(keyOf(digest));
  }

  has(digest: Uint8Array): boolean {
    return this.#map.has(keyOf(digest));
  }

  set(digest: Uint8Array, value: T): void {
    this.#map.set(keyOf(digest), value);
  }

  /** @returns whether it was there */
  delete(digest: Uint8Array): boolean {
    return this.#map.delete(keyOf(digest));
  }

  clear(): void {
    this.#map.clear();
  }

  values(): IterableIterator<T> {
    return this.#map.values();
  }
}

function keyOf(digest: Uint8Array): string {
  return Buffer.from(digest.buffer, digest.byteOffset, digest.length).toString('latin1');
}
