/**
 * Every message between main and the clerk: jobs on whole documents, one at a time, and what came of them.
 *
 * Texts travel as shared memory, which nobody writes into once it is lettered.
 */

/** A stored consensus, deflated: in memory, or the rest of a file from an offset on. */
export type StoredText =
  | { readonly kind: 'memory'; readonly deflated: SharedArrayBuffer }
  | { readonly kind: 'file'; readonly path: string; readonly offset: number };

/** What the clerk is asked to do. */
export type ClerkJob =
  /** Compress a consensus, and find its digests. */
  | { readonly kind: 'pack'; readonly text: SharedArrayBuffer }
  /** Make the diff from an older consensus. The number is the same for all jobs with the same target. */
  | {
      readonly kind: 'diff';
      readonly base: StoredText;
      readonly target: SharedArrayBuffer;
      readonly targetNumber: number;
    }
  /** Compress short documents, each by itself; they lie one behind the other. */
  | { readonly kind: 'squeeze'; readonly text: SharedArrayBuffer; readonly lengths: Uint32Array };

/** What came of it. */
export type ClerkAnswer =
  | {
      readonly kind: 'packed';
      readonly deflate: SharedArrayBuffer;
      readonly zstd: SharedArrayBuffer;
      /** SHA3-256 of the whole, and of the signed part. */
      readonly digest: Uint8Array;
      readonly signedDigest: Uint8Array;
    }
  | {
      readonly kind: 'diffed';
      readonly gzip: SharedArrayBuffer;
      readonly zstd: SharedArrayBuffer;
      /** SHA3-256 of the base's signed part. */
      readonly baseDigest: Uint8Array;
    }
  | { readonly kind: 'squeezed'; readonly zstd: LaidOut; readonly deflate: LaidOut };

/** Documents one behind the other. */
export interface LaidOut {
  readonly bytes: SharedArrayBuffer;
  readonly lengths: Uint32Array;
}

export interface LetterToClerk {
  readonly id: number;
  readonly job: ClerkJob;
}

/** A fault is the document's or the file's; when the clerk itself errs, it dies without an answer. */
export type LetterFromClerk =
  | { readonly id: number; readonly answer: ClerkAnswer }
  | { readonly id: number; readonly fault: string };
