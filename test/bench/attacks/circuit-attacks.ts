/** Attacks over open links: circuits and cells. */
import { BODY_BYTES, CELL_BYTES, setCircId } from '../../../src/cell/cell.ts';
import { Command } from '../../../src/cell/command.ts';
import { encodeCreate2, encodeCreateFast, HandshakeType } from '../../../src/cell/create.ts';
import { RelayCommand } from '../../../src/cell/relay-message.ts';
import { FAST_HALF_BYTES } from '../../../src/crypto/handshake/fast.ts';
import { FloodRelay } from '../../net/flood-relay.ts';
import { TestCircuit } from '../../net/test-circuit.ts';
import type { TestLink } from '../../net/test-link.ts';
import { type Attack, type AttackPlan, fillCells, Hose, openLink, unhex } from './attack.ts';

type Tally = Record<string, number>;

const random = (bytes: number): Uint8Array => crypto.getRandomValues(new Uint8Array(bytes));

/** Keeps so many links open and a hose on each; opens them anew when the relay closes them. */
abstract class Hosing implements Attack {
  readonly tally: Tally = { links: 0, cells: 0, refused: 0 };
  protected readonly plan: AttackPlan;
  readonly #links = new Set<TestLink>();
  readonly #hoses = new Set<Hose>();
  #going = true;

  constructor(plan: AttackPlan) {
    this.plan = plan;
  }

  /** Called for each link when it is open; gives what fills its buffers. */
  protected abstract aim(link: TestLink): (buffer: Uint8Array) => void;

