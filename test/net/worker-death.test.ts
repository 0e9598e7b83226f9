/**
 * A worker that dies takes only its own circuits: one of two is killed fifty times while cells flow, as the user
 * that started the relay and as the one that it became.
 *
 * Links that outlive the first death belong to the other worker; they and their circuits must outlive all others.
 */

import { describe, expect, test } from 'bun:test';
import { type Hop, type LoadCircuit, LoadClient } from '../../src/load/client.ts';
import type { LoadLink } from '../../src/load/link.ts';
import { LoadSink } from '../../src/load/sink.ts';
import { Tally } from '../../src/load/tally.ts';
import { startTarget, type Target, type TargetConfig } from '../bench/target.ts';
import { makeTestRelay } from '../channel/credentials.ts';

const DEATHS = 50;
const STANDING_LINKS_MIN = 2;
const CIRCUITS_PER_LINK = 4;
const FRESH_LINKS = 4;
const CIRCUITS_MAX = 4096;
const BACK_MS = 60_000;
const DEADLINE_MS = 240_000;

/** A link with circuits to a next hop of its own, so that both of their links are the same worker's. */
interface Strand {
  readonly link: LoadLink;
  readonly circuits: LoadCircuit[];
  readonly flowing: Promise<boolean>[];
  /** Messages that came back. */
  echoes: number;
  stopped: boolean;
}

class Scene {
  readonly target: Target;
  readonly #sink: LoadSink;
  readonly #client: LoadClient;
  #nextHop = 0;
  #nextCircuit = 0;

  constructor(target: Target) {
    const nowSec = Math.floor(Date.now() / 1000);
    const tally = Tally.create(CIRCUITS_MAX);
    const relays = Array.from({ length: 64 }, () => makeTestRelay(nowSec).credentials);
    this.target = target;
    this.#sink = new LoadSink(relays, tally);
    this.#client = new LoadClient(target.hop, makeTestRelay(nowSec).credentials, tally);
  }

  /** The next of the sink's identities, in turn. */
  hop(): Hop {
    return this.#sink.hops[this.#nextHop++ % this.#sink.hops.length]!;
  }

  async circuit(link: LoadLink, hop: Hop): Promise<LoadCircuit> {
    const index = this.#nextCircuit++ % CIRCUITS_MAX;
    const circuit = await this.#client.create(link, index, (0x80000000 | this.#nextCircuit) >>> 0);
    await this.#client.extend(circuit, hop);
    return circuit;
  }

  ping(circuit: LoadCircuit): Promise<void> {
    return this.#client.ping(circuit);
  }

  /** Open a link and let messages go back and forth on its circuits until it is closed or they fail. */
  async strand(hop: Hop): Promise<Strand> {
    const link = await this.#client.connect();
    const strand: Strand = { link, circuits: [], flowing: [], echoes: 0, stopped: false };
    for (let i = 0; i < CIRCUITS_PER_LINK; i++) strand.circuits.push(await this.circuit(link, hop));
    for (const circuit of strand.circuits) strand.flowing.push(this.#flow(strand, circuit));
    return strand;
  }

  /** Resolves to whether the circuit was alive until the flow was stopped. */
  async #flow(strand: Strand, circuit: LoadCircuit): Promise<boolean> {
    try {
      while (!strand.stopped) {
        await this.ping(circuit);
        strand.echoes++;
      }
      return true;
    } catch {
      return false;
    }
  }

  /** Whether all circuits of a strand are alive: stops their flow, and waits for the last echo. */
  async finish(strand: Strand): Promise<boolean> {
    strand.stopped = true;
    const alive = await Promise.all(strand.flowing);
    strand.link.close();
    return alive.every(Boolean);
  }

  /** Kill worker 0 and wait until it is back, for the `nth` time. */
  async killOnce(nth: number): Promise<void> {
    this.target.say('kill-worker 0');
    for (let waitedMs = 0; waitedMs < BACK_MS; waitedMs += 20) {
      if (this.count(/Worker 0 is back/g) >= nth) return;
      await Bun.sleep(20);
    }
    throw new Error(`worker 0 did not come back; the log ends:\n${this.target.log().slice(-2000)}`);
  }

  count(pattern: RegExp): number {
    return this.target.log().match(pattern)?.length ?? 0;
  }

  stop(): void {
    this.#sink.stop();
  }
}

/** Strands on worker 1, found by killing worker 0 once: those which live. */
async function standingStrands(scene: Scene): Promise<{ standing: Strand[]; deaths: number }> {
  const standing: Strand[] = [];
  let deaths = 0;
  while (standing.length < STANDING_LINKS_MIN) {
    const strands: Strand[] = [];
    for (let i = 0; i < FRESH_LINKS; i++) strands.push(await scene.strand(scene.hop()));
    await scene.killOnce(++deaths);
    for (const strand of strands) {
      if (!strand.link.gone) standing.push(strand);
      else await scene.finish(strand);
    }
  }
  return { standing, deaths };
}

async function killUnderLoad(config: TargetConfig): Promise<void> {
  const target = await startTarget(config);
  const scene = new Scene(target);
  try {
    const { standing, deaths } = await standingStrands(scene);
    for (let nth = deaths + 1; nth <= DEATHS; nth++) {
      const hop = scene.hop();
      const fresh: Strand[] = [];
      for (let i = 0; i < FRESH_LINKS; i++) fresh.push(await scene.strand(hop));
      const before = standing.map(({ echoes }) => echoes);
      await scene.killOnce(nth);
      // The hop's link may have been the dead worker's: it can be extended to again.
      await scene.ping(await scene.circuit(standing[0]!.link, hop));
      for (const [i, strand] of standing.entries()) {
        expect(strand.link.gone).toBe(false);
        expect(strand.echoes).toBeGreaterThan(before[i]!);
      }
      for (const strand of fresh) await scene.finish(strand);
    }
    const alive = await Promise.all(standing.map((strand) => scene.finish(strand)));
    expect(alive.every(Boolean)).toBe(true);
    expect(scene.count(/Worker 0 died/g)).toBe(DEATHS);
    expect(scene.count(/Worker 1 died/g)).toBe(0);
    expect(target.exitCode).toBeNull();
  } catch (fault) {
    process.stderr.write(`the relay's log ends:\n${target.log().slice(-3000)}\n`);
    throw fault;
  } finally {
    scene.stop();
    await target.stop();
  }
}

/** A user to become, where this process may choose. */
function lesserUser(): TargetConfig['user'] | null {
  if (process.getuid?.() !== 0) return null;
  for (const name of ['debian-tor', 'nobody']) {
    const ids = ['-u', '-g'].map((flag) => Bun.spawnSync(['id', flag, name]));
    if (ids.some(({ exitCode }) => exitCode !== 0)) continue;
    const [uid, gid] = ids.map(({ stdout }) => Number(stdout.toString()));
    return { name, uid: uid!, gid: gid! };
  }
  return null;
}

const user = lesserUser();
if (user === null) {
  process.stderr.write(
    'test/net/worker-death: SKIPPED after User: needs root and a user debian-tor or nobody\n',
  );
}

describe('one of two workers, killed fifty times under load', () => {
  const config: TargetConfig = { kind: 'ours', workers: 2, testHooks: true };

  test('takes only its own circuits', () => killUnderLoad(config), DEADLINE_MS);

  test.skipIf(user === null)(
    'does so after User',
    () => killUnderLoad({ ...config, user: user! }),
    DEADLINE_MS,
  );
});
