/**
 * Sends a flood: on every circuit as many cells as its goal and its window allow, round robin over the circuits of a
 * link, in writes of up to 127 cells.
 *
 * The buffers hold ready-made cells; per cell only the circuit id is written. One flood per end and direction.
 */
import { BODY_AT, CELL_BYTES, setCircId, setCommand } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import { FLOOD_BODY } from './keystream.ts';
import type { LoadLink } from './load-link.ts';

const BUFFER_CELLS = 127;
/** Writes to one link in a row, before the event loop gets its turn. */
const WRITES_PER_TURN = 8;
const POLL_MS = 1;

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

/** All links and circuits that one end floods. */
export class Flood {
  readonly #lanes = new Map<LoadLink, Lane>();
  readonly #columns: FloodColumns;
  readonly #goal: Uint32Array;
  #window = 1;
  #burst = 1;
  #going = false;

  constructor(columns: FloodColumns) {
    this.#columns = columns;
    this.#goal = new Uint32Array(columns.sent.length);
  }

  /** Add a circuit on a link. */
  add(link: LoadLink, circuit: number, circId: number): void {
    let lane = this.#lanes.get(link);
    if (lane === undefined) {
      const buffer = new Uint8Array(BUFFER_CELLS * CELL_BYTES);
      for (let at = 0; at < buffer.length; at += CELL_BYTES) {
        setCommand(buffer, at, Command.RELAY);
        buffer.set(FLOOD_BODY, at + BODY_AT);
      }
      lane = { link, circuits: [], circIds: [], next: 0, buffer, from: 0, to: 0 };
      this.#lanes.set(link, lane);
    }
    lane.circuits.push(circuit);
    lane.circIds.push(circId);
  }

  /** Send `cells` more on every circuit, of which `window` may be under way; `burst` in a row per circuit. */
  start(cells: number, window: number, burst: number): void {
    this.#window = window;
    this.#burst = burst;
    for (let i = 0; i < this.#goal.length; i++) this.#goal[i] = this.#columns.sent[i]! + cells;
    if (this.#going) return;
    this.#going = true;
    this.#turn();
  }

  readonly #turn = (): void => {
    let progress = false;
    let finished = true;
    for (const lane of this.#lanes.values()) {
      if (this.#serve(lane)) progress = true;
      if (lane.from < lane.to || !this.#reached(lane)) finished = false;
    }
    if (finished) this.#going = false;
    else if (progress) setImmediate(this.#turn);
    else setTimeout(this.#turn, POLL_MS);
  };

  #reached(lane: Lane): boolean {
    for (const circuit of lane.circuits)
      if (this.#columns.sent[circuit]! < this.#goal[circuit]!) return false;
    return true;
  }

  /** Write to one link until its socket or its windows are full. Returns whether anything went out. */
  #serve(lane: Lane): boolean {
    if (lane.link.gone) return false;
    let progress = false;
    for (let writes = 0; writes < WRITES_PER_TURN; writes++) {
      if (lane.from === lane.to && !this.#fill(lane)) break;
      const taken = lane.link.write(lane.buffer, lane.from, lane.to - lane.from);
      if (taken === 0) break;
      progress = true;
      lane.from += taken;
      if (lane.from < lane.to) break;
    }
    return progress;
  }

  /** Put the next cells into the empty buffer. */
  #fill(lane: Lane): boolean {
    const { circuits, circIds, buffer } = lane;
    const { sent, received } = this.#columns;
    const count = circuits.length;
    let at = 0;
    let idle = 0;
    while (idle < count && at < buffer.length) {
      const circuit = circuits[lane.next]!;
      const already = sent[circuit]!;
      const may = Math.min(
        this.#goal[circuit]! - already,
        this.#window - (already - received[circuit]!),
        this.#burst,
        (buffer.length - at) / CELL_BYTES,
      );
      if (may > 0) {
        for (let i = 0; i < may; i++) {
          setCircId(buffer, at, circIds[lane.next]!);
          at += CELL_BYTES;
        }
        sent[circuit] = already + may;
        idle = 0;
      } else idle++;
      lane.next = lane.next + 1 === count ? 0 : lane.next + 1;
    }
    lane.from = 0;
    lane.to = at;
    return at > 0;
  }
}
