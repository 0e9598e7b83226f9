/**
 * @hot
 * Which circuits of one channel, or of one ring, have cells waiting, and which of them goes next: the quietest.
 *
 * A binary heap of legs by their exponentially decayed count of cells sent, as C tor's EWMA mux orders circuits. A
 * channel or ring carries one of these as plain fields; an idle one holds no memory. The counts and each leg's place
 * in its heap are columns of the circuit table. Ties go to the leg that came first, so that equals take turns.
 * @source C tor's circuitmux_ewma; tor-spec is silent about scheduling
 */

/** Where the heap of one port lives. `legs` is shared and empty until the first leg comes. */
export interface ActiveLegs {
  activeLegs: Int32Array;
  activeCount: number;
}

/** The columns of a circuit table that order its legs. */
export interface LegPriority {
  /** Decayed count of cells sent on each leg. */
  readonly sent: Float64Array;
  /** Breaks ties: when the leg was last put behind its equals. */
  readonly turn: Float64Array;
  /** Place of each leg in its port's heap, or -1. */
  readonly heapAt: Int32Array;
}

/** What a port without waiting legs holds. */
export const NO_LEGS = new Int32Array(0);
const FIRST_CAPACITY = 4;
/** A heap larger than this is let go when it is empty. */
const KEPT_CAPACITY = 64;

/** Whether leg `a` goes before leg `b`. */
function before(order: LegPriority, a: number, b: number): boolean {
  const x = order.sent[a]!;
  const y = order.sent[b]!;
  return x < y || (x === y && order.turn[a]! < order.turn[b]!);
}

function siftUp(order: LegPriority, heap: Int32Array, leg: number, from: number): void {
  let at = from;
  while (at > 0) {
    const above = (at - 1) >> 1;
    const other = heap[above]!;
    if (!before(order, leg, other)) break;
    heap[at] = other;
    order.heapAt[other] = at;
    at = above;
  }
  heap[at] = leg;
  order.heapAt[leg] = at;
}

function siftDown(order: LegPriority, heap: Int32Array, count: number, leg: number, from: number): void {
  let at = from;
  for (;;) {
    let below = at * 2 + 1;
    if (below >= count) break;
    if (below + 1 < count && before(order, heap[below + 1]!, heap[below]!)) below++;
    const other = heap[below]!;
    if (!before(order, other, leg)) break;
    heap[at] = other;
    order.heapAt[other] = at;
    at = below;
  }
  heap[at] = leg;
  order.heapAt[leg] = at;
}

/** Add a leg whose first cell waits. */
export function addActive(port: ActiveLegs, order: LegPriority, leg: number): void {
  if (port.activeCount === port.activeLegs.length) port.activeLegs = grown(port.activeLegs);
  const at = port.activeCount++;
  siftUp(order, port.activeLegs, leg, at);
}

/** Take a leg out, wherever it stands. */
export function removeActive(port: ActiveLegs, order: LegPriority, leg: number): void {
  const heap = port.activeLegs;
  const at = order.heapAt[leg]!;
  order.heapAt[leg] = -1;
  const count = --port.activeCount;
  if (at !== count) {
    const last = heap[count]!;
    // Held against its new neighbours: the count of the leg that leaves may have grown already.
    if (at > 0 && before(order, last, heap[(at - 1) >> 1]!)) siftUp(order, heap, last, at);
    else siftDown(order, heap, count, last, at);
  }
  if (count === 0 && heap.length > KEPT_CAPACITY) port.activeLegs = NO_LEGS;
}

/** The first leg's count has grown: put it where it belongs now. */
export function demoteFirst(port: ActiveLegs, order: LegPriority): void {
  const heap = port.activeLegs;
  siftDown(order, heap, port.activeCount, heap[0]!, 0);
}

function grown(heap: Int32Array): Int32Array {
  const larger = new Int32Array(Math.max(FIRST_CAPACITY, heap.length * 2));
  larger.set(heap);
  return larger;
}
