/**
 * What streams are carried by: one circuit, or a conflux set of them.
 *
 * Streams ask how many DATA cells may go now and hand over whole bodies; which leg they take, how they are sealed and
 * what they cost in windows is the carrier's business. A carrier never waits: what it says it has room for, it takes.
 */

/** Carries the messages of streams to their client. */
export interface Carrier {
  /** Whether other messages of streams, which need no room, may stand between the bodies of DATA. */
  readonly mixes: boolean;
  /**
   * How many DATA cells may be sent now: congestion or SENDME window, and the circuit's queue below cellq_high. 0 when
   * none may; the streams are served again once that changes.
   */
  room(): number;
  /** Send a relay message of a stream to the client. False when the circuit died of it. */
  send(command: number, streamId: number, data: Uint8Array): boolean;
  /**
   * Send DATA: `count` relay bodies (509 bytes each), one behind the other from the start of `bodies`, with command,
   * stream id, length, data and padding in place and zeros in the recognised and digest fields. At most `room()` of
   * them are DATA, and none anything else unless the carrier `mixes`; they are changed. False when the circuit died of
   * it.
   */
  sendBodies(bodies: Uint8Array, count: number): boolean;
  /** Close what carries: DESTROY with this reason. */
  close(reason: number): void;
}
