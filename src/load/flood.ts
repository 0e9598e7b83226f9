/**
 * Sends a flood: on every circuit as many cells as its goal and its window allow. As fast as it goes: round robin
 * over the circuits of a link, in writes of up to 127 cells. Paced: in whole bursts, round robin over the links, as
 * many as a token bucket allows at each tick of a millisecond: many links get a burst of one circuit now and then,
 * few links get several circuits' bursts at each tick.
 *
 * The buffers hold ready-made cells; per cell only the circuit id is written. One flood per end and direction.
 */
import { BODY_AT, CELL_BYTES, setCircId, setCommand } from '../cell/cell.ts';
import { Command } from '../cell/command.ts';
import { FLOOD_BODY } from './keystream.ts';
import type { LoadLink } from './link.ts';

/** Cells of one write; no burst is longer. */
export const BUFFER_CELLS = 127;
/** Writes to one link in a row, before the event loop gets its turn. */
const WRITES_PER_TURN = 8;
const POLL_MS = 1;
/** What a paced flood may catch up when its thread was kept waiting. */
const CATCH_UP_MS = 100;

interface Lane {
  readonly link: LoadLink;
  /** Circuits by their number in the tally, and their ids on this link. */
  readonly circuits: number[];
  readonly circIds: number[];
  next: number;
  readonly buffer: Uint8Array;
  from: number;
  to: number;
}

/** Where a flood stands. */
export interface FloodColumns {
  readonly sent: Uint32Array;
  readonly received: Uint32Array;
}

/** How a flood goes. */
export interface FloodCourse {
  /** Cells per circuit; null: until `halt`. */
  readonly cells: number | null;
  /** Cells of one circuit that may be under way. */
  readonly window: number;
  /** Cells of one circuit in a row. */
  readonly burst: number;
  /** Cells per second on all circuits together; null: as fast as the windows allow. */
  readonly cellsPerSec: number | null;
}

const ENDLESS = 0xffffffff;

/** All links and circuits that one end floods. */
export class Flood {
  readonly #lanes: Lane[] = [];
  readonly #byLink = new Map<LoadLink, Lane>();
  readonly #columns: FloodColumns;
  readonly #goal: Uint32Array;
  #course: FloodCourse = { cells: 0, window: 1, burst: 1, cellsPerSec: null };
  #going = false;
  /** Cells that a paced flood may send now, and since when they were counted. */
  #tokens = 0;
  #countedMs = 0;
  #nextLane = 0;

  constructor(columns: FloodColumns) {
    this.#columns = columns;
    this.#goal = new Uint32Array(columns.sent.length);
  }

  /** Add a circuit on a link. */
  add(link: LoadLink, circuit: number, circId: number): void {
    let lane = this.#byLink.get(link);
    if (lane === undefined) {
      const buffer = new Uint8Array(BUFFER_CELLS * CELL_BYTES);
      for (let at = 0; at < buffer.length; at += CELL_BYTES) {
        setCommand(buffer, at, Command.RELAY);
        buffer.set(FLOOD_BODY, at + BODY_AT);
      }
      lane = { link, circuits: [], circIds: [], next: 0, buffer, from: 0, to: 0 };
      this.#byLink.set(link, lane);
      this.#lanes.push(lane);
    }
    lane.circuits.push(circuit);
    lane.circIds.push(circId);
  }

