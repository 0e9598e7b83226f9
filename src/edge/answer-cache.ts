/**
 * Compressed answers that may be asked for again, of one worker: within a bound, those that were asked for last.
 *
 * Clients that start anew with the same consensus ask for its microdescriptors in the same lists, and each list is
 * compressed together, as that saves two fifths of what they are apart. What is kept is the answer's body; it belongs
 * to one state of the documents, and all goes when that changes.
 */

/** Each entry's own, about, beside its bytes and its name. */
const ENTRY_BYTES = 128;

/** Bodies by the names of what was asked for. */
export class AnswerCache {
  /** Bytes of all bodies and names. */
  heldBytes = 0;
  private readonly bytesMost: number;
  /** The one asked for last comes last. */
  private readonly bodies = new Map<string, Uint8Array>();

  constructor(bytesMost: number) {
    this.bytesMost = bytesMost;
  }

  find(name: string): Uint8Array | null {
    const body = this.bodies.get(name);
    if (body === undefined) return null;
    this.bodies.delete(name);
    this.bodies.set(name, body);
    return body;
  }

  /** Keep a body; what was not asked for the longest goes. The body is not to be written any more. */
  keep(name: string, body: Uint8Array): void {
    const bytes = bytesOf(name, body);
    // One that is a good part of all would drive out too many others.
    if (bytes * 8 > this.bytesMost || this.bodies.has(name)) return;
    this.bodies.set(name, body);
    this.heldBytes += bytes;
    for (const [oldest, old] of this.bodies) {
      if (this.heldBytes <= this.bytesMost) return;
      this.bodies.delete(oldest);
      this.heldBytes -= bytesOf(oldest, old);
    }
  }

  clear(): void {
    this.bodies.clear();
    this.heldBytes = 0;
  }
}

function bytesOf(name: string, body: Uint8Array): number {
  return ENTRY_BYTES + name.length + body.length;
}
