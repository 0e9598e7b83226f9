/**
 * Running out of memory for what waits: which circuits end, and when.
 *
 * What waits is counted in `shm/memory-ledger`. When what the process has filled reaches MaxMemInQueues, the circuits
 * end whose oldest cell has waited longest, over all workers, until a tenth of the limit is free again. Near the limit
 * every worker tells the ledger how much its oldest queues hold; from the sum each finds, by itself and at each turn,
 * the time before which queues have to go, and ends its own part of them, a bounded number per turn. No worker waits
 * for another: one that meanwhile fills more than the limit allows ends its own oldest circuits first, and never the
 * newcomer as such. Slots that were freed here and there are then moved together, so that their memory goes back.
 * Who calls: `cell-queue` when the store of waiting cells grew, `worker/data-plane` at the end of each turn.
 * @source C tor 0.4.9: at the limit, oldest first, down to 90 %
 */
import { NO_SLOT } from '../bytes/slab.ts';
import { DestroyReason } from '../cell/reason.ts';
import type { BufferPool } from '../channel/buffer-pool.ts';
import { OPEN as CHANNEL_OPEN, type Channel, NOT_HELD } from '../channel/channel.ts';
import { Memory, type MemoryLedger, OFFER_STEPS } from '../shm/memory-ledger.ts';
import { Counter } from '../shm/scoreboard.ts';
import { NEXT, OWNED, PREV } from './circuit-table.ts';
import { closeCircuit } from './close.ts';
import type { CircuitPlane } from './plane.ts';

/** Shares of the limit: from where workers tell of their queues, down to where queues are ended. */
const NEAR_SHARE = 0.8;
const LOW_SHARE = 0.9;
/** From where freed slots are moved together. */
const CRAMPED_SHARE = 0.75;
/** What is filled past the limit before a worker ends circuits in the middle of a turn. */
const GRACE_SHARE = 1 / 64;
/** Staging of links that take nothing may fill the first share; past it, the longest stuck are closed, to the second. */
const STAGING_SHARE = 1 / 5;
const STAGING_LOW_SHARE = 1 / 10;
const STUCK_MS = 1000;
/** Messages of conflux sets that wait for their turn may fill the first share; past it the oldest end, to the second. */
const SETS_SHARE = 1 / 5;
const SETS_LOW_SHARE = 1 / 10;
/** Control cells that make a stuck link one that fills memory itself: it goes before any circuit does. */
const HOARD_CELLS = 256;
/** One step of what a worker tells of its queues. */
const STEP_SHARE = 1 / 256;
/** How often the gauges of all workers are read, which are in their caches: when nothing was left to do the last time. */
const LOOK_EVERY_MS = 1;
/** Rank queues this often at most, and for at most a twentieth of the time. */
const RANK_EVERY_MS = 100;
const RANK_COST_FACTOR = 20;
/** Per turn: cells freed, circuits ended, slots looked at. */
const CELLS_PER_TURN = 8192;
const CIRCUITS_PER_TURN = 256;
const SETS_PER_TURN = 64;
const SLOTS_PER_TURN = 8192;
/** Spare slots that are worth moving together: this share of all, and so many. */
const SPARE_SHARE = 1 / 16;
const SPARE_SLOTS = 512;

/**
 * While so much waits, garbage is collected each time so much has come in: left to itself the runtime lets twice as
 * much garbage pile up as there is live memory, and what waits is live to it. It happens beside the work and costs no
 * more than later would. When such a share of the limit was freed, it is done at once, which also hands freed memory
 * back to the system; that takes at most a twentieth of the time.
 */
const COLLECT_FROM = 32 * 2 ** 20;
const COLLECT_EVERY = 6 * 2 ** 20;
const COLLECT_FREED_SHARE = 1 / 16;
const COLLECT_COST_FACTOR = 20;

/**
 * A queue's place in the ranking is one number of 53 bits: sixteenths of a millisecond of age (past 37 hours all are
 * equally old), then the row. Rows of legs that other workers' circuits have here are not bounded by ours.
 */
const ROW_RANGE = 2 ** 22;
const TICKS_PER_MS = 16;
const AGE_MAX = 2 ** 31 - 1;

