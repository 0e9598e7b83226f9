/**
 * The books of a worker, held against each other: every parked cell is in a queue, every buffer with its channel,
 * every row on its chains, and nothing is over its bound.
 */
import { FREE, NO_LEG, NO_PORT } from '../../src/circuit/circuit-table.ts';
import { ONION_BYTES, type WaitingOnion } from '../../src/circuit/onion-queue.ts';
import { OWED_BYTES } from '../../src/circuit/ring-port.ts';
import { MEMORY_NAMES, Memory, type MemoryName } from '../../src/shm/memory-ledger.ts';
import type { SimRelay, SimWorker } from './relay.ts';

function check(condition: boolean, what: string): void {
  if (!condition) throw new Error(`ledger: ${what}`);
}

/** Hold a worker's books against each other at any moment between events. */
export function audit(worker: SimWorker): void {
  const { data } = worker;
  const { plane } = data;
  const { table, parked } = plane;
  let queued = 0;
  let rows = 0;
  const legsOf = new Map<number, number>();
  for (let row = 0; row < table.capacity; row++) {
    if (table.kind[row] !== FREE) rows++;
    for (let leg = row * 2; leg < row * 2 + 2; leg++) {
      const cells = table.queueCells[leg]!;
      const port = table.port[leg]!;
      check(cells <= plane.options.circQueueCellsMax, `leg ${leg} has ${cells} cells`);
      check(cells === 0 || port !== NO_PORT, `leg ${leg} without a port has ${cells} cells`);
      check(port === NO_PORT || table.kind[row] !== FREE, `free row ${row} has a port`);
      queued += cells;
      if (port < 0) continue;
      legsOf.set(port, (legsOf.get(port) ?? 0) + 1);
      check(table.find(port, table.id[leg]!) === leg, `leg ${leg} is not in the index`);
    }
  }
  check(rows === table.count, `${rows} rows of ${table.count}`);
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
    check(channel.legCount === (legsOf.get(channel.slot) ?? 0), `channel ${channel.slot} miscounts its legs`);
    let chain = 0;
    for (let leg = channel.firstLeg; leg !== NO_LEG; leg = table.chainNext[leg]!) chain++;
    check(chain === channel.legCount, `channel ${channel.slot}'s chain`);
    let active = 0;
    for (const [at, leg] of channel.activeLegs.subarray(0, channel.activeCount).entries()) {
      check(table.heapAt[leg] === at, `leg ${leg} is not where channel ${channel.slot} has it`);
      active += table.queueCells[leg]!;
    }
    check(
      active === 0 || channel.congested,
      `cells wait for channel ${channel.slot}, which is not congested`,
    );
    check(channel.controlCells === 0 || channel.congested, 'control cells wait for no reason');
    queued -= active;
  }
  for (const port of plane.ports) {
    if (port === null) continue;
    let active = 0;
    for (const leg of port.activeLegs.subarray(0, port.activeCount)) active += table.queueCells[leg]!;
    check(active === 0 || port.congested, `cells wait for the ring to ${port.worker}, which is not full`);
    check(port.owedCount === 0 || port.congested, 'control messages are owed for no reason');
    queued -= active;
  }
  check(queued === 0, `${queued} cells in queues that no one serves`);
  let total = control;
  for (let leg = 0; leg < table.capacity * 2; leg++) total += table.queueCells[leg]!;
  check(total === parked.used, `${parked.used} parked cells, ${total} known of`);
  check(staging === data.staging.lent, `${data.staging.lent} staging buffers, ${staging} known of`);
  check(carries === data.carries.lent, `${data.carries.lent} carries, ${carries} known of`);
  check(channels === data.channels.count, `${channels} channels of ${data.channels.count}`);
  auditMemory(worker, total);
}

/** What waits in a first-in first-out list. */
interface Waiting<T> {
  readonly entries: readonly (T | null)[];
}

/** Bytes of each kind of memory, counted one by one, as far as there is any. */
function recountMemory({ data }: SimWorker): Partial<Record<MemoryName, number>> {
  const { plane } = data;
  const { table, parked } = plane;
  const { chunks } = parked as unknown as { chunks: readonly (Uint8Array | null)[] };
  const bytes = (list: readonly (Uint8Array | null)[]) => list.reduce((sum, one) => sum + (one?.length ?? 0), 0);
  const idleOf = (pool: object) => bytes((pool as { idle: readonly Uint8Array[] }).idle);
  const channels = data.channels.bySlot.filter((channel) => channel !== null && channel !== undefined);
  const stages = channels.map((channel) => (channel as unknown as { stage: Uint8Array | null }).stage);
  const { bySlot } = data.links as unknown as {
    bySlot: readonly ({ halfOpen: { unsent: Uint8Array; handshake: { heldBytes: number } | null } | null } | null)[];
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
    handshakes: halfOpen.reduce((sum, { unsent, handshake }) => sum + unsent.length + (handshake?.heldBytes ?? 0), 0),
    onions: onions.reduce((sum, { data: { length } }) => sum + ONION_BYTES + length, 0),
    extends:
      bytes(table.pendingCreate) +
      owed.reduce((sum, one) => sum + (one === null ? 0 : OWED_BYTES + (one.body?.length ?? 0)), 0),
    rings: bytes(ports.map(({ outgoing }) => outgoing.u8)),
  };
}

/** The memory ledger is exact: what it says this worker holds is what is there. `parkedCells` are known of. */
export function auditMemory(worker: SimWorker, parkedCells: number): void {
  const { data, relay } = worker;
  const { parked } = data.plane;
  data.countMemory();
  const counted = recountMemory(worker);
  let held = 0;
  for (const name of MEMORY_NAMES) {
    const said = relay.memory.of(worker.worker, Memory[name]);
    check(said === (counted[name] ?? 0), `${said} bytes of ${name}, ${counted[name] ?? 0} counted`);
    held += said;
  }
  const filled = held - (parked.heldBytes - parkedCells * parked.slotBytes);
  check(filled === relay.memory.filledBy(worker.worker), `${relay.memory.filledBy(worker.worker)} filled, not ${filled}`);
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
