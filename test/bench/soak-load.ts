/**
 * Everything that a relay meets in a day, in small: paced traffic, circuits and links that come and go, readers that
 * stop and go on, resets at every stage. It ends as it began: nothing stays open.
 */
import { RelayCommand } from '../../src/cell/relay-message.ts';
import type { Hop } from '../../src/load/client.ts';
import { makeTestRelay } from '../channel/credentials.ts';
import { EchoRelay } from '../net/echo-relay.ts';
import { TestCircuit } from '../net/test-circuit.ts';
import { dialTestLink, type TestLink } from '../net/test-link.ts';
import { HonestLoad } from './honest-load.ts';

export interface SoakPlan {
  /** Of the paced traffic, bytes of cells, both ways together. */
  readonly bytesPerSec: number;
  readonly circuitsPerSec: number;
  readonly linksPerSec: number;
  readonly resetsPerSec: number;
  readonly slowReaders: number;
}

/** What the load saw. */
export interface SoakReport {
  readonly circuits: number;
  readonly links: number;
  readonly resets: number;
  /** Cells that a slow reader asked for and got in the end. */
  readonly slowCells: number;
  /** What went wrong: circuits lost, cells lost or changed, links refused. */
  readonly faults: readonly string[];
}

const HERE = Uint8Array.of(127, 0, 0, 1);
const HONEST = { circuits: 40, connections: 4 };
const STANDING_LINKS = 4;
/** One churned circuit in so many is extended and used. */
const EXTEND_EVERY = 3;
const SLOW_CIRCUITS = 4;
const SLOW_CELLS = 600;
const SLOW_PAUSE_MS = 3000;
/** Faults kept; a broken relay makes many. */
const FAULTS_MAX = 20;

const random = (bytes: number): Uint8Array => crypto.getRandomValues(new Uint8Array(bytes));

/** The load around one relay of ours. */
export class SoakLoad {
  readonly #relay: Hop;
  readonly #echo = new EchoRelay();
  readonly #credentials = makeTestRelay(Math.floor(Date.now() / 1000)).credentials;
  readonly #honest: HonestLoad;
  readonly #standing: TestLink[] = [];
  readonly #lanes: Promise<void>[] = [];
  readonly #faults: string[] = [];
  #going = true;
  #circuits = 0;
  #links = 0;
  #resets = 0;
  #slowCells = 0;

  private constructor(relay: Hop, honest: HonestLoad) {
    this.#relay = relay;
    this.#honest = honest;
  }

  /** Start it all. */
  static async start(relay: Hop, plan: SoakPlan): Promise<SoakLoad> {
    const honest = await HonestLoad.open(relay, { ...HONEST, bytesPerSec: plan.bytesPerSec });
    const load = new SoakLoad(relay, honest);
    for (let i = 0; i < STANDING_LINKS; i++) load.#standing.push(await load.#open());
    honest.start();
    load.#every(plan.circuitsPerSec, (n) => load.#churnCircuit(n));
    load.#every(plan.linksPerSec, (n) => load.#churnLink(n));
    load.#every(plan.resetsPerSec, (n) => load.#reset(n));
    for (let i = 0; i < plan.slowReaders; i++) load.#lanes.push(load.#readSlowly(i));
    return load;
  }

  /** Do something so many times a second, one after another; never more than the relay keeps up with. */
  #every(perSec: number, act: (n: number) => Promise<void>): void {
    const lane = async (): Promise<void> => {
      const startMs = performance.now();
      for (let n = 0; this.#going; n++) {
        const waitMs = startMs + (n * 1000) / perSec - performance.now();
        if (waitMs > 0) await Bun.sleep(waitMs);
        await act(n).catch((fault) => this.#note(String(fault)));
      }
    };
    if (perSec > 0) this.#lanes.push(lane());
  }

  #note(fault: string): void {
    if (this.#faults.length < FAULTS_MAX) this.#faults.push(fault);
  }

