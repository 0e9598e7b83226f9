/**
 * Parts of a worker as a simulation wants them: bells that ring on one thread, and stores in which whatever is given
 * back is spoilt at once, so that nobody reads it unnoticed.
 */
import type { BufferPool } from '../../src/channel/buffer-pool.ts';
import type { Doorbell } from '../../src/shm/doorbell.ts';
import { Ring } from '../../src/shm/ring.ts';
import type { DataPlane } from '../../src/worker/data-plane.ts';

const SPOILT = 0xee;
/** Enough of a long buffer to spoil any cell that is read first. */
const SPOILT_BYTES = 2048;
/** Where a ring's shared words are (`shm/ring`). */
const TAIL_WORD = 32;
const SLOTS_AT = 256;

/** The doorbell of a worker that takes its turns when the world lets it. */
export class SimBell {
  asleep = false;
  private readonly onWake: () => void;

  constructor(onWake: () => void) {
    this.onWake = onWake;
  }

  ring(): boolean {
    if (!this.asleep) return false;
    this.asleep = false;
    this.onWake();
    return true;
  }

  /** For whom only a real one will do. */
  get asDoorbell(): Doorbell {
    return this as unknown as Doorbell;
  }
}

/** A ring whose slots are spoilt when the reader gives them back, as a fast writer might fill them. */
export class SimRing extends Ring {
  private readonly onTaken: () => void;

  /** @param onTaken told whenever the reader has given slots back */
  constructor(sab: SharedArrayBuffer, readerBell: Doorbell, writerBell: Doorbell, onTaken: () => void) {
    super(sab, readerBell, writerBell);
    this.onTaken = onTaken;
  }

  override release(): boolean {
    const words = new Int32Array(this.u8.buffer);
    const before = words[TAIL_WORD]!;
    const asked = super.release();
    if (before !== words[TAIL_WORD]) this.onTaken();
    const stride = (this.u8.length - SLOTS_AT) / this.capacity;
    for (let slot = before; slot !== words[TAIL_WORD]; slot = (slot + 1) | 0) {
      const at = SLOTS_AT + (slot & (this.capacity - 1)) * stride;
      this.u8.fill(SPOILT, at, at + stride);
    }
    return asked;
  }
}

/** From now on what this data plane frees is spoilt. */
export function spoilFreed(data: DataPlane): void {
  const { parked } = data.plane;
  const free = parked.free.bind(parked);
  parked.free = (slot) => {
    const at = parked.offsetOf(slot);
    parked.bufferOf(slot).fill(SPOILT, at, at + parked.slotBytes);
    free(slot);
  };
  for (const pool of [data.staging, data.carries]) spoilGiven(pool);
}

function spoilGiven(pool: BufferPool): void {
  const give = pool.give.bind(pool);
  pool.give = (buffer) => {
    buffer.fill(SPOILT, 0, SPOILT_BYTES);
    give(buffer);
  };
}
