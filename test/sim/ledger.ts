/**
 * The books of a worker, held against each other: every parked cell is in a queue, every buffer with its channel,
 * every row on its chains, and nothing is over its bound.
 */
import { NO_SLOT } from '../../src/bytes/slab.ts';
import { CELL_BYTES } from '../../src/cell/cell.ts';
import type { ActiveLegs } from '../../src/channel/active-legs.ts';
import { CONTROL_QUEUE_CELLS_MAX, STAGING_CELLS } from '../../src/channel/channel.ts';
import { type CircuitTable, FREE, NEXT, NO_LEG, NO_PORT, ringPort } from '../../src/circuit/circuit-table.ts';
import { type SetLeg, WAITING_BYTES, type WaitingMessage } from '../../src/circuit/conflux.ts';
import { ONION_BYTES, type WaitingOnion } from '../../src/circuit/onion-queue.ts';
import type { CircuitPlane } from '../../src/circuit/plane.ts';
import { OWED_BYTES } from '../../src/circuit/ring-port.ts';
import type { CircuitEnd } from '../../src/edge/circuit-end.ts';
import type { ConfluxEdge } from '../../src/edge/conflux-edge.ts';
import type { StreamEnd } from '../../src/edge/stream-end.ts';
import { MEMORY_NAMES, Memory, type MemoryName } from '../../src/shm/memory-ledger.ts';
import type { SimRelay, SimWorker } from './relay.ts';

function check(condition: boolean, what: string): void {
  if (!condition) throw new Error(`ledger: ${what}`);
}

/** What one pass over a worker's queues found. */
interface Found {
  queued: number;
  control: number;
}

function auditLegs({ table, options }: CircuitPlane): number {
  const { queueCells, heapAt, port, kind } = table;
  let queued = 0;
  // Rows are taken from the lowest on, so the first few hold nearly always all that live.
  for (let row = 0, rows = 0; rows < table.count; row++) {
    check(row < table.capacity, `${rows} rows of ${table.count}`);
    if (kind[row] === FREE) continue;
    rows++;
    for (let leg = row * 2; leg < row * 2 + 2; leg++) {
      const cells = queueCells[leg]!;
      const most = (leg & 1) === NEXT ? options.circQueueCellsMaxOut : options.circQueueCellsMax;
      check(cells >= 0 && cells <= most, `leg ${leg} has ${cells} cells`);
      check(cells > 0 === heapAt[leg]! >= 0, `leg ${leg} with ${cells} cells is at ${heapAt[leg]} of a heap`);
      check(cells === 0 || port[leg] !== NO_PORT, `leg ${leg} without a port has ${cells} cells`);
      queued += cells;
    }
  }
  return queued;
}

/** The heap of a channel or ring: its own legs, each where the table says, the quietest first. Returns its cells. */
function auditHeap(table: CircuitTable, heap: ActiveLegs, port: number): number {
  const { activeLegs, activeCount } = heap;
  let cells = 0;
  for (let at = 0; at < activeCount; at++) {
    const leg = activeLegs[at]!;
    check(table.heapAt[leg] === at, `leg ${leg} is not where port ${port} has it`);
    check(table.port[leg] === port, `leg ${leg} of port ${table.port[leg]} waits for port ${port}`);
    cells += table.queueCells[leg]!;
    if (at === 0) continue;
    const above = activeLegs[(at - 1) >> 1]!;
    const [sent, sentAbove] = [table.sent[leg]!, table.sent[above]!];
    check(
      sentAbove < sent || (sentAbove === sent && table.turn[above]! <= table.turn[leg]!),
      `leg ${above} goes before ${leg}, which sent less`,
    );
  }
  return cells;
}

/**
 * What any step may break, at little cost: no queue is over its bound, every parked cell is in a queue that somebody
 * serves, every buffer with its channel, the quietest first.
 */
export function auditStep(worker: SimWorker): Found {
  const { data } = worker;
  const { plane } = data;
  const { table, parked } = plane;
  const queued = auditLegs(plane);
  let served = 0;
  let staging = 0;
  let carries = 0;
  let control = 0;
  let channels = 0;
  for (const channel of data.channels.bySlot) {
    if (channel === null) continue;
    channels++;
    control += channel.controlCells;
    if (channel.stagedBytes > 0) staging++;
    if (channel.carry !== null) carries++;
    check(channel.stagedBytes <= STAGING_CELLS * CELL_BYTES, `${channel.stagedBytes} bytes staged`);
    check(channel.controlCells <= CONTROL_QUEUE_CELLS_MAX, `${channel.controlCells} control cells wait`);
    if (channel.activeCount > 0) served += auditHeap(table, channel, channel.slot);
    check(
      channel.congested || (channel.activeCount === 0 && channel.controlCells === 0),
      `cells wait for channel ${channel.slot}, which is not congested`,
    );
  }
  for (const port of plane.ports) {
    if (port === null) continue;
    if (port.activeCount > 0) served += auditHeap(table, port, ringPort(port.worker));
    check(
      port.congested || (port.activeCount === 0 && port.owedCount === 0),
      `something waits for the ring to ${port.worker}, which is not full`,
    );
  }
  check(served === queued, `${queued} cells in queues, ${served} in queues that someone serves`);
  check(queued + control === parked.used, `${parked.used} parked cells, ${queued + control} known of`);
  check(staging === data.staging.lent, `${data.staging.lent} staging buffers, ${staging} known of`);
  check(carries === data.carries.lent, `${data.carries.lent} carries, ${carries} known of`);
  check(channels === data.channels.count, `${channels} channels of ${data.channels.count}`);
  return { queued, control };
}

