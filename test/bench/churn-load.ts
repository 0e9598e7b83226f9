/** Circuits that come and go, and links that come and go: what a relay must not grow by. */

import { LoadClient } from '../../src/load/client.ts';
import type { LoadLink } from '../../src/load/link.ts';
import { LoadSink } from '../../src/load/sink.ts';
import { Tally } from '../../src/load/tally.ts';
import { makeTestRelay } from '../channel/credentials.ts';
import type { Target } from './target.ts';

export interface ChurnPlan {
  readonly circuits: number;
  readonly links: number;
  /** One circuit in so many is extended to a second hop, and used. */
  readonly extendEvery: number;
  /** How long memory may take to come back: the collector gives back what is free when a thread rests. */
  readonly settleMs: number;
}

/** Where the relay's memory stood after each tenth of the churn, the start first: bytes. */
export type ChurnRss = readonly number[];

export interface ChurnFigures {
  readonly rss: ChurnRss;
  readonly cpuSec: number;
  /** Ended unasked. */
  readonly losses: readonly string[];
}

/** Circuits being built at once, and links on which. */
const LANES = 32;
const STANDING_LINKS = 4;
const LINKS_AT_ONCE = 8;
const TENTHS = 10;
/** For the relay to finish what it was doing before it is looked at. */
const PAUSE_MS = 300;

/** Run the churn. `onTenth` hears of each reading. */
export async function churn(
  target: Target,
  plan: ChurnPlan,
  onTenth: (tenth: number, rssBytes: number) => void = () => {},
): Promise<ChurnFigures> {
  const nowSec = Math.floor(Date.now() / 1000);
  const tally = Tally.create(LANES);
  const sink = new LoadSink([makeTestRelay(nowSec).credentials], tally);
  const client = new LoadClient(target.hop, makeTestRelay(nowSec).credentials, tally);
  const standing: LoadLink[] = [];
  for (let i = 0; i < STANDING_LINKS; i++) standing.push(await client.connect());
  const rss: number[] = [];
  const read = async (tenth: number) => {
    await Bun.sleep(PAUSE_MS);
    rss.push(target.rssBytes());
    if (tenth === TENTHS) {
      const deadlineMs = performance.now() + plan.settleMs;
      while (rss[tenth]! > allowedRss(rss) && performance.now() < deadlineMs) {
        await Bun.sleep(PAUSE_MS);
        rss[tenth] = target.rssBytes();
      }
    }
    onTenth(tenth, rss[tenth]!);
  };
  const cpuBefore = target.cpuSec();
  await read(0);
  let circId = 0x80000000;
  for (let tenth = 1; tenth <= TENTHS; tenth++) {
    let circuitsLeft = Math.round(plan.circuits / TENTHS);
    let linksLeft = Math.round(plan.links / TENTHS);
    const circuitLane = async (_: unknown, lane: number): Promise<void> => {
      while (circuitsLeft > 0) {
        const far = circuitsLeft % plan.extendEvery === 0;
        circuitsLeft--;
        circId++;
        const circuit = await client.create(standing[lane % standing.length]!, lane, circId);
        if (far) await client.extend(circuit, sink.hops[0]!);
        client.destroy(circuit);
      }
    };
    const linkLane = async (): Promise<void> => {
      while (linksLeft > 0) {
        linksLeft--;
        const link = await client.connect();
        link.close();
      }
    };
    await Promise.all([
      ...Array.from({ length: LANES }, circuitLane),
      ...Array.from({ length: LINKS_AT_ONCE }, linkLane),
    ]);
    await read(tenth);
  }
  const cpuSec = target.cpuSec() - cpuBefore;
  for (const link of standing) link.close();
  sink.stop();
  return { rss, cpuSec, losses: client.losses };
}

/** How far memory may stand above where it stood after the first tenth: 10 % of that, or 10 MB. */
export function allowedRss(rss: ChurnRss): number {
  return rss[1]! + Math.max(rss[1]! / 10, 10e6);
}
