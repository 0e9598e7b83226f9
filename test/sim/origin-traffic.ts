/**
 * Circuits that simulated relays start themselves, beside those of clients: over another relay or straight to an end,
 * one stream each, numbered cells both ways under the law of `traffic`. Each gets done, or ends and says so.
 */
import { RelayCommand } from '../../src/cell/relay-message.ts';
import type { OriginCircuit } from '../../src/origin/origin-circuit.ts';
import type { OriginStream } from '../../src/origin/origin-stream.ts';
import type { OriginHop } from '../../src/shm/origin-letter.ts';
import type { SimRelay, SimWorker } from './relay.ts';
import { type EndCircuit, Terminal } from './terminal.ts';
import { Flow } from './traffic.ts';
import type { World } from './world.ts';

const END_HOST = Uint8Array.of(198, 51, 100, 111);
const TIMEOUT_MS = 60_000;
/** Less than a stream's window: the end that is played sends no SENDMEs. */
const CELLS_MOST = 120;

/** One circuit with its stream. */
class Play {
  readonly name: string;
  readonly worker: SimWorker;
  readonly forward: Flow;
  readonly backward: Flow;
  isOver = false;
  circuit: OriginCircuit | null = null;
  stream: OriginStream | null = null;
  end: EndCircuit | null = null;
  streamId = 0;
  private unsent: Uint8Array | null = null;

  constructor(name: string, worker: SimWorker, forward: Flow, backward: Flow) {
    this.name = name;
    this.worker = worker;
    this.forward = forward;
    this.backward = backward;
  }

  get isDone(): boolean {
    return this.forward.isDone && this.backward.isDone;
  }

  open(path: readonly OriginHop[]): void {
    this.circuit = this.worker.data.origins.open(path, TIMEOUT_MS, {
      onOpen: () => this.connect(),
      onClosed: () => {
        this.isOver = true;
      },
    });
  }

  /** The circuit may be open before `open` has returned. */
  private connect(): void {
    const { circuit } = this;
    if (circuit === null) throw new Error(`${this.name} is open at once`);
    this.stream = circuit.connect(`${this.name}:1`, 0, {
      onOpen: () => {},
      onData: (data) => this.backward.hear(data, this.name),
      onRoom: () => this.say(),
      onEnd: () => {
        this.isOver = true;
      },
    });
  }

  /** Say the next thing each way, as far as there is room. */
  say(): void {
    if (this.isOver || !this.worker.alive) return;
    if (this.unsent === null && this.forward.maySay && this.stream !== null)
      this.unsent = this.forward.next();
    if (this.unsent !== null && this.stream!.write(this.unsent) > 0) this.unsent = null;
    if (this.end !== null && this.end.destroyed < 0 && !this.end.peer.gone && this.backward.maySay) {
      this.end.say(RelayCommand.DATA, this.streamId, this.backward.next());
    }
  }
}

/** All circuits that relays of a world started. */
export class OriginTraffic {
  readonly plays: Play[] = [];
  readonly end: Terminal;
  private readonly world: World;

  constructor(world: World) {
    this.world = world;
    this.end = new Terminal(world, END_HOST);
    this.end.onCircuit = (circuit) => {
      let play: Play | null = null;
      circuit.onHeard = (command, data) => {
        if (command === RelayCommand.BEGIN) {
          const [name] = Buffer.from(data).toString('latin1').split(':');
          play = this.plays.find((one) => one.name === name)!;
          play.end = circuit;
          play.streamId = circuit.streamIds.at(-1)!;
          circuit.say(RelayCommand.CONNECTED, play.streamId);
        } else if (command === RelayCommand.DATA) {
          play!.forward.hear(data, `${play!.name} at its end`);
        }
      };
    };
  }

  /** Start a circuit at a relay, over `other` or straight. Returns what happened. */
  start(relay: SimRelay, other: SimRelay | null): string {
    const { prng } = this.world;
    const worker = prng.pick(relay.workers);
    if (!worker.alive) return 'a dead worker starts no circuit';
    const limits = () => new Flow({ cells: prng.below(CELLS_MOST), window: 1 + prng.below(CELLS_MOST) });
    const play = new Play(`own${this.plays.length}`, worker, limits(), limits());
    this.plays.push(play);
    const path = [...(other === null ? [] : [hopOfRelay(other)]), this.endHop()];
    play.open(path);
    return `${play.name} of worker ${worker.worker} over ${path.length}`;
  }

  private endHop(): OriginHop {
    const { rsaId, ed25519Id, onionKey, host, port } = this.end.hop;
    return { ...PLAIN, rsaId, ed25519Id, onionKey, ipv4: { host, port } };
  }

  talk(): void {
    for (const play of this.plays) play.say();
  }

  /** End some circuit. */
  close(): void {
    const play = this.world.prng.pick(this.plays);
    if (!play.worker.alive) return;
    play.circuit?.close();
    play.isOver = true;
  }

  /** With nothing moving any more, nobody is stuck. */
  expectSettled(): void {
    for (const { name, isOver, isDone, worker, forward, backward } of this.plays) {
      if (isOver || isDone || !worker.alive) continue;
      throw new Error(
        `${name} is stuck: forward ${forward.heard}/${forward.said}/${forward.limits.cells}, ` +
          `backward ${backward.heard}/${backward.said}/${backward.limits.cells}`,
      );
    }
  }

  /** End all of them. */
  closeAll(): void {
    for (const { worker } of this.plays) if (worker.alive) worker.data.origins.closeAll();
  }

  /** The end knows of the end of each. */
  expectNoOrphans(): void {
    const orphan = this.end.circuits.find(({ destroyed, peer }) => destroyed < 0 && !peer.gone);
    if (orphan !== undefined)
      throw new Error(`no one told the end that own circuit ${orphan.circId} is over`);
  }
}

const PLAIN = { ipv6: null, ntorV3: false, congestionControl: false };

function hopOfRelay({ rsaId, ed25519Id, onionKey, host, port }: SimRelay): OriginHop {
  return { ...PLAIN, rsaId, ed25519Id, onionKey: onionKey.publicKey, ipv4: { host, port } };
}