/** Every parked cell is in exactly one queue, and each queue is as long as it says. */
function auditQueues({ data }: SimWorker): void {
  const { table, parked } = data.plane;
  const seen = new Set<number>();
  const walk = (head: number, tail: number, cells: number, whose: string): void => {
    let last = NO_SLOT;
    for (let slot = head, left = cells; left > 0; left--) {
      check(slot !== NO_SLOT && !seen.has(slot), `slot ${slot} of ${whose} is in two places`);
      seen.add(slot);
      last = slot;
      slot = parked.next[slot]!;
    }
    check(last === tail, `${whose} ends at ${last}, not at ${tail}`);
  };
  for (let leg = 0; leg < table.capacity * 2; leg++) {
    const cells = table.queueCells[leg]!;
    if (cells > 0) walk(table.queueHead[leg]!, table.queueTail[leg]!, cells, `leg ${leg}`);
  }
  for (const channel of data.channels.bySlot) {
    if (channel === null) continue;
    const { controlHead, controlTail } = channel as unknown as { controlHead: number; controlTail: number };
    walk(controlHead, controlTail, channel.controlCells, `the control queue of ${channel.slot}`);
  }
}

/** Every row, free or not, every chain and index, and the memory ledger, counted anew. */
export function audit(worker: SimWorker): void {
  const { queued, control } = auditStep(worker);
  const { data } = worker;
  const { table } = data.plane;
  let rows = 0;
  const legsOf = new Map<number, number>();
  for (let row = 0; row < table.capacity; row++) {
    if (table.kind[row] !== FREE) rows++;
    for (let leg = row * 2; leg < row * 2 + 2; leg++) {
      const port = table.port[leg]!;
      if (table.kind[row] === FREE) {
        check(port === NO_PORT, `free row ${row} has a port`);
        check(table.queueCells[leg] === 0 && table.heapAt[leg] === -1, `free row ${row} has a queue`);
      }
      if (port < 0) continue;
      legsOf.set(port, (legsOf.get(port) ?? 0) + 1);
      check(table.find(port, table.id[leg]!) === leg, `leg ${leg} is not in the index`);
    }
  }
  check(rows === table.count, `${rows} rows of ${table.count}`);
  for (const channel of data.channels.bySlot) {
    if (channel === null) continue;
    check(channel.legCount === (legsOf.get(channel.slot) ?? 0), `channel ${channel.slot} miscounts its legs`);
    let chain = 0;
    for (let leg = channel.firstLeg; leg !== NO_LEG; leg = table.chainNext[leg]!) chain++;
    check(chain === channel.legCount, `channel ${channel.slot}'s chain`);
  }
  auditQueues(worker);
  auditMemory(worker, queued + control);
}

/** What waits in a first-in first-out list. */
interface Waiting<T> {
  readonly entries: readonly (T | null)[];
}

/** Bytes of each kind of memory, counted one by one, as far as there is any. */
function recountMemory(worker: SimWorker): Partial<Record<MemoryName, number>> {
  const { data } = worker;
  const { plane } = data;
  const { table, parked } = plane;
  const { chunks } = parked as unknown as { chunks: readonly (Uint8Array | null)[] };
  const bytes = (list: readonly (Uint8Array | null)[]) =>
    list.reduce((sum, one) => sum + (one?.length ?? 0), 0);
  const idleOf = (pool: object) => bytes((pool as { idle: readonly Uint8Array[] }).idle);
  const channels = data.channels.bySlot.filter((channel) => channel !== null && channel !== undefined);
  const stages = channels.map((channel) => (channel as unknown as { stage: Uint8Array | null }).stage);
  const { bySlot } = data.links as unknown as {
    bySlot: readonly ({
      halfOpen: { unsent: Uint8Array; handshake: { heldBytes: number } | null } | null;
    } | null)[];
  };
  const halfOpen = bySlot.map((link) => link?.halfOpen ?? null).filter((half) => half !== null);
  const { preferred, others } = plane.onionQueue as unknown as Record<string, Waiting<WaitingOnion>>;
  const onions = [...preferred!.entries, ...others!.entries].filter((onion) => onion !== null);
  const ports = plane.ports.filter((port) => port !== null);
  const owed = ports.flatMap(
    (port) => (port as unknown as { owed: Waiting<{ body: Uint8Array | null }> }).owed.entries,
  );
  return {
    cells: bytes(chunks) + parked.next.byteLength + parked.sinceMs.byteLength,
    staging: bytes(stages) + idleOf(data.staging),
    carries: bytes(channels.map(({ carry }) => carry)) + idleOf(data.carries),
    handshakes: halfOpen.reduce(
      (sum, { unsent, handshake }) => sum + unsent.length + (handshake?.heldBytes ?? 0),
      0,
    ),
    onions: onions.reduce((sum, { data: { length } }) => sum + ONION_BYTES + length, 0),
    extends:
      bytes(table.pendingCreate) +
      owed.reduce((sum, one) => sum + (one === null ? 0 : OWED_BYTES + (one.body?.length ?? 0)), 0),
    rings: bytes(ports.map(({ outgoing }) => outgoing.u8)),
    streams: recountStreams(worker),
    conflux: recountConflux(worker),
  };
}

