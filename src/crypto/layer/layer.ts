/**
 * What a relay, and a client, do to relay cells of one circuit, whatever the cipher suite.
 *
 * The circuit folder holds one `RelayLayer` per circuit and calls it for every cell; a client holds one
 * `ClientLayer` per hop. `at` is always the offset of the 509-byte relay body in `bytes`; unless said otherwise
 * everything happens in place. Cells of one direction must pass in the order in which they travel: each call moves a keystream.
 * @source tor-spec "Routing relay cells"
 */

/** Not for this hop: pass it on. */
export const PASS = 0;
/** For this hop: the body is plaintext now. */
export const RECOGNISED = 1;

/** A relay's side of a circuit. */
export interface RelayLayer {
  /** Decrypt a cell from the client: `PASS` or `RECOGNISED`. */
  decryptForward(bytes: Uint8Array, at: number): number;
  /** Encrypt a cell from the next hop, on its way to the client. */
  encryptBackward(bytes: Uint8Array, at: number): void;
  /**
   * Decrypt `bodies` bodies from the client that stand one behind the other, into a new buffer, which the caller owns.
   * A call costs more than a body: several at once cost much less than one by one.
   */
  decryptBodies(bytes: Uint8Array, at: number, bodies: number): Uint8Array;
  /** Tell for whom a body is that `decryptBodies` gave: `PASS` or `RECOGNISED`. In order, each once. */
  recogniseForward(bytes: Uint8Array, at: number): number;
  /**
   * As `recogniseForward`, at half the cost, for a hop behind which there is none: whatever is not recognised ends the
   * circuit, because the digest has moved for it, too.
   */
  recogniseLast(bytes: Uint8Array, at: number): number;
  /** Encrypt `bodies` bodies on their way to the client, as `decryptBodies` decrypts them. */
  encryptBodies(bytes: Uint8Array, at: number, bodies: number): Uint8Array;
  /** Seal and encrypt a message of our own; its digest field must be zero. */
  originateBackward(bytes: Uint8Array, at: number): void;
  /**
   * Seal a message of our own and leave it to be encrypted: by `encryptBodies`, together with others that were sealed
   * right before or after it and stand beside it, in the order in which they were sealed.
   */
  sealBackward(bytes: Uint8Array, at: number): void;
  /** The tag of the last cell that was recognised, which a SENDME for it must carry; made when it is asked for. */
  readonly forwardTag: Uint8Array;
  /** The tag of the last cell that we originated, which the client's SENDME for it must carry. */
  readonly backwardTag: Uint8Array;
}

/** A client's side of one hop. */
export interface ClientLayer {
  /** Seal and encrypt a message for this hop; its digest field must be zero. Encrypt for nearer hops next. */
  originateForward(bytes: Uint8Array, at: number): void;
  /** Encrypt a cell for a farther hop. */
  encryptForward(bytes: Uint8Array, at: number): void;
  /** Take off this hop's encryption: `RECOGNISED` if the hop originated the cell, else `PASS`. */
  decryptBackward(bytes: Uint8Array, at: number): number;
  /** The tag of the last cell that we originated for this hop. */
  readonly forwardTag: Uint8Array;
  /** The tag of the last cell that was recognised as this hop's. */
  readonly backwardTag: Uint8Array;
}
