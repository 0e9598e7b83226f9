/**
 * Origin circuits in a world without faults: `ours` starts them, `middle` is a relay of ours with all its answers,
 * `end` a last hop that the test plays. Every helper leaves the world settled.
 */
import { expect } from 'bun:test';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import { FREE, ORIGIN } from '../../src/circuit/circuit-table.ts';
import type { CircuitEvents, OriginCircuit } from '../../src/origin/origin-circuit.ts';
import type { OriginStream, StreamEvents } from '../../src/origin/origin-stream.ts';
import type { Origins } from '../../src/origin/origins.ts';
import type { WorkerOptions } from '../../src/shm/letter.ts';
import type { OriginHop } from '../../src/shm/origin-letter.ts';
import type { CounterName } from '../../src/shm/scoreboard.ts';
import type { Hop } from '../sim/client.ts';
import { SimRelay } from '../sim/relay.ts';
import { type EndCircuit, Terminal } from '../sim/terminal.ts';
import { World } from '../sim/world.ts';

const OUR_HOST = Uint8Array.of(198, 51, 100, 1);
const MIDDLE_HOST = Uint8Array.of(198, 51, 100, 2);
const END_HOST = Uint8Array.of(198, 51, 100, 3);
const OTHER_HOST = Uint8Array.of(198, 51, 100, 4);
const TIMEOUT_MS = 60_000;

/** Writes down what a circuit tells. */
export class CircuitLog implements CircuitEvents {
  opened = 0;
  readonly closed: { reason: number; hops: number }[] = [];
  onOpen(): void {
    this.opened++;
  }
  onClosed(reason: number, hops: number): void {
    this.closed.push({ reason, hops });
  }
}

/** Writes down what a stream tells. */
export class StreamLog implements StreamEvents {
  readonly opened: Uint8Array[] = [];
  readonly ended: number[] = [];
  data = new Uint8Array(0);
  rooms = 0;
  onRoomDo: () => void = () => {};
  onOpen(data: Uint8Array): void {
    this.opened.push(data.slice());
  }
  onData(data: Uint8Array): void {
    const all = new Uint8Array(this.data.length + data.length);
    all.set(this.data);
    all.set(data, this.data.length);
    this.data = all;
  }
  onRoom(): void {
    this.rooms++;
    this.onRoomDo();
  }
  onEnd(reason: number): void {
    this.ended.push(reason);
  }
}

export interface OriginRigOptions {
  readonly workers?: number;
  readonly options?: Partial<WorkerOptions>;
}

export class OriginRig {
  readonly world = new World(1);
  readonly ours: SimRelay;
  readonly middle: SimRelay;
  readonly end: Terminal;
  /** Another relay like the middle. */
  readonly other: SimRelay;

  constructor({ workers = 1, options = {} }: OriginRigOptions = {}) {
    this.ours = new SimRelay(this.world, { host: OUR_HOST, workers, options });
    this.middle = new SimRelay(this.world, { host: MIDDLE_HOST });
    this.other = new SimRelay(this.world, { host: OTHER_HOST });
    this.end = new Terminal(this.world, END_HOST);
    this.world.settle();
  }

  origins(worker = 0): Origins {
    return this.ours.workers[worker]!.data.origins;
  }

  settle(): void {
    this.world.settle();
  }

  /** The middle relay as a hop, as far as `changed` does not say otherwise. */
  middleHop(changed: Partial<OriginHop> = {}): OriginHop {
    const { rsaId, ed25519Id, onionKey, host, port } = this.middle;
    return {
      ...hopOf({ rsaId, ed25519Id, onionKey: onionKey.publicKey, host, port }),
      ntorV3: true,
      ...changed,
    };
  }

  /** A path through two relays to ourselves. */
  toOurselves(): OriginHop[] {
    const [own, other] = [this.ours, this.other].map(({ rsaId, ed25519Id, onionKey, host, port }) => ({
      ...hopOf({ rsaId, ed25519Id, onionKey: onionKey.publicKey, host, port }),
      ntorV3: true,
    }));
    return [this.middleHop(), other!, own!];
  }

  endHop(changed: Partial<OriginHop> = {}): OriginHop {
    return { ...hopOf(this.end.hop), ...changed };
  }

  /** Begin a circuit and let it be built as far as it gets. */
  open(path: readonly OriginHop[], worker = 0): { circuit: OriginCircuit; log: CircuitLog } {
    const log = new CircuitLog();
    const circuit = this.origins(worker).open(path, TIMEOUT_MS, log);
    this.settle();
    return { circuit, log };
  }

  /** An open circuit through the middle to the end. */
  openTwo(worker = 0): { circuit: OriginCircuit; log: CircuitLog; far: EndCircuit } {
    const opened = this.open([this.middleHop(), this.endHop()], worker);
    expect(opened.log).toMatchObject({ opened: 1, closed: [] });
    return { ...opened, far: this.end.last };
  }

  /** A stream on an open circuit that the end has connected. */
  connected(circuit: OriginCircuit, far: EndCircuit): { stream: OriginStream; log: StreamLog } {
    const log = new StreamLog();
    const stream = circuit.connect('example.com:80', 0, log)!;
    this.settle();
    far.say(RelayCommand.CONNECTED, stream.id, Uint8Array.of(192, 0, 2, 7, 0, 0, 0, 60));
    this.settle();
    expect(log.opened.length).toBe(1);
    return { stream, log };
  }

  count(name: CounterName): number {
    return this.ours.count(name);
  }

  /** Nothing of any circuit is left at ours. */
  expectEmpty(): void {
    for (const { data } of this.ours.workers) {
      const { table, parked } = data.plane;
      expect(data.origins.count).toBe(0);
      expect(parked.used).toBe(0);
      expect([...table.kind].every((kind) => kind === FREE)).toBe(true);
    }
  }

  /** Rows of circuits that our workers started. */
  originRows(): number {
    let rows = 0;
    for (const { data } of this.ours.workers) {
      for (const kind of data.plane.table.kind) if (kind === ORIGIN) rows++;
    }
    return rows;
  }
}

function hopOf({ rsaId, ed25519Id, onionKey, host, port }: Hop): OriginHop {
  const endpoint = { host, port };
  return {
    rsaId,
    ed25519Id,
    onionKey,
    ipv4: host.length === 4 ? endpoint : null,
    ipv6: host.length === 16 ? endpoint : null,
    ntorV3: false,
    congestionControl: false,
  };
}