/** Messages of conflux sets that wait for their turn, and those that wait for rings. */
function recountConflux({ data }: SimWorker): number {
  const { conflux, ports } = data.plane;
  let bytes = 0;
  for (const { set } of conflux.homes.sets) {
    const { orphans } = set as unknown as { orphans: readonly SetLeg[] };
    for (const { waiting } of [...set.legs, ...orphans]) {
      const { entries } = waiting as unknown as Waiting<WaitingMessage>;
      for (const one of entries) if (one !== null) bytes += WAITING_BYTES + one.data.length;
    }
  }
  for (const port of ports) {
    const { entries } =
      (port as unknown as { joints: Waiting<{ body: Uint8Array }> } | null)?.joints ?? NONE_WAIT;
    for (const one of entries) if (one !== null) bytes += OWED_BYTES + one.body.length;
  }
  return bytes;
}

const NONE_WAIT: Waiting<{ body: Uint8Array }> = { entries: [] };

/** Bytes of destinations that wait, and buffers lent or kept, of the exit streams of a worker. */
function recountStreams({ data }: SimWorker): number {
  const { edge } = data;
  const { ends } = edge as unknown as { ends: readonly (CircuitEnd | null)[] };
  let bytes = edge.desk.buffers.idleBytes;
  const count = (end: StreamEnd): void => {
    const { chunks, buffers } = end as unknown as {
      chunks?: readonly Uint8Array[];
      buffers: readonly Uint8Array[];
    };
    if (chunks === undefined) return;
    for (const buffer of buffers) bytes += buffer.length;
    for (const chunk of chunks) bytes += chunk.length + 256;
  };
  for (const end of ends) if (end !== null) for (const stream of end.streams.all()) count(stream.end);
  const { conflux } = edge as unknown as { conflux: ConfluxEdge };
  for (const set of conflux.sets()) for (const stream of set.all()) count(stream.end);
  for (const stream of edge.desk.lingering) count(stream);
  return bytes;
}

/** The memory ledger is exact: what it says this worker holds is what is there. `parkedCells` are known of. */
export function auditMemory(worker: SimWorker, parkedCells: number): void {
  const { data, relay } = worker;
  const { parked } = data.plane;
  // After a turn it is exact already; in the middle of one it may lag behind.
  if (worker.armed) data.countMemory();
  const counted = recountMemory(worker);
  let held = 0;
  for (const name of MEMORY_NAMES) {
    const said = relay.memory.of(worker.worker, Memory[name]);
    check(said === (counted[name] ?? 0), `${said} bytes of ${name}, ${counted[name] ?? 0} counted`);
    held += said;
  }
  const idle = data.staging.idleBytes + data.carries.idleBytes + data.edge.idleBytes;
  const filled = held - (parked.heldBytes - parkedCells * parked.slotBytes) - idle;
  check(
    filled === relay.memory.filledBy(worker.worker),
    `${relay.memory.filledBy(worker.worker)} filled, not ${filled}`,
  );
}

/** After everything was closed: nothing is left of anything. */
export function expectNothingLeft(relay: SimRelay): void {
  for (const worker of relay.workers) {
    if (!worker.alive) continue;
    audit(worker);
    const { data } = worker;
    const { plane } = data;
    check(plane.table.count === 0, `${plane.table.count} rows left`);
    check(data.channels.count === 0, `${data.channels.count} channels left`);
    check(plane.parked.used === 0, 'parked cells left');
    check(data.staging.lent === 0 && data.carries.lent === 0, 'buffers left');
    check(plane.waiting.size === 0, 'rows still wait for dials');
    check(plane.onionQueue.length === 0, 'handshakes left');
    check(plane.extendDeadlines.length === 0, 'deadlines left');
    check(data.wheel.size === 0, `${data.wheel.size} timers left`);
    check(data.links.halfOpen === 0, 'half-open links left');
    for (const port of plane.ports) {
      if (port === null) continue;
      check(port.owedCount === 0, 'control messages owed');
      check(port.outgoing.used() === 0 && port.incoming.used() === 0, 'slots in a ring');
      check(port.pausedChannels.length === 0, 'channels paused for a ring');
    }
  }
  const { dialling, open, bad } = relay.roster.count();
  check(relay.dos.total() === 0, `${relay.dos.total()} links counted for addresses`);
  check(dialling + open + bad === 0, `roster: ${dialling} dialling, ${open} open, ${bad} bad`);
}