/** The part of one worker in keeping memory bounded. */
export class Oom {
  readonly ledger: MemoryLedger;
  private readonly wakeOthers: () => void;
  private readonly emptyCaches: () => void;
  private readonly clock: () => number;
  /** Rows with queued cells, oldest first, as `keyOf` puts them. */
  private ranking: Float64Array = new Float64Array(64);
  private ranked = 0;
  private rankAt = 0;
  private rankedMs = 0;
  private rankCostMs = 0;
  private nextRankMs = 0;
  private offered = false;
  private isBusy = false;
  private nextLookMs = 0;
  private compactFrom = 0;
  private nextCompactMs = 0;
  private nextHoardMs = 0;
  private readonly collectGarbage: (atOnce: boolean) => void;
  /** What had come in when garbage was collected last, and the most that our cells held since it was at once. */
  private collectedAt = 0;
  private heldThen = 0;
  private nextCollectMs = 0;
  private readonly staging: BufferPool;
  private readonly carries: BufferPool;

  /**
   * @param wakeOthers lets every other worker take a turn soon
   * @param emptyCaches gives up what is only kept to be quicker; the pools are this worker's
   */
  constructor(
    ledger: MemoryLedger,
    wakeOthers: () => void,
    emptyCaches: () => void,
    collectGarbage: (atOnce: boolean) => void,
    clock: () => number,
    staging: BufferPool,
    carries: BufferPool,
  ) {
    this.ledger = ledger;
    this.collectGarbage = collectGarbage;
    this.wakeOthers = wakeOthers;
    this.emptyCaches = emptyCaches;
    this.clock = clock;
    this.staging = staging;
    this.carries = carries;
  }

  /** Tell the ledger what the waiting cells fill, and what is only kept for later. */
  settle(plane: CircuitPlane): void {
    const slab = plane.parked;
    slab.hasGrown = false;
    this.ledger.set(Memory.cells, slab.heldBytes + slab.columnBytes);
    this.ledger.set(Memory.streams, plane.streamMemory.heldBytes);
    this.ledger.set(Memory.compression, plane.streamMemory.directoryBytes);
    this.ledger.set(Memory.conflux, plane.conflux.heldBytes);
    const idle = this.staging.idleBytes + this.carries.idleBytes + plane.streamMemory.idleBytes;
    this.ledger.setSpare(slab.spareSlots * slab.slotBytes + idle);
  }

  /**
   * The store of cells grew for a cell of this row. Returns false when the row's circuit had to end; it is gone then.
   */
  onGrowth(plane: CircuitPlane, row: number): boolean {
    this.settle(plane);
    const limit = plane.options.maxMemInQueues;
    const filled = this.ledger.filled();
    if (filled < limit) return true;
    this.begin(plane);
    if (filled < limit * (1 + GRACE_SHARE)) return true;
    const generation = plane.table.generation[row]!;
    if (this.rankAt >= this.ranked) this.rank(plane);
    this.endOldest(plane, limit, Number.POSITIVE_INFINITY);
    return plane.table.isLive(row, generation);
  }

  /** The end of a turn's work. Returns whether there is more to do right after. */
  turn(plane: CircuitPlane): boolean {
    const { ledger } = this;
    this.settle(plane);
    if (!this.isBusy && plane.nowMs < this.nextLookMs && !ledger.isReclaiming) return false;
    this.nextLookMs = plane.nowMs + LOOK_EVERY_MS;
    const limit = plane.options.maxMemInQueues;
    const low = limit * LOW_SHARE;
    const filled = ledger.filled();
    if (filled >= limit) this.begin(plane);
    let left = false;
    if (ledger.isReclaiming) {
      if (filled <= low) ledger.endReclaiming();
      else left = this.reclaim(plane, low);
    }
    if (filled < limit * NEAR_SHARE) this.withdraw();
    else if (plane.nowMs >= this.nextRankMs) this.rank(plane);
    if (ledger.held() >= limit * CRAMPED_SHARE && this.compact(plane)) left = true;
    this.collect(plane);
    this.isBusy = left;
    return left;
  }

