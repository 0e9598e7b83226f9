/**
 * Circuits with numbered cells both ways, and the law that they obey: what one end hears is what the other said, from
 * the first cell on, none lost, doubled or out of place.
 */
import { BODY_AT } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import { ClientCircuit, type Hop } from './client.ts';
import { Peer, type TakenCell } from './peer.ts';
import type { SimRelay } from './relay.ts';
import type { EndCircuit, Terminal } from './terminal.ts';
import type { World } from './world.ts';

/** How much an end may have said that the other has not heard: the SENDME window of this world. */
export interface FlowLimits {
  readonly cells: number;
  readonly window: number;
}

/** One direction of a circuit. */
export class Flow {
  said = 0;
  heard = 0;
  readonly limits: FlowLimits;

  constructor(limits: FlowLimits) {
    this.limits = limits;
  }

  get maySay(): boolean {
    return this.said < this.limits.cells && this.said - this.heard < this.limits.window;
  }

  get isDone(): boolean {
    return this.heard === this.limits.cells;
  }

  /** The next message: its number, and bytes that depend on it. */
  next(): Uint8Array {
    const data = new Uint8Array(64).fill(this.said & 255);
    new DataView(data.buffer).setUint32(0, this.said++);
    return data;
  }

  hear(data: Uint8Array, who: string): void {
    const number = new DataView(data.buffer, data.byteOffset).getUint32(0);
    if (number !== this.heard || data[63] !== (number & 255)) {
      throw new Error(`${who}: heard cell ${number} instead of ${this.heard}`);
    }
    this.heard++;
  }
}

export type Phase = 'creating' | 'extending' | 'open' | 'dead';

/** A link of a client with the circuits on it. */
export class Client {
  readonly relay: SimRelay;
  readonly peer: Peer;
  readonly circuits: Circuit[] = [];
  private nextId: number;

  constructor(world: World, relay: SimRelay) {
    this.relay = relay;
    this.peer = Peer.connect(world, relay, {
      ...(relay.pinned === null ? {} : { worker: relay.pinned }),
      from: {
        host: Uint8Array.of(203, 0, 113, 1 + world.prng.below(3)),
        port: 1024 + world.prng.below(60_000),
      },
    });
    this.nextId = (0x80000000 + world.prng.below(0x1000_0000)) >>> 0;
    this.peer.onCell = (cell) => this.circuits.find(({ circId }) => circId === cell.circId)?.take(cell);
  }

  /** Build a circuit by these relays to a terminal. */
  build(
    name: string,
    through: readonly SimRelay[],
    end: Terminal,
    forward: FlowLimits,
    backward: FlowLimits,
  ): Circuit {
    const circuit = new Circuit(name, this, this.nextId++, through, end, forward, backward);
    this.circuits.push(circuit);
    circuit.start();
    return circuit;
  }
}

/** One circuit of a client. */
export class Circuit {
  readonly name: string;
  readonly client: Client;
  readonly circId: number;
  readonly through: readonly SimRelay[];
  readonly terminal: Terminal;
  readonly forward: Flow;
  readonly backward: Flow;
  phase: Phase = 'creating';
  /** Reason of the DESTROY that the client got, or -1. */
  destroyed = -1;
  /** The client closed it itself. */
  abandoned = false;
  end: EndCircuit | null = null;
  private readonly onion: ClientCircuit;
  /** TRUNCATEs that are not confirmed yet. */
  private truncates = 0;
  /** RELAY_EARLY cells that the circuit may still use. */
  private extendsLeft = 8;
  private readonly hops: Hop[];

  constructor(
    name: string,
    client: Client,
    circId: number,
    through: readonly SimRelay[],
    terminal: Terminal,
    forward: FlowLimits,
    backward: FlowLimits,
  ) {
    this.name = name;
    this.client = client;
    this.circId = circId;
    this.through = through;
    this.terminal = terminal;
    this.forward = new Flow(forward);
    this.backward = new Flow(backward);
    this.onion = new ClientCircuit(client.peer, circId);
    this.hops = [...through.slice(1).map(hopOf), terminal.hop];
  }

  get isDone(): boolean {
    return this.phase === 'open' && this.forward.isDone && this.backward.isDone;
  }

  start(): void {
    this.onion.createFast();
  }

