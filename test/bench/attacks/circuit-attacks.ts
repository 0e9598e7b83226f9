/** Attacks over open links: circuits and cells. */
import { BODY_BYTES, CELL_BYTES, setCircId } from '../../../src/cell/cell.ts';
import { Command } from '../../../src/cell/command.ts';
import { encodeCreate2, encodeCreateFast, HandshakeType } from '../../../src/cell/create.ts';
import { RelayCommand } from '../../../src/cell/relay-message.ts';
import { FAST_HALF_BYTES } from '../../../src/crypto/handshake/fast.ts';
import { EchoRelay } from '../../net/echo-relay.ts';
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
      // Two of three get new ids; the others stay in use, zero, or of the wrong half.
      for (let at = 0, index = 0; at < buffer.length; at += CELL_BYTES, index++) {
        if (index % 3 > 0) setCircId(buffer, at, (0x80000000 | state.next++) >>> 0);
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

/** Circuits made, given more RELAY_EARLY cells than any may carry, and so killed: as many as go. */
export class EarlyAbuse extends Hosing {
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

/** Cells that one circuit asks for before its link stops reading. */
const ECHOES_PER_CIRCUIT = 4000;
const CIRCUITS_PER_LINK = 10;

/** Circuits over the relay to an echo of ours whose answers are never read. */
export class NeverRead implements Attack {
  readonly tally: Tally = { links: 0, circuits: 0, refused: 0, asked: 0 };
  readonly #plan: AttackPlan;
  readonly #links = new Set<TestLink>();
  readonly #echo = new EchoRelay();
  #going = true;

  constructor(plan: AttackPlan) {
    this.#plan = plan;
  }

  async start(): Promise<void> {
    for (let i = 0; i < this.#plan.links; i++) void this.#run();
  }

  async #run(): Promise<void> {
    const there = { host: Uint8Array.of(127, 0, 0, 1), port: this.#echo.port };
    const rsaId = unhex(this.#plan.rsaId);
    const ed25519Id = unhex(this.#plan.ed25519Id);
    const onionKey = unhex(this.#plan.onionKey);
    while (this.#going) {
      try {
        const link = await openLink(this.#plan);
        link.onCell = () => false;
        this.#links.add(link);
        this.tally['links']! += 1;
        const circuits: TestCircuit[] = [];
        for (let i = 0; i < CIRCUITS_PER_LINK; i++) {
          const circuit = await TestCircuit.createNtor(link, { rsaId, ed25519Id, onionKey });
          await circuit.extend(this.#echo.hop, there);
          circuits.push(circuit);
          this.tally['circuits']! += 1;
        }
        link.socket!.pause();
        for (let n = 0; n < ECHOES_PER_CIRCUIT && this.#going && !link.isClosed; n++) {
          for (const circuit of circuits) circuit.send(RelayCommand.DATA, random(498), { streamId: 1 });
          this.tally['asked']! += circuits.length;
          await Bun.sleep(1);
        }
        await Promise.race([link.closed, Bun.sleep(3000)]);
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
    for (const link of this.#links) link.close();
    this.#echo.stop();
  }
}