  /** Collect garbage if enough has come in, or was freed, since the last time. */
  private collect(plane: CircuitPlane): void {
    const { counters, worker } = plane;
    const own = this.ledger.of(worker, Memory.cells);
    if (own > this.heldThen) this.heldThen = own;
    const came =
      counters.of(worker, Counter.bytes_read) +
      counters.of(worker, Counter.cells_ring_received) * plane.parked.slotBytes;
    const hasFreed = this.heldThen - own >= plane.options.maxMemInQueues * COLLECT_FREED_SHARE;
    if (hasFreed && plane.nowMs >= this.nextCollectMs) {
      const beganMs = this.clock();
      this.collectGarbage(true);
      const endedMs = this.clock();
      this.nextCollectMs = endedMs + (endedMs - beganMs) * COLLECT_COST_FACTOR;
      this.heldThen = own;
    } else if (own >= COLLECT_FROM && came - this.collectedAt >= COLLECT_EVERY) {
      this.collectGarbage(false);
    } else {
      return;
    }
    this.collectedAt = came;
  }

  private begin(plane: CircuitPlane): void {
    if (!this.ledger.beginReclaiming()) return;
    plane.counters.add(Counter.oom_rounds, 1);
    this.emptyCaches();
    plane.wake();
    this.wakeOthers();
  }

  /** End what is ours of the oldest queues of all workers. Returns whether more of it is left. */
  private reclaim(plane: CircuitPlane, low: number): boolean {
    const { ledger } = this;
    const limit = plane.options.maxMemInQueues;
    plane.streamMemory.dropLast();
    this.settle(plane);
    if (ledger.kind(Memory.staging) > limit * STAGING_SHARE)
      this.closeStuck(plane, limit * STAGING_LOW_SHARE, Number.POSITIVE_INFINITY);
    if (ledger.kind(Memory.conflux) > limit * SETS_SHARE) this.endSets(plane, limit * SETS_LOW_SHARE, 0);
    if (plane.nowMs >= this.nextHoardMs) {
      this.nextHoardMs = plane.nowMs + RANK_EVERY_MS;
      this.closeHoarders(plane, low);
      if (ledger.filled() <= low) {
        ledger.endReclaiming();
        return false;
      }
    }
    // Of those that were ranked none is left: look for newer ones, but not all the time.
    if (this.rankAt >= this.ranked && plane.nowMs > this.rankedMs + this.rankCostMs * RANK_COST_FACTOR)
      this.rank(plane);
    const cutoff = ledger.cutoff(ledger.filled() - low);
    if (cutoff === Number.NEGATIVE_INFINITY) {
      // No circuit has anything that waits: what fills the memory belongs to links.
      if (ledger.filled() >= limit) this.closeStuck(plane, Number.POSITIVE_INFINITY, low);
      if (ledger.filled() >= limit) this.endSets(plane, 0, low);
      return false;
    }
    this.endOldest(plane, low, cutoff);
    if (ledger.filled() <= low) {
      ledger.endReclaiming();
      return false;
    }
    return this.rankAt < this.ranked && this.sinceOf(this.ranking[this.rankAt]!) <= cutoff;
  }

  /** End our circuits, oldest first, until no more than `most` is filled or their oldest cell came after `cutoff`. */
  private endOldest(plane: CircuitPlane, most: number, cutoff: number): void {
    const { ledger } = this;
    let circuits = 0;
    let cells = 0;
    let streamBytes = 0;
    while (ledger.filled() > most && circuits < CIRCUITS_PER_TURN && cells < CELLS_PER_TURN) {
      if (this.rankAt >= this.ranked) break;
      const key = this.ranking[this.rankAt]!;
      const sinceMs = this.sinceOf(key);
      if (sinceMs > cutoff) break;
      this.rankAt++;
      const row = key % ROW_RANGE;
      // It may have moved on since it was ranked, or be another's by now.
      if (oldestOf(plane, row) > sinceMs) continue;
      const freed = queuedCells(plane, row);
      streamBytes += plane.streamMemory.dropOf(row);
      closeCircuit(plane, row, DestroyReason.RESOURCELIMIT, DestroyReason.RESOURCELIMIT);
      circuits++;
      cells += freed;
      this.settle(plane);
    }
    if (circuits === 0) return;
    plane.counters.add(Counter.circuit_memory_killed, circuits);
    plane.counters.add(Counter.oom_cell_bytes, cells * plane.parked.slotBytes);
    plane.counters.add(Counter.oom_stream_bytes, streamBytes);
    plane.wake();
    this.offer(plane);
  }