  take(cell: TakenCell): void {
    if (this.phase === 'dead') return;
    if (cell.command === Command.DESTROY) {
      this.destroyed = cell.bytes[BODY_AT]!;
      this.phase = 'dead';
    } else if (cell.command === Command.CREATED_FAST) {
      this.onion.createdFast(cell.bytes.subarray(BODY_AT));
      this.extend();
    } else {
      this.hear(cell);
    }
  }

  private extend(): void {
    this.phase = 'extending';
    this.extendsLeft--;
    this.onion.extend(this.hops[this.onion.layers.length - 1]!);
  }

  /** Think better of the extend in progress: cut off all but the first hop, and extend anew without waiting. */
  truncate(): boolean {
    if (this.phase !== 'extending' || this.extendsLeft < 2 * this.hops.length) return false;
    this.onion.say(RelayCommand.TRUNCATE, 0, Uint8Array.of(9), { hop: 0 });
    this.onion.layers.length = 1;
    this.truncates++;
    this.extend();
    return true;
  }

  private hear(cell: TakenCell): void {
    const heard = this.onion.hear(cell);
    if (this.truncates > 0) {
      // Until it is confirmed, what comes may be of the hops that were cut off; after that it may not.
      if (heard.command === RelayCommand.TRUNCATED) this.truncates--;
      return;
    }
    if (heard.command === RelayCommand.EXTENDED2) {
      if (!this.onion.finish(heard.data)) throw new Error(`${this.name}: EXTENDED2 of someone else`);
      if (this.onion.layers.length <= this.hops.length) {
        this.extend();
        return;
      }
      this.phase = 'open';
      this.introduce();
      return;
    }
    if (heard.command !== RelayCommand.DATA || heard.hop !== this.hops.length) {
      throw new Error(`${this.name}: heard command ${heard.command} from hop ${heard.hop}`);
    }
    this.backward.hear(heard.data, `${this.name} backward`);
  }

  /** The terminal learns whose circuit it holds from the first cell that it hears. */
  private introduce(): void {
    const tag = new Uint8Array(4);
    new DataView(tag.buffer).setUint32(0, ++lastTag);
    introducedTo(this.terminal).set(lastTag, this);
    this.onion.say(RelayCommand.DROP, 0, tag);
  }

  /** Say one cell forward, if the window allows. */
  sayForward(): boolean {
    if (this.phase !== 'open' || !this.forward.maySay) return false;
    this.onion.say(RelayCommand.DATA, 1, this.forward.next());
    return true;
  }

  /** Say one cell backward, if the window allows. */
  sayBackward(): boolean {
    if (this.phase !== 'open' || this.end === null || this.end.destroyed >= 0 || this.end.peer.gone)
      return false;
    if (!this.backward.maySay) return false;
    this.end.say(RelayCommand.DATA, 1, this.backward.next());
    return true;
  }

  /** The client gives up on it. */
  abandon(): void {
    if (this.phase === 'dead') return;
    this.abandoned = true;
    this.phase = 'dead';
    this.client.peer.send(this.circId, Command.DESTROY, Uint8Array.of(0));
  }
}

/** Circuits by the tag that they introduce themselves with to their terminal. Many never arrive: worlds must not pile up. */
const introductions = new WeakMap<Terminal, Map<number, Circuit>>();
let lastTag = 0;

function introducedTo(terminal: Terminal): Map<number, Circuit> {
  let circuits = introductions.get(terminal);
  if (circuits === undefined) {
    circuits = new Map();
    introductions.set(terminal, circuits);
  }
  return circuits;
}

/** Let a terminal know its circuits, and check what it hears. */
export function attend(terminal: Terminal): void {
  terminal.onCircuit = (end) => {
    let circuit: Circuit | null = null;
    end.onHeard = (command, data) => {
      if (command === RelayCommand.DROP) {
        const tag = new DataView(data.buffer, data.byteOffset).getUint32(0);
        const introduced = introducedTo(terminal);
        circuit = introduced.get(tag) ?? null;
        introduced.delete(tag);
        if (circuit !== null) circuit.end = end;
        return;
      }
      if (circuit === null) throw new Error('a cell of nobody');
      circuit.forward.hear(data, `${circuit.name} forward`);
    };
  };
}

function hopOf(relay: SimRelay): Hop {
  const { rsaId, ed25519Id, onionKey, host, port } = relay;
  return { rsaId, ed25519Id, onionKey: onionKey.publicKey, host, port };
}