  async #open(): Promise<TestLink> {
    const link = dialTestLink({ port: this.#relay.port, credentials: this.#credentials });
    await link.opened;
    return link;
  }

  async #extended(link: TestLink): Promise<TestCircuit> {
    const circuit = await TestCircuit.createNtor(link, { ...this.#relay, onionKey: this.#relay.onionKey! });
    await circuit.extend(this.#echo.hop, { host: HERE, port: this.#echo.port });
    return circuit;
  }

  async #churnCircuit(n: number): Promise<void> {
    const link = this.#standing[n % STANDING_LINKS]!;
    const kind = n % EXTEND_EVERY;
    this.#circuits++;
    if (kind === 0) {
      const circuit = await this.#extended(link);
      await circuit.echo();
      circuit.destroy();
    } else if (kind === 1) {
      (await TestCircuit.createFast(link)).destroy();
    } else {
      (await TestCircuit.createNtor(link, { ...this.#relay, onionKey: this.#relay.onionKey! })).destroy();
    }
  }

  /** Links closed in order, and links reset with a circuit on them, half extended or in use. */
  async #churnLink(n: number): Promise<void> {
    const link = await this.#open();
    this.#links++;
    if (n % 2 === 0) {
      const circuit = await this.#extended(link);
      if (n % 4 === 0) await circuit.echo();
      else circuit.send(RelayCommand.DATA, random(498), { streamId: 1 });
    } else {
      await TestCircuit.createFast(link);
    }
    if (n % 3 === 0) link.socket!.end();
    else link.close();
    await Promise.race([link.closed, Bun.sleep(5000)]);
    link.close();
  }

  /** Resets before TLS, in it, and before the link handshake. */
  async #reset(n: number): Promise<void> {
    this.#resets++;
    if (n % 3 === 2) {
      const link = dialTestLink({
        port: this.#relay.port,
        credentials: this.#credentials,
        hold: new Promise(() => {}),
      });
      await link.secured;
      link.close();
      await link.closed;
      return;
    }
    const { promise: done, resolve } = Promise.withResolvers<void>();
    const socket = await Bun.connect({
      hostname: '127.0.0.1',
      port: this.#relay.port,
      socket: { data() {}, error() {}, close: () => resolve() },
    });
    // The head of a TLS record that never gets a body.
    if (n % 3 === 1) socket.write(Uint8Array.of(22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3));
    socket.terminate();
    await done;
  }

  /** A client that stops to read while answers come, goes on, and then has them all. */
  async #readSlowly(lane: number): Promise<void> {
    for (let round = lane; this.#going; round++) {
      try {
        const link = await this.#open();
        const circuits: TestCircuit[] = [];
        for (let i = 0; i < SLOW_CIRCUITS; i++) circuits.push(await this.#extended(link));
        link.socket!.pause();
        for (let n = 0; n < SLOW_CELLS; n++) {
          for (const circuit of circuits) circuit.send(RelayCommand.DATA, random(498), { streamId: 1 });
          if (n % 50 === 49) await Bun.sleep(5);
        }
        await Bun.sleep(SLOW_PAUSE_MS);
        if (round % 4 === 3) {
          link.close();
          continue;
        }
        link.socket!.resume();
        for (const circuit of circuits) {
          for (let n = 0; n < SLOW_CELLS; n++) {
            const answer = await circuit.receive();
            if ('destroyed' in answer) throw new Error(`a slow circuit got DESTROY ${answer.destroyed}`);
            this.#slowCells++;
          }
        }
        link.close();
      } catch (fault) {
        this.#note(`slow reader: ${fault}`);
        await Bun.sleep(1000);
      }
    }
  }

  /** Stop, close everything, and say what happened. */
  async stop(): Promise<SoakReport> {
    this.#going = false;
    await Promise.all(this.#lanes);
    const check = await this.#honest.stop();
    if (check.lost !== 0) this.#note(`${check.lost} cells lost`);
    if (check.corrupt !== 0) this.#note(`${check.corrupt} cells changed`);
    if (check.inStep !== HONEST.circuits) this.#note(`only ${check.inStep} circuits in step`);
    for (const loss of check.closed) this.#note(`a standing circuit closed: ${loss}`);
    this.#honest.close();
    for (const link of this.#standing) link.close();
    for (const link of this.#echo.links) link.close();
    this.#echo.stop();
    return {
      circuits: this.#circuits,
      links: this.#links,
      resets: this.#resets,
      slowCells: this.#slowCells,
      faults: this.#faults,
    };
  }
}
