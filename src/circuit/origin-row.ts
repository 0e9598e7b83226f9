/**
 * Circuits that we start ourselves, as far as legs and channels are concerned: a row with a NEXT leg only.
 *
 * `origin/` owns what such a circuit means: its onion, its streams, its deadlines. Here it gets its row, and its first
 * hop is looked for as the next hop of any other circuit is: an open channel that fits, a dial that is under way, or a
 * dial of ours; on this worker or, across the ring, on another one.
 */
import type { Endpoint } from '../bytes/address.ts';
import type { ExtendTarget } from '../cell/extend.ts';
import { EXTENDING, ORIGIN } from './circuit-table.ts';
import { findNext } from './extend.ts';
import type { CircuitPlane } from './plane.ts';

/** The CREATE cell for a first hop. */
export interface FirstCreate {
  /** Body of a CREATE2, or of a CREATE_FAST; kept until it is sent. */
  readonly body: Uint8Array;
  readonly isFast: boolean;
}

/** Take a row for a circuit of ours. Whoever takes it tells `plane.origin` of it before `findFirst` is called. */
export function allocOrigin(plane: CircuitPlane): number {
  return plane.table.alloc(ORIGIN, EXTENDING, plane.nowMs);
}

/**
 * Send a row's first CREATE cell, now or when the channel is open. What fails, maybe at once, closes the circuit.
 * @param endpoint where a dial would go
 */
export function findFirst(
  plane: CircuitPlane,
  row: number,
  target: ExtendTarget,
  endpoint: Endpoint,
  create: FirstCreate,
): void {
  const { table } = plane;
  table.fast[row] = create.isFast ? 1 : 0;
  table.setPendingCreate(row, create.body);
  table.attempt[row] = (table.attempt[row]! + 1) >>> 0;
  findNext(plane, row, target, endpoint);
  plane.wake();
}
