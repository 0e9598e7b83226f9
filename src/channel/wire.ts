/**
 * What a channel needs of the transport below it. `channel/tls` implements it over a Bun TLS socket, the simulator
 * over a faulty in-memory pipe.
 */
export interface Wire {
  /**
   * Hand `length` bytes of `bytes`, from `from` on, to the transport. Returns how many it took; the rest stays the
   * caller's, to be offered again after `onDrain`. The buffer is the caller's again as soon as this returns.
   */
  write(bytes: Uint8Array, from: number, length: number): number;
  /**
   * Tell the peer at once what came, instead of when there is something to send along, or after some 40 ms. A peer
   * that gathers small writes, as C tor does, holds the next one back until then.
   */
  acknowledge(): void;
  /** Stop reading. What was already received is still delivered. */
  pause(): void;
  /** Read again. */
  resume(): void;
  /** Close after what was accepted has been sent, or after a little while. Nothing more is written. */
  close(): void;
  /** Close at once. */
  abort(): void;
}
