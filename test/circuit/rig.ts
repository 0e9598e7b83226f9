/**
 * A relay of ours, a client on worker 0, and a last hop, in a world without faults: what the tests of `circuit/` play
 * on. Every helper leaves the world settled.
 */
import { expect } from 'bun:test';
import { BODY_AT } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import { EXTENDING, OWNED } from '../../src/circuit/circuit-table.ts';
import type { CircuitPlane } from '../../src/circuit/plane.ts';
import type { WorkerOptions } from '../../src/shm/letter.ts';
import type { RelayIndex } from '../../src/shm/relay-index.ts';
import type { CounterName } from '../../src/shm/scoreboard.ts';
import { ClientCircuit, type Heard, type Hop } from '../sim/client.ts';
import { Peer } from '../sim/peer.ts';
import { SimRelay } from '../sim/relay.ts';
import { type EndCircuit, Terminal } from '../sim/terminal.ts';
import { World } from '../sim/world.ts';

export const OUR_HOST = Uint8Array.of(198, 51, 100, 1);
export const NEXT_HOST = Uint8Array.of(198, 51, 100, 2);
/** A circuit id that a dialling client may pick. */
export const ID = 0x80000001;

export interface RigOptions {
  readonly workers?: number;
  readonly ringSlots?: number;
  readonly options?: Partial<WorkerOptions>;
  readonly relayIndex?: RelayIndex;
  readonly linkProtocol?: 4 | 5;
}

export class Rig {
  readonly world = new World(1);
  readonly relay: SimRelay;
  readonly client: Peer;
  readonly next: Terminal;

  constructor(options: RigOptions = {}) {
    this.relay = new SimRelay(this.world, { host: OUR_HOST, ...options });
    this.client = Peer.connect(this.world, this.relay, {
      worker: 0,
      linkProtocol: options.linkProtocol ?? 5,
    });
    this.next = new Terminal(this.world, NEXT_HOST);
    this.world.settle();
  }

  get plane(): CircuitPlane {
    return this.relay.workers[0]!.data.plane;
  }

  /** Ourselves, as a hop. */
  get own(): Hop {
    const { rsaId, ed25519Id, onionKey, host, port } = this.relay;
    return { rsaId, ed25519Id, onionKey: onionKey.publicKey, host, port };
  }

  settle(): void {
    this.world.settle();
  }

  /** A one-hop circuit, open. */
  open(circId = ID): ClientCircuit {
    const circuit = new ClientCircuit(this.client, circId);
    circuit.createFast();
    this.settle();
    circuit.createdFast(this.client.expect(Command.CREATED_FAST, circId));
    return circuit;
  }

  /** A circuit through us to `next`, open. */
  openTwo(circId = ID): ClientCircuit {
    const circuit = this.open(circId);
    circuit.extend(this.next.hop);
    this.settle();
    this.extended(circuit);
    return circuit;
  }

  /** Take the EXTENDED2 that came for a circuit. */
  extended(circuit: ClientCircuit): void {
    const heard = this.heard(circuit);
    expect(heard.command).toBe(RelayCommand.EXTENDED2);
    expect(circuit.finish(heard.data)).toBe(true);
  }

  /** The oldest relay message for a circuit. */
  heard(circuit: ClientCircuit): Heard {
    const cell = circuit.peer.take();
    expect([cell.command, cell.circId]).toEqual([Command.RELAY, circuit.circId]);
    return circuit.hear(cell);
  }

  /** The client was told that a circuit ended, for this reason, and nothing else came. */
  expectDestroyed(reason: number, circId = ID): void {
    const cell = this.client.take();
    expect([cell.command, cell.circId]).toEqual([Command.DESTROY, circId]);
    expect(cell.bytes[BODY_AT]).toBe(reason);
    expect(this.client.cells).toEqual([]);
  }

  /** Nothing came, and the circuit lives. */
  expectAlive(circuit: ClientCircuit): void {
    expect(this.client.cells).toEqual([]);
    circuit.say(RelayCommand.BEGIN, 77, new TextEncoder().encode('x:1\0'), { hop: 0 });
    this.settle();
    const heard = this.heard(circuit);
    expect([heard.hop, heard.command, heard.streamId]).toEqual([0, RelayCommand.END, 77]);
  }

  /** Both directions of a circuit work from end to end. */
  expectPasses(circuit: ClientCircuit, end: EndCircuit): void {
    const before = end.heard.length;
    circuit.say(RelayCommand.DATA, 5, Uint8Array.of(1, 2, 3));
    end.say(RelayCommand.DATA, 5, Uint8Array.of(4, 5, 6));
    this.settle();
    expect(end.heard.slice(before)).toEqual([{ command: RelayCommand.DATA, data: Uint8Array.of(1, 2, 3) }]);
    const heard = this.heard(circuit);
    expect(heard.hop).toBe(circuit.layers.length - 1);
    expect(heard.data).toEqual(Uint8Array.of(4, 5, 6));
  }

  count(name: CounterName): number {
    return this.relay.count(name);
  }

  /** Circuits of our workers, by kind. */
  rows(): { owned: number; transit: number } {
    let owned = 0;
    let transit = 0;
    for (const { data } of this.relay.workers) {
      const { table } = data.plane;
      for (let row = 0; row < table.capacity; row++) {
        if (table.kind[row] === OWNED) owned++;
        else if (table.kind[row] !== 0) transit++;
      }
    }
    return { owned, transit };
  }

  /** Rows that wait for their next hop. */
  extending(): number {
    const { table } = this.plane;
    return table.state.filter((state, row) => state === EXTENDING && table.kind[row] === OWNED).length;
  }

  /** No circuit is left anywhere, and nothing that belonged to one. */
  expectEmpty(): void {
    expect(this.rows()).toEqual({ owned: 0, transit: 0 });
    for (const { data } of this.relay.workers) {
      const { plane } = data;
      expect(plane.parked.used).toBe(0);
      expect(data.staging.lent).toBe(0);
      for (const channel of data.channels.bySlot) if (channel !== null) expect(channel.legCount).toBe(0);
      for (const port of plane.ports)
        if (port !== null) expect(port.owedCount + port.outgoing.used()).toBe(0);
    }
  }
}

/** So many bytes of one value. */
export function filled(length: number, value: number): Uint8Array {
  return new Uint8Array(length).fill(value);
}