  /**
   * End conflux sets of ours, those first whose oldest message has waited longest, until all sets' messages fill no more
   * than the one, or no more than the other is filled at all.
   */
  private endSets(plane: CircuitPlane, setsMost: number, filledMost: number): void {
    const { ledger } = this;
    const { conflux } = plane;
    for (let ended = 0; ended < SETS_PER_TURN; ended++) {
      if (ledger.kind(Memory.conflux) <= setsMost || ledger.filled() <= filledMost) return;
      if (!conflux.endOldest()) return;
      this.settle(plane);
    }
  }

  /** Put our rows with queued cells in order of age, and tell the ledger. */
  private rank(plane: CircuitPlane): void {
    const beganMs = this.clock();
    const { table } = plane;
    this.rankedMs = plane.nowMs;
    this.ranked = 0;
    this.rankAt = 0;
    for (let row = 0; row < table.capacity; row++) {
      const isQueued = table.queueCells[row * 2] !== 0 || table.queueCells[row * 2 + 1] !== 0;
      if (!isQueued && (table.kind[row] !== OWNED || plane.streamMemory.heldBytesOf(row) === 0)) continue;
      if (this.ranked === this.ranking.length) this.growRanking();
      this.ranking[this.ranked++] = this.keyOf(row, oldestOf(plane, row));
    }
    this.ranking.subarray(0, this.ranked).sort();
    this.offer(plane);
    this.rankCostMs = this.clock() - beganMs;
    this.nextRankMs = this.rankedMs + Math.max(RANK_EVERY_MS, this.rankCostMs * RANK_COST_FACTOR);
  }

  private growRanking(): void {
    const wider = new Float64Array(this.ranking.length * 2);
    wider.set(this.ranking);
    this.ranking = wider;
  }

  private keyOf(row: number, sinceMs: number): number {
    const age = Math.max(0, Math.floor((this.rankedMs - sinceMs) * TICKS_PER_MS));
    return (AGE_MAX - Math.min(age, AGE_MAX)) * ROW_RANGE + row;
  }

  /** When a ranked row's oldest cell came, rounded up. */
  private sinceOf(key: number): number {
    return this.rankedMs - (AGE_MAX - Math.floor(key / ROW_RANGE)) / TICKS_PER_MS;
  }

  /** Tell the ledger what the rows hold that are ranked and not ended yet. */
  private offer(plane: CircuitPlane): void {
    const { ledger } = this;
    const stepBytes = plane.options.maxMemInQueues * STEP_SHARE;
    let step = 0;
    let bytes = 0;
    for (let i = this.rankAt; i < this.ranked && step < OFFER_STEPS; i++) {
      const key = this.ranking[i]!;
      const row = key % ROW_RANGE;
      bytes += queuedCells(plane, row) * plane.parked.slotBytes + plane.streamMemory.heldBytesOf(row);
      if (bytes < stepBytes && i + 1 < this.ranked) continue;
      if (bytes > 0) ledger.setStep(step++, this.sinceOf(key), bytes);
      bytes = 0;
    }
    ledger.offer(step);
    this.offered = step > 0;
  }

  private withdraw(): void {
    this.ranked = 0;
    this.rankAt = 0;
    if (!this.offered) return;
    this.offered = false;
    this.ledger.offer(0);
  }

  /**
   * Close links that have taken nothing for longest, until staging buffers hold no more than the one, and no more than
   * the other is filled, in all workers.
   */
  private closeStuck(plane: CircuitPlane, stagingMost: number, filledMost: number): void {
    const { ledger } = this;
    this.dropIdle(plane);
    if (ledger.kind(Memory.staging) <= stagingMost && ledger.filled() <= filledMost) return;
    for (const channel of stuckLinks(plane, 0)) {
      if (ledger.kind(Memory.staging) <= stagingMost && ledger.filled() <= filledMost) return;
      this.closeLink(plane, channel);
    }
  }

