/**
 * What the streams of one worker that leave for destinations share: their buffers, what they hold, and who has bytes to
 * pass on at the end of the turn.
 */
import type { BufferPool } from '../channel/buffer-pool.ts';
import type { ExitStream } from './exit-stream.ts';

/** Shared by the exit streams of a worker. */
export interface ExitPlane {
  /** Buffers for bytes on their way to destinations. */
  readonly buffers: BufferPool;
  /** Chunks of destinations whose bytes wait to be sent to clients: whole ones, however little of each is left. */
  incomingBytes: number;
  /** Streams with bytes for their destination that were not offered to it yet. */
  dirty: ExitStream[];
  /** Streams whose reading waits for bandwidth, and those whose writing does. */
  readWaiting: ExitStream[];
  writeWaiting: ExitStream[];
  /** Open connections, those that are being made, and those that only pass on their last bytes. */
  sockets: number;
  /** Streams that are gone and still have bytes to pass on, oldest first. */
  lingering: ExitStream[];
  /** Monotonic milliseconds of the turn. */
  now(): number;
  /** A turn is wanted. */
  wake(): void;
  /** Bytes came from a destination (any traffic of ours counts so). Returns whether more may be read now. */
  onRead(bytes: number, isPrivate: boolean): boolean;
  /** Whether bytes may be written now. */
  mayWrite(isPrivate: boolean): boolean;
  onWritten(bytes: number, isPrivate: boolean): void;
}
