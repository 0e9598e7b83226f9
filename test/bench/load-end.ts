/** Thread entry of one end of the load, client or sink: does what the main thread asks, one call at a time. */
import type { LinkCredentials } from '../../src/shm/link-credentials.ts';
import { makeTestRelay } from '../channel/credentials.ts';
import { type Hop, type LoadCircuit, LoadClient } from './load-client.ts';
import type { LoadLink } from './load-link.ts';
import { LoadSink } from './load-sink.ts';

/** What the main thread may ask of an end, and what it answers. */
export interface EndCalls {
  startSink(ask: { tally: SharedArrayBuffer; hops: number }): Hop[];
  startClient(ask: ClientStart): null;
  /** Tell whether the cells that come are a flood's. */
  expect(ask: { flood: boolean }): null;
  flood(ask: { cells: number; window: number; burst: number }): null;
  /** Send a message to the sink and back on every circuit. Answers how many came back. */
  verify(ask: null): number;
  report(ask: null): EndReport;
}

export interface ClientStart {
  readonly tally: SharedArrayBuffer;
  readonly relay: Hop;
  readonly hops: readonly Hop[];
  readonly connections: number;
  readonly circuits: number;
}

export interface EndReport {
  readonly sampled: number;
  readonly corrupt: number;
  readonly losses: readonly string[];
}

/** One call, and its answer. */
export interface Ask {
  readonly id: number;
  readonly call: keyof EndCalls;
  readonly ask: unknown;
}
export type Answer = { readonly id: number } & ({ readonly result: unknown } | { readonly fault: string });

declare const self: Worker & { postMessage(message: Answer): void };

/** Circuits being built at once. */
const BUILDING = 32;

let sink: LoadSink | null = null;
let client: LoadClient | null = null;
const circuits: LoadCircuit[] = [];

function credentials(): LinkCredentials {
  return makeTestRelay(Math.floor(Date.now() / 1000)).credentials;
}

async function startClient(start: ClientStart): Promise<null> {
  const made = new LoadClient(start.relay, credentials(), start.tally);
  client = made;
  const links: LoadLink[] = [];
  for (let i = 0; i < start.connections; i++) links.push(await made.connect());
  let next = 0;
  const build = async (): Promise<void> => {
    while (next < start.circuits) {
      const index = next++;
      const circId = (0x80000000 | (index + 1)) >>> 0;
      const circuit = await made.create(links[index % links.length]!, index, circId);
      await made.extend(circuit, start.hops[index % start.hops.length]!);
      circuits.push(circuit);
    }
  };
  await Promise.all(Array.from({ length: BUILDING }, build));
  for (const circuit of circuits) made.enlist(circuit);
  return null;
}

async function verify(): Promise<number> {
  let good = 0;
  const check = async (circuit: LoadCircuit): Promise<void> => {
    await client!.ping(circuit);
    good++;
  };
  await Promise.allSettled(circuits.map(check));
  return good;
}

const CALLS = {
  startSink({ tally, hops }: { tally: SharedArrayBuffer; hops: number }) {
    sink = new LoadSink(Array.from({ length: hops }, credentials), tally);
    return sink.hops;
  },
  startClient,
  expect({ flood }: { flood: boolean }) {
    (sink ?? client)!.expectFlood(flood);
    return null;
  },
  flood({ cells, window, burst }: { cells: number; window: number; burst: number }) {
    (sink ?? client)!.flood(cells, window, burst);
    return null;
  },
  verify,
  report(): EndReport {
    const { sampled, corrupt } = (sink ?? client)!;
    return { sampled, corrupt, losses: client === null ? [] : client.losses };
  },
};

self.onmessage = async (event: MessageEvent<Ask>) => {
  const { id, call, ask } = event.data;
  try {
    const result = await (CALLS[call] as (ask: unknown) => unknown)(ask);
    self.postMessage({ id, result });
  } catch (fault) {
    self.postMessage({ id, fault: fault instanceof Error ? fault.message : String(fault) });
  }
};
