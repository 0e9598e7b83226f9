/**
 * @hot
 * Relay cells of one chunk, gathered by circuit, so that each circuit's cells pass its cipher together.
 *
 * A call of the cipher costs as much as several cells. So the cells of a chunk (or of a stretch of a ring) are listed
 * by leg as they are found, and served when the chunk ends, or before anything else happens to a circuit: all cells of
 * one leg in a row, legs in the order in which their first cells came. Cells of one circuit and direction keep their
 * order; those of different circuits have none to keep.
 * Invariants: all cells listed lie in one buffer, which stays untouched until they are served; a leg is listed exactly
 * while its `batchFirst` names a cell; a circuit that ends takes its cells off the list (`circuit-table` does).
 * Who calls: `relay-cell` lists, `circuits` and `remote-leg` serve.
 */
import { BODY_AT, BODY_BYTES, copyBody } from '../cell/cell.ts';
import { assert } from '../fault.ts';
import { type CircuitTable, OWNED } from './circuit-table.ts';

/** Cells listed at most; as many as a chunk holds. */
const CELLS_MAX = 1024;
/** Bodies that pass a cipher at once: what they fill stays in the cache. */
export const TOGETHER = 32;
/** No cell comes behind, or none is listed. */
export const NONE = -1;
const NOTHING = new Uint8Array(0);

/** What becomes of listed cells. */
export interface BatchServer {
  /**
   * Take the cells of a leg: `count` bodies one behind the other from `at` of `bytes`; `first` is the first one's place
   * in the list. Returns false when the circuit has ended.
   */
  serveBodies(leg: number, first: number, bytes: Uint8Array, at: number, count: number): boolean;
  /** Pass on the cells of a leg without a cipher, from `first` of the list on, until the circuit ends. */
  passCells(leg: number, first: number): void;
}

/** The list. One per worker. */
export class RelayBatch {
  /** Where each listed cell lies, and which one of the same leg comes behind it. */
  readonly at = new Int32Array(CELLS_MAX);
  readonly behind = new Int32Array(CELLS_MAX);
  /** The buffer in which they lie. */
  bytes: Uint8Array = NOTHING;
  private readonly legs = new Int32Array(CELLS_MAX);
  private readonly gathered = new Uint8Array(TOGETHER * BODY_BYTES);
  private cells = 0;
  private legCount = 0;
  private serving = false;

  /** Cells that wait to be served. */
  get length(): number {
    return this.cells;
  }

  /** List a cell of a leg. False when the list is full: serve it first. */
  add(table: CircuitTable, leg: number, bytes: Uint8Array, at: number): boolean {
    if (this.cells === CELLS_MAX) return false;
    assert(!this.serving && (this.cells === 0 || bytes === this.bytes), 'listed cells lie in one buffer');
    const cell = this.cells++;
    this.bytes = bytes;
    this.at[cell] = at;
    this.behind[cell] = NONE;
    if (table.batchFirst[leg] === NONE) {
      table.batchFirst[leg] = cell;
      this.legs[this.legCount++] = leg;
    } else {
      this.behind[table.batchLast[leg]!] = cell;
    }
    table.batchLast[leg] = cell;
    return true;
  }

  /** Serve all that is listed. */
  serve(table: CircuitTable, server: BatchServer): void {
    if (this.cells === 0) return;
    this.serving = true;
    for (let i = 0; i < this.legCount; i++) {
      const leg = this.legs[i]!;
      const first = table.batchFirst[leg]!;
      if (first === NONE) continue;
      table.batchFirst[leg] = NONE;
      if (table.kind[leg >> 1] === OWNED) this.serveLeg(leg, first, server);
      else server.passCells(leg, first);
    }
    this.cells = 0;
    this.legCount = 0;
    this.bytes = NOTHING;
    this.serving = false;
  }

  private serveLeg(leg: number, first: number, server: BatchServer): void {
    const { at, behind, bytes, gathered } = this;
    // One cell alone needs no gathering.
    if (behind[first] === NONE) {
      server.serveBodies(leg, first, bytes, at[first]! + BODY_AT, 1);
      return;
    }
    let from = first;
    while (from !== NONE) {
      let count = 0;
      let cell = from;
      while (cell !== NONE && count < TOGETHER) {
        copyBody(bytes, at[cell]! + BODY_AT, gathered, count * BODY_BYTES);
        count++;
        cell = behind[cell]!;
      }
      if (!server.serveBodies(leg, from, gathered, 0, count)) return;
      from = cell;
    }
  }
}