  async start(): Promise<void> {
    await Promise.all(Array.from({ length: this.plan.links }, () => this.#open()));
  }

  async #open(): Promise<void> {
    try {
      const link = await openLink(this.plan);
      if (!this.#going) {
        link.close();
        return;
      }
      this.tally['links']! += 1;
      this.#links.add(link);
      const hose = new Hose(link, this.aim(link));
      this.#hoses.add(hose);
      void link.closed.then(() => {
        this.#links.delete(link);
        this.#hoses.delete(hose);
        this.tally['cells']! += hose.cells;
        if (this.#going) setTimeout(() => void this.#open(), 100);
      });
    } catch {
      this.tally['refused']! += 1;
      if (this.#going) setTimeout(() => void this.#open(), 100);
    }
  }

  async stop(): Promise<void> {
    this.#going = false;
    const closed = [...this.#links].map((link) => link.closed);
    for (const hose of this.#hoses) hose.stop();
    for (const link of this.#links) link.close();
    await Promise.race([Promise.all(closed), Bun.sleep(1000)]);
  }
}

/** RELAY cells for circuits that do not exist. */
export class UnknownCells extends Hosing {
  protected aim(): (buffer: Uint8Array) => void {
    const body = random(BODY_BYTES);
    let filled = false;
    return (buffer) => {
      if (filled) return;
      filled = true;
      fillCells(buffer, (index) => ({ circId: 0x90000000 + index, command: Command.RELAY, body }));
    };
  }
}

/** DESTROY for circuits that do not exist. */
export class UnknownDestroys extends Hosing {
  protected aim(): (buffer: Uint8Array) => void {
    const body = random(BODY_BYTES);
    let filled = false;
    return (buffer) => {
      if (filled) return;
      filled = true;
      fillCells(buffer, (index) => ({ circId: 0x90000000 + index, command: Command.DESTROY, body }));
    };
  }
}

/** Circuit ids that were never used on this link, one after another, over the cells of a buffer. */
function renumber(buffer: Uint8Array, every: number, state: { next: number }): void {
  for (let at = 0; at < buffer.length; at += CELL_BYTES * every) {
    setCircId(buffer, at, (0x80000000 | state.next++) >>> 0);
  }
}

/**
 * CREATE2 of all wrong kinds: ntor for another relay or key, ntor-v3 of noise, handshakes unknown and cut short,
 * ids in use, ids of the wrong half, the id 0.
 */
export class CreateGarbage extends Hosing {
  protected aim(): (buffer: Uint8Array) => void {
    const create = (handshakeType: number, data: Uint8Array) => encodeCreate2({ handshakeType, data });
    const ntor = new Uint8Array(84);
    ntor.set(unhex(this.plan.rsaId));
    ntor.set(random(64), 20);
    const bodies = [
      create(HandshakeType.NTOR, ntor),
      create(HandshakeType.NTOR, random(84)),
      create(HandshakeType.NTOR, random(83)),
      create(HandshakeType.NTOR_V3, random(150)),
      create(0x4242, random(300)),
      Uint8Array.of(0, 2, 255, 255, 1),
    ];
    let filled = false;
    const state = { next: 1 };
    return (buffer) => {
      if (!filled) {
        fillCells(buffer, (index) => {
          const circId = index % 11 === 0 ? 0 : index % 13 === 0 ? 7 : 0x80000001;
          return { circId, command: Command.CREATE2, body: bodies[index % bodies.length]! };
        });
        filled = true;
      }
      // Three of four, of every body, get new ids; the others stay in use, zero, or of the wrong half.
      for (let at = 0, index = 0; at < buffer.length; at += CELL_BYTES, index++) {
        if (index % 4 > 0) setCircId(buffer, at, (0x80000000 | state.next++) >>> 0);
      }
    };
  }
}

/** CREATE_FAST without end: each is a circuit, until there is no room. */
export class CreateFastFlood extends Hosing {
  protected aim(): (buffer: Uint8Array) => void {
    const body = encodeCreateFast(random(FAST_HALF_BYTES));
    const state = { next: 1 };
    let filled = false;
    return (buffer) => {
      if (!filled) fillCells(buffer, () => ({ circId: 0, command: Command.CREATE_FAST, body }));
      filled = true;
      renumber(buffer, 1, state);
    };
  }
}

/** Circuits made, and killed by the first cell on them, for which there is no next hop; nine more follow each. */
export class StillBorn extends Hosing {
  protected aim(): (buffer: Uint8Array) => void {
    const fast = encodeCreateFast(random(FAST_HALF_BYTES));
    const body = random(BODY_BYTES);
    const state = { next: 1 };
    const perCircuit = 10;
    return (buffer) => {
      let circId = 0;
      fillCells(buffer, (index) => {
        if (index % perCircuit === 0) circId = (0x80000000 | state.next++) >>> 0;
        return index % perCircuit === 0
          ? { circId, command: Command.CREATE_FAST, body: fast }
          : { circId, command: Command.RELAY_EARLY, body };
      });
    };
  }
}

const EARLY_CELLS = 12;
const EARLY_LANES = 16;

/** Circuits that get more RELAY_EARLY cells than any may carry, each a message in order. */
export class EarlyAbuse implements Attack {
  readonly tally: Tally = { links: 0, circuits: 0, destroyed: 0, refused: 0 };
  readonly #plan: AttackPlan;
  readonly #links: TestLink[] = [];
  #going = true;

  constructor(plan: AttackPlan) {
    this.#plan = plan;
  }

  async start(): Promise<void> {
    for (let i = 0; i < this.#plan.links; i++) {
      const link = await openLink(this.#plan);
      link.onCell = () => false;
      this.#links.push(link);
      this.tally['links']! += 1;
      for (let lane = 0; lane < EARLY_LANES; lane++) void this.#abuse(link);
    }
  }

  async #abuse(link: TestLink): Promise<void> {
    while (this.#going && !link.isClosed) {
      try {
        const circuit = await TestCircuit.createFast(link);
        this.tally['circuits']! += 1;
        for (let n = 0; n < EARLY_CELLS; n++) {
          circuit.send(RelayCommand.DROP, new Uint8Array(0), { early: true });
        }
        if ('destroyed' in (await circuit.receive())) this.tally['destroyed']! += 1;
      } catch {
        this.tally['refused']! += 1;
        await Bun.sleep(10);
      }
    }
  }

  async stop(): Promise<void> {
    this.#going = false;
    for (const link of this.#links) link.close();
  }
}

const CIRCUITS_PER_LINK = 10;
/** Cells poured in one go, and how often. */
const POUR_CELLS = 500;
const POUR_MS = 2;
const UNREAD_MS = 1000;

/** Circuits over the relay to a next hop of ours that sends on all of them, and nobody reads. */
export class NeverRead implements Attack {
  readonly tally: Tally = { links: 0, circuits: 0, refused: 0, poured: 0 };
  readonly #plan: AttackPlan;
  readonly #links = new Set<TestLink>();
  readonly #next = new FloodRelay();
  #going = true;

  constructor(plan: AttackPlan) {
    this.#plan = plan;
  }

  async start(): Promise<void> {
    for (let i = 0; i < this.#plan.links; i++) void this.#keepUnread();
    void this.#pour();
  }

  async #pour(): Promise<void> {
    while (this.#going) {
      this.#next.pour(POUR_CELLS);
      await Bun.sleep(POUR_MS);
    }
  }

  async #keepUnread(): Promise<void> {
    const there = { host: Uint8Array.of(127, 0, 0, 1), port: this.#next.port };
    while (this.#going) {
      try {
        const link = await openLink(this.#plan);
        link.onCell = () => false;
        this.#links.add(link);
        this.tally['links']! += 1;
        for (let i = 0; i < CIRCUITS_PER_LINK; i++) {
          const circuit = await TestCircuit.createFast(link);
          await circuit.extend(this.#next.hop, there);
          this.tally['circuits']! += 1;
        }
        link.onCell = () => true;
        link.socket!.pause();
        // When the relay has ended all its circuits there is nothing left for it to do.
        await Promise.race([link.closed, Bun.sleep(UNREAD_MS)]);
        this.#links.delete(link);
        link.close();
      } catch {
        this.tally['refused']! += 1;
        await Bun.sleep(100);
      }
    }
  }

  async stop(): Promise<void> {
    this.#going = false;
    this.tally['poured'] = this.#next.poured;
    for (const link of this.#links) link.close();
    for (const link of this.#next.links) link.close();
    this.#next.stop();
  }
}
