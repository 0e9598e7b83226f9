/**
 * The client of streams: links to the relay under test that authenticate as a relay's do, as exits want it, and
 * circuits of one hop on them.
 */
import { BODY_AT, CELL_BYTES, writeCell } from '../cell/cell.ts';
import { Command } from '../cell/command.ts';
import { decodeCreated2 } from '../cell/create.ts';
import { destroyReasonName } from '../cell/reason.ts';
import { beginHandshake, createBody } from '../origin/hop-handshake.ts';
import type { LinkCredentials } from '../shm/link-credentials.ts';
import { CellWriter } from './cell-writer.ts';
import { broken, type Hop } from './client.ts';
import { randomBytes } from './identity.ts';
import { dialLink, type LinkUser, LOOPBACK, type LoadLink } from './link.ts';
import { StreamCircuit } from './stream-circuit.ts';

/** What we ask a relay to acknowledge at once, as C tor's clients. */
const SENDME_INC = 31;
const CIRC_ID_BASE = 0x80000001;
const ANSWER_MS = 30_000;

interface Pending {
  resolve(body: Uint8Array): void;
  reject(fault: Error): void;
}

interface Line {
  readonly writer: CellWriter;
  readonly circuits: Map<number, StreamCircuit>;
  readonly created: Map<number, Pending>;
}

/** Wait for an answer, but not for ever. @throws OperatorError */
export async function answered<T>(answer: Promise<T>, what: string, where: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(broken(`no answer to ${what}`, where)), ANSWER_MS);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Links and circuits of one client. */
export class StreamClient implements LinkUser {
  /** Circuits in the order in which they were asked for. */
  readonly circuits: StreamCircuit[] = [];
  /** Circuits that are gone unasked, and why. */
  readonly losses: string[] = [];
  readonly links: LoadLink[] = [];
  readonly #relay: Hop;
  readonly #credentials: LinkCredentials;
  readonly #lines = new Map<LoadLink, Line>();

  constructor(relay: Hop, credentials: LinkCredentials) {
    this.#relay = relay;
    this.#credentials = credentials;
  }

  /** Open links, as a relay or as a client that says nothing of itself. */
  async connect(connections: number, isRelay: boolean): Promise<void> {
    const { host = '127.0.0.1', port } = this.#relay;
    for (let i = 0; i < connections; i++) {
      const at = { host, port, from: '127.0.0.1', fromPort: 0, authenticates: isRelay };
      const link = dialLink(at, this.#credentials, this);
      const circuits = new Map<number, StreamCircuit>();
      const writer = new CellWriter(link, () => {
        for (const circuit of circuits.values()) circuit.wake();
      });
      this.#lines.set(link, { writer, circuits, created: new Map() });
      await link.opened;
      this.links.push(link);
    }
  }

  /** Make circuits, round robin over the links. Returns how many of them have congestion control. */
  async build(circuits: number, askCc: boolean): Promise<number> {
    let controlled = 0;
    for (let i = 0; i < circuits; i++) {
      const circuit = await this.#create(this.links[i % this.links.length]!, CIRC_ID_BASE + i, askCc);
      this.circuits.push(circuit);
      if (!circuit.hasStreamWindows) controlled++;
    }
    return controlled;
  }

  async #create(link: LoadLink, circId: number, askCc: boolean): Promise<StreamCircuit> {
    const { rsaId, ed25519Id, onionKey, port } = this.#relay;
    const ipv4 = { host: LOOPBACK, port };
    const hop = { rsaId, ed25519Id, onionKey, ipv4, ipv6: null, ntorV3: askCc, congestionControl: askCc };
    const handshake = beginHandshake(hop, askCc, SENDME_INC, randomBytes);
    if (handshake === null) throw broken('the relay’s onion key cannot be used', this.#where);
    const { writer, circuits, created } = this.#lines.get(link)!;
    const answer = new Promise<Uint8Array>((resolve, reject) => created.set(circId, { resolve, reject }));
    const at = writer.next();
    writeCell(writer.bytes, at, circId, Command.CREATE2, createBody(handshake));
    const keys = handshake.finish(decodeCreated2(await answered(answer, 'CREATE2', this.#where)));
    if (keys === null) throw broken('the relay answered a handshake with the wrong keys', this.#where);
    const circuit = new StreamCircuit(circId, keys, writer, (why) => this.losses.push(why));
    circuits.set(circId, circuit);
    return circuit;
  }

  get #where(): string {
    return `port ${this.#relay.port}`;
  }

  onCell(link: LoadLink, command: number, circId: number, bytes: Uint8Array, at: number): void {
    const { circuits, created } = this.#lines.get(link)!;
    if (command === Command.RELAY) {
      circuits.get(circId)?.onRelay(bytes, at);
    } else if (command === Command.CREATED2) {
      created.get(circId)?.resolve(bytes.slice(at + BODY_AT, at + CELL_BYTES));
      created.delete(circId);
    } else if (command === Command.DESTROY) {
      this.#lose(link, circId, `DESTROY: ${destroyReasonName(bytes[at + BODY_AT]!)}`);
    }
  }

  #lose(link: LoadLink, circId: number, why: string): void {
    const { circuits, created } = this.#lines.get(link)!;
    created.get(circId)?.reject(broken(why, this.#where));
    created.delete(circId);
    const circuit = circuits.get(circId);
    if (circuit === undefined) return;
    circuits.delete(circId);
    if (!circuit.isOver) this.losses.push(why);
    circuit.close();
  }

  onDrain(link: LoadLink): void {
    this.#lines.get(link)?.writer.flush();
  }

  onGone(link: LoadLink): void {
    const { circuits, created } = this.#lines.get(link)!;
    for (const circId of [...circuits.keys(), ...created.keys()]) this.#lose(link, circId, 'the link closed');
  }
}
