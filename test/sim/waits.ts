/**
 * No party waits for itself, nor for one that waits for it.
 *
 * Who may wait for what: a channel that writes, for its socket, which waits for the peer; a reader, for a full ring or
 * for bandwidth; a ring, for the worker behind it to take a turn; bandwidth, for the clock. No worker ever waits. So
 * nobody can wait in a circle, as long as whoever waits has a wake-up to come from the one that he waits for: that is
 * what is looked at here, and that nobody sleeps over what has come already.
 */
import {
  type Channel,
  NOT_HELD,
  OPEN,
  PAUSED_BY_BANDWIDTH,
  PAUSED_BY_RING,
} from '../../src/channel/channel.ts';
import { PREV } from '../../src/circuit/circuit-table.ts';
import type { SimRelay, SimWorker } from './relay.ts';
import type { WireEnd } from './wire.ts';

/** Of MaxMemInQueues: below it no circuit is ended (`circuit/oom`). */
const LOW_SHARE = 0.9;

function check(condition: boolean, what: () => string): void {
  if (!condition) throw new Error(`waits: ${what()}`);
}

/** Every wait in a relay has its wake-up to come. */
export function auditWaits(relay: SimRelay): void {
  for (const worker of relay.workers) {
    if (!worker.alive) continue;
    for (const channel of worker.data.channels.bySlot) {
      if (channel !== null && channel.state === OPEN) auditChannel(worker, channel);
    }
    auditWorker(relay, worker);
    auditLegs(relay, worker);
  }
}

function auditChannel({ data }: SimWorker, channel: Channel): void {
  const { slot, pausedBy, readHeld, writeHeld, congested } = channel;
  const wire = channel.wire as WireEnd | null;
  if (wire === null) return;
  if (congested) {
    const waits = writeHeld === NOT_HELD ? wire.willTell : data.throttle.isWaiting;
    check(waits, () => `channel ${slot} waits to write, and nobody will tell it when (held: ${writeHeld})`);
  } else {
    check(
      channel.stagedBytes === 0 || channel.dirty,
      () => `channel ${slot} has bytes that no one will flush`,
    );
    check(writeHeld === NOT_HELD, () => `channel ${slot} is held (${writeHeld}) and takes cells`);
  }
  check(wire.paused === (pausedBy !== 0), () => `channel ${slot} is paused by ${pausedBy}, its wire not`);
  const isHeld = (pausedBy & PAUSED_BY_BANDWIDTH) !== 0;
  check(
    isHeld === (readHeld !== NOT_HELD),
    () => `channel ${slot} is paused by ${pausedBy}, held ${readHeld}`,
  );
  check(readHeld === NOT_HELD || data.throttle.isWaiting, () => `channel ${slot} waits in no line to read`);
  if ((pausedBy & PAUSED_BY_RING) === 0) return;
  const isListed = data.plane.ports.some((port) => port?.congested && port.pausedChannels.includes(slot));
  check(isListed, () => `channel ${slot} is paused for a ring, and none will let it go on`);
}

function auditWorker(relay: SimRelay, worker: SimWorker): void {
  const { data, refillDueMs } = worker;
  const isReady = worker.isDue;
  const who = worker.worker;
  check(
    worker.armed || !data.throttle.isWaiting || refillDueMs < Number.POSITIVE_INFINITY,
    () => `worker ${who} sleeps while links wait for bandwidth`,
  );
  const isFlushed = data.scheduler.dirtyCount === 0 || worker.flushDueMs < Number.POSITIVE_INFINITY;
  check(isReady || isFlushed, () => `worker ${who} sleeps over unwritten channels`);
  check(isReady || data.plane.onionQueue.length === 0, () => `worker ${who} sleeps over handshakes`);
  check(isReady || relay.backlogs[who]!.isServed, () => `worker ${who} sleeps and does not listen`);
  for (const port of data.plane.ports) {
    if (port === null) continue;
    check(
      isReady || !port.unpublished,
      () => `worker ${who} has put cells into a ring and shows them to nobody`,
    );
    const other = relay.workers[port.worker]!;
    // What is shown in the middle of a turn rings no bell before its end.
    const willRing = other.isDue && other.data.plane.ports[who]?.unpublished === true;
    check(
      isReady || willRing || !port.incoming.hasWork(),
      () => `worker ${who} sleeps over what worker ${port.worker} sent`,
    );
    if (!port.congested || !other.alive) continue;
    check(
      isReady || other.isDue,
      () => `worker ${who} waits for a ring to ${port.worker}, and neither moves`,
    );
  }
}

/**
 * Legs of conflux sets that are elsewhere: one whose messages wait for the ring is not read, and a home that was told of
 * no room is told when there is some.
 */
function auditLegs(relay: SimRelay, { data, worker }: SimWorker): void {
  const { plane, edge } = data;
  const { table, conflux } = plane;
  for (let row = 0; row < table.capacity; row++) {
    const leg = conflux.legs.of(row);
    if (leg === null || !leg.isLinked || leg.home === worker) continue;
    const channel = data.channels.bySlot[table.port[row * 2 + PREV]!]!;
    check(
      leg.waitingJoints === 0 || (channel.pausedBy & PAUSED_BY_RING) !== 0,
      () => `${leg.waitingJoints} messages wait for a ring, and channel ${channel.slot} is read on`,
    );
    const home = relay.workers[leg.home]!;
    // Before LINKED_ACK no home is told of room.
    if (leg.rttUs === 0 || leg.isDirty || leg.limitTold !== leg.taken || !home.alive) continue;
    const atHome = home.data.plane.conflux.homes.remoteOf(worker, leg.token);
    const isBlocked = table.queueCells[row * 2 + PREV]! > plane.options.flow.cellqLow;
    if (atHome === null || atHome.sent !== leg.taken || isBlocked) continue;
    check(edge.endOf(row).flow.room <= 0, () => `row ${row} has room, and its home will not be told`);
  }
}

/** Where nobody holds anything back any more, nobody waits for anything. */
export function expectNoWaits(relay: SimRelay): void {
  for (const { alive, data, worker } of relay.workers) {
    if (!alive) continue;
    check(data.plane.parked.used === 0, () => `${data.plane.parked.used} cells wait in worker ${worker}`);
    for (const channel of data.channels.bySlot) {
      if (channel === null || channel.state !== OPEN) continue;
      check(channel.pausedBy === 0, () => `channel ${channel.slot} is paused by ${channel.pausedBy}`);
      check(!channel.congested, () => `channel ${channel.slot} is congested`);
    }
    for (const port of data.plane.ports) {
      check(port === null || !port.congested, () => `the ring to ${port!.worker} is full`);
    }
    const { ledger } = data.plane.oom;
    const isScarce = ledger.filled() > data.plane.options.maxMemInQueues * LOW_SHARE;
    check(isScarce || !ledger.isReclaiming, () => 'circuits are still ended for memory that there is');
  }
}
