/** A relay of the test's own that sends cells back on the circuits through it, whether anyone reads them or not. */

import { buildCell, CELL_BYTES, setCircId } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import { EchoRelay } from './echo-relay.ts';
import type { TestLink } from './test-link.ts';

/** What waits for one link's socket, and the circuits that its peer extended to us. */
interface Outlet {
  readonly circuits: Set<number>;
  readonly queue: Uint8Array[];
  /** Bytes of the first in the queue that are gone. */
  sent: number;
  /** Circuits in turn. */
  next: number[];
}

/** Such a relay; besides flooding it does what an `EchoRelay` does. */
export class FloodRelay extends EchoRelay {
  readonly #outlets = new Map<TestLink, Outlet>();
  readonly #cell = buildCell(0, Command.RELAY, crypto.getRandomValues(new Uint8Array(509)));
  /** Cells sent on circuits. */
  poured = 0;

  override serve(link: TestLink): void {
    super.serve(link);
    const outlet: Outlet = { circuits: new Set(), queue: [], sent: 0, next: [] };
    this.#outlets.set(link, outlet);
    const { onCell } = link;
    link.onCell = (cell) => {
      if (cell.command === Command.CREATE2) outlet.circuits.add(cell.circId);
      if (cell.command === Command.DESTROY) outlet.circuits.delete(cell.circId);
      return onCell(cell);
    };
    // Everything goes through one queue, so that no cell ends up within another.
    link.send = (bytes) => {
      if (bytes.length > 0) outlet.queue.push(bytes.slice());
      drain(link, outlet);
    };
    link.flush = () => drain(link, outlet);
  }

  /** Circuits that end here and live. */
  get alive(): number {
    let alive = 0;
    for (const { circuits } of this.#outlets.values()) alive += circuits.size;
    return alive;
  }

  /** The circuits that live, by link. */
  circuitsOf(link: TestLink): ReadonlySet<number> {
    return this.#outlets.get(link)?.circuits ?? new Set();
  }

  /** Send at most so many cells, a few to each circuit that `may` have some, in turn, as far as sockets take them. */
  pour(most: number, may: (link: TestLink, circId: number) => boolean = () => true): number {
    let left = most;
    for (const [link, outlet] of this.#outlets) {
      if (link.isClosed) this.#outlets.delete(link);
      while (left > 0 && !link.isClosed && outlet.queue.length === 0 && outlet.circuits.size > 0) {
        if (outlet.next.length === 0)
          outlet.next = [...outlet.circuits].filter((circId) => may(link, circId));
        const circIds = outlet.next.splice(0, Math.min(left, 64));
        if (circIds.length === 0) break;
        const bytes = new Uint8Array(circIds.length * CELL_BYTES);
        for (const [i, circId] of circIds.entries()) {
          setCircId(this.#cell, 0, circId);
          bytes.set(this.#cell, i * CELL_BYTES);
        }
        left -= circIds.length;
        link.send(bytes);
      }
    }
    this.poured += most - left;
    return most - left;
  }
}

function drain(link: TestLink, outlet: Outlet): void {
  while (outlet.queue.length > 0 && link.socket !== null && !link.isClosed) {
    const head = outlet.queue[0]!;
    outlet.sent += Math.max(0, link.socket.write(head, outlet.sent, head.length - outlet.sent));
    if (outlet.sent < head.length) return;
    outlet.queue.shift();
    outlet.sent = 0;
  }
}