  /** Send more on every circuit. */
  start(course: FloodCourse): void {
    this.#course = course;
    const { sent } = this.#columns;
    for (let i = 0; i < this.#goal.length; i++) {
      this.#goal[i] = course.cells === null ? ENDLESS : sent[i]! + course.cells;
    }
    this.#tokens = 0;
    this.#countedMs = performance.now();
    if (this.#going) return;
    this.#going = true;
    this.#turn();
  }

  /** Send nothing more but what is written already. */
  halt(): void {
    this.#goal.set(this.#columns.sent);
  }

  readonly #turn = (): void => {
    const paced = this.#course.cellsPerSec;
    const progress = paced === null ? this.#serveAll() : this.#servePaced(paced);
    if (this.#finished()) this.#going = false;
    else if (progress && paced === null) setImmediate(this.#turn);
    else setTimeout(this.#turn, POLL_MS);
  };

  #finished(): boolean {
    for (const lane of this.#lanes) {
      if (!lane.link.gone && (lane.from < lane.to || !this.#reached(lane))) return false;
    }
    return true;
  }

  #reached(lane: Lane): boolean {
    for (const circuit of lane.circuits)
      if (this.#columns.sent[circuit]! < this.#goal[circuit]!) return false;
    return true;
  }

  #serveAll(): boolean {
    let progress = false;
    for (const lane of this.#lanes) if (this.#serve(lane)) progress = true;
    return progress;
  }

  /** Spend the tokens on whole bursts: to each link in turn one, or its share if that is more. */
  #servePaced(cellsPerSec: number): boolean {
    const nowMs = performance.now();
    const { burst } = this.#course;
    const most = Math.max(burst, (cellsPerSec * CATCH_UP_MS) / 1000);
    const earned = ((nowMs - this.#countedMs) * cellsPerSec) / 1000;
    this.#tokens = Math.min(most, this.#tokens + earned);
    this.#countedMs = nowMs;
    const { length } = this.#lanes;
    const share = Math.min(BUFFER_CELLS, Math.max(burst, this.#tokens / length));
    let idle = 0;
    while (this.#tokens >= burst && idle < length) {
      const lane = this.#lanes[this.#nextLane]!;
      this.#nextLane = (this.#nextLane + 1) % length;
      let cells = 0;
      if (lane.from === lane.to) {
        cells = this.#fill(lane, Math.floor(Math.min(share, this.#tokens) / burst) * burst);
        this.#tokens -= cells;
      }
      idle = cells > 0 ? 0 : idle + 1;
      this.#write(lane);
    }
    // A link whose socket was full must not wait for its turn among the tokens.
    for (const lane of this.#lanes) if (lane.from < lane.to) this.#write(lane);
    return true;
  }

  /** Write to one link until its socket or its windows are full. Returns whether anything went out. */
  #serve(lane: Lane): boolean {
    let progress = false;
    for (let writes = 0; writes < WRITES_PER_TURN; writes++) {
      if (lane.from === lane.to && this.#fill(lane, BUFFER_CELLS) === 0) break;
      if (!this.#write(lane)) break;
      progress = true;
      if (lane.from < lane.to) break;
    }
    return progress;
  }

  #write(lane: Lane): boolean {
    if (lane.from === lane.to) return false;
    const taken = lane.link.write(lane.buffer, lane.from, lane.to - lane.from);
    lane.from += taken;
    return taken > 0;
  }

  /** Put up to `most` next cells into the empty buffer; returns how many. */
  #fill(lane: Lane, most: number): number {
    lane.from = 0;
    lane.to = 0;
    if (lane.link.gone) return 0;
    const { circuits, circIds, buffer } = lane;
    const { sent, received } = this.#columns;
    const { window, burst } = this.#course;
    const count = circuits.length;
    let filled = 0;
    let idle = 0;
    while (idle < count && filled < most) {
      const circuit = circuits[lane.next]!;
      const already = sent[circuit]!;
      const may = Math.min(
        this.#goal[circuit]! - already,
        window - (already - received[circuit]!),
        burst,
        most - filled,
      );
      if (may > 0) {
        for (let i = 0; i < may; i++) setCircId(buffer, (filled + i) * CELL_BYTES, circIds[lane.next]!);
        filled += may;
        sent[circuit] = already + may;
        idle = 0;
      } else idle++;
      lane.next = lane.next + 1 === count ? 0 : lane.next + 1;
    }
    lane.to = filled * CELL_BYTES;
    return filled;
  }
}