  /**
   * Close stuck links for which control cells pile up, until no more than `most` is filled: answers to a peer that asks
   * and does not listen. No circuit's queue should have to go for them.
   */
  private closeHoarders(plane: CircuitPlane, most: number): void {
    const hoarders = stuckLinks(plane, HOARD_CELLS);
    hoarders.sort((a, b) => b.controlCells - a.controlCells);
    for (const channel of hoarders) {
      if (this.ledger.filled() <= most) return;
      this.closeLink(plane, channel);
    }
  }

  private closeLink(plane: CircuitPlane, channel: Channel): void {
    plane.counters.add(Counter.oom_links_closed, 1);
    plane.closeChannel(channel);
    this.dropIdle(plane);
  }

  /** Keep no buffers for later: those of links that are about to end would be in vain if these stayed. */
  private dropIdle(plane: CircuitPlane): void {
    const { ledger, staging, carries } = this;
    staging.dropIdle();
    carries.dropIdle();
    ledger.set(Memory.staging, staging.heldBytes);
    ledger.set(Memory.carries, carries.heldBytes);
    this.settle(plane);
  }

  /** Move waiting cells together for a while. Returns whether it should go on right after. */
  private compact(plane: CircuitPlane): boolean {
    const slab = plane.parked;
    const { table } = plane;
    if (slab.spareSlots < SPARE_SLOTS || slab.spareSlots < (slab.used + slab.spareSlots) * SPARE_SHARE)
      return false;
    if (plane.nowMs < this.nextCompactMs) return false;
    let slots = 0;
    while (slots < SLOTS_PER_TURN) {
      if (this.compactFrom >= table.capacity * 2) {
        this.compactFrom = 0;
        this.nextCompactMs = plane.nowMs + RANK_EVERY_MS;
        for (const channel of plane.channels.bySlot) channel?.compactControl();
        this.settle(plane);
        return false;
      }
      slots += compactQueue(plane, this.compactFrom++) + 1;
    }
    this.settle(plane);
    return true;
  }
}

/** Links that took nothing for long and for which so many control cells wait, or more; longest stuck first. */
function stuckLinks(plane: CircuitPlane, controlCells: number): Channel[] {
  const stuck: Channel[] = [];
  for (const channel of plane.channels.bySlot) {
    if (channel === null || channel === undefined || channel.state !== CHANNEL_OPEN) continue;
    if (!channel.congested || channel.writeHeld !== NOT_HELD || channel.controlCells < controlCells) continue;
    if (plane.nowMs - channel.lastWriteMs >= STUCK_MS) stuck.push(channel);
  }
  return stuck.sort((a, b) => a.lastWriteMs - b.lastWriteMs);
}

/** When the oldest cell, or byte of a stream, of a row began to wait; plus infinity when none waits. */
function oldestOf(plane: CircuitPlane, row: number): number {
  const { table, parked } = plane;
  let oldest = plane.streamMemory.heldSinceMs(row);
  for (let leg = row * 2; leg < row * 2 + 2; leg++) {
    if (table.queueCells[leg] !== 0) oldest = Math.min(oldest, parked.sinceMs[table.queueHead[leg]!]!);
  }
  return oldest;
}

function queuedCells(plane: CircuitPlane, row: number): number {
  const { queueCells } = plane.table;
  return queueCells[row * 2 + PREV]! + queueCells[row * 2 + NEXT]!;
}

/** Move the cells of a leg's queue to earlier chunks where there is room. Returns how many cells it has. */
function compactQueue(plane: CircuitPlane, leg: number): number {
  const { table, parked } = plane;
  const cells = table.queueCells[leg]!;
  if (cells === 0) return 0;
  let before = NO_SLOT;
  for (let slot = table.queueHead[leg]!; slot !== NO_SLOT; slot = parked.next[before]!) {
    const to = parked.relocate(slot);
    if (before === NO_SLOT) table.queueHead[leg] = to;
    else parked.next[before] = to;
    before = to;
  }
  table.queueTail[leg] = before;
  return cells;
}
