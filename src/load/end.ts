/**
 * One end of a load on a thread of its own: a client, a sink, a prober, a churner or an idler. Does what the thread
 * that started it asks, one call after the other; several may be under way.
 */
import { OperatorError } from '../fault.ts';
import { wallSec } from '../time/clock.ts';
import { type ChurnCount, Churner, type ChurnSetup } from './churner.ts';
import { type Hop, type LoadCircuit, LoadClient, type Traffic } from './client.ts';
import { ExitClient, type ExitSetup } from './exit-client.ts';
import { FetchClient, type FetchCount, type FetchSetup } from './fetch-client.ts';
import type { FloodCourse } from './flood.ts';
import { makeIdentity, makeTlsKey } from './identity.ts';
import { Idler } from './idler.ts';
import type { LoadLink } from './link.ts';
import type { LinkPlace, LinkPlan, ProbePlan } from './plan.ts';
import { Prober, type ProbeTimes } from './prober.ts';
import { hopOf } from './route.ts';
import { LoadSink } from './sink.ts';
import { StreamServer } from './stream-server.ts';

/** What may be asked of an end, and what it answers. A `meter` is shared: its first Uint32 counts what is done. */
export interface EndCalls {
  startSink(ask: { tally: SharedArrayBuffer; hops: number }): Hop[];
  /** Circuits of the sink that have said hello. */
  known(ask: null): number;
  startClient(ask: { tally: SharedArrayBuffer; relay: Hop; links: LinkPlan }): LinkPlace[];
  build(ask: BuildAsk): null;
  /** Tell what the cells that come are. */
  expect(ask: { traffic: Traffic }): null;
  flood(ask: FloodCourse): null;
  halt(ask: null): null;
  startProber(ask: { tally: SharedArrayBuffer; relay: Hop; sink: Hop; plan: ProbePlan }): LinkPlace[];
  buildProber(ask: { sink: Hop }): null;
  probe(ask: { probes: number; gapMs: number; meter: SharedArrayBuffer }): ProbeTimes;
  /** Send a message to the sink and back on every circuit. Answers how many came back. */
  verify(ask: null): number;
  startChurner(ask: { setup: ChurnSetup; links: LinkPlan }): LinkPlace[];
  choose(ask: { choice: readonly number[] }): null;
  churn(ask: { circuits: number | null; inFlight: number; meter: SharedArrayBuffer }): ChurnCount;
  /** End a probe or a churn that runs. */
  stop(ask: null): null;
  openIdle(ask: IdleAsk): null;
  idle(ask: null): { held: number; reasons: Readonly<Record<string, number>> };
  /** How many idle links answer. */
  askIdle(ask: null): number;
  report(ask: null): EndReport;
  /** Answers the port where the destination of streams listens. */
  startServer(ask: { tally: SharedArrayBuffer }): number;
  knownStreams(ask: null): number;
  openLines(ask: null): number;
  pumpLines(ask: { bytes: number }): null;
  startExitClient(ask: { tally: SharedArrayBuffer; setup: ExitSetup }): null;
  /** Answers how many circuits have congestion control. */
  buildStreams(ask: null): number;
  pumpStreams(ask: { bytes: number }): null;
  /** Answers how many streams were open until now. */
  endStreams(ask: null): number;
  reportStreams(ask: null): StreamsReport;
  startFetcher(ask: { setup: FetchSetup }): null;
  readyFetcher(ask: null): boolean;
  fetch(ask: { total: number; meter: SharedArrayBuffer }): FetchCount;
  reportFetcher(ask: null): FetcherReport;
}

/** What a client of a directory saw. */
export interface FetcherReport extends StreamsReport {
  readonly compared: number;
  readonly done: number;
}

/** What one end of streams saw. */
export interface StreamsReport {
  readonly corrupt: number;
  readonly losses: readonly string[];
}

export interface BuildAsk {
  /** Indices of the links to keep, in the order of the plan's connections. */
  readonly choice: readonly number[];
  readonly circuits: number;
  readonly hops: readonly Hop[];
  readonly routes: readonly (readonly number[])[] | null;
  readonly dialers: readonly number[] | null;
}

export interface IdleAsk {
  readonly relay: Hop;
  readonly links: number;
  readonly addresses: number;
  readonly opening: number;
  readonly meter: SharedArrayBuffer;
}

export interface EndReport {
  readonly sampled: number;
  readonly corrupt: number;
  readonly losses: readonly string[];
}

/** One call. */
export interface Ask {
  readonly id: number;
  readonly call: keyof EndCalls;
  readonly ask: unknown;
}

/** What went wrong, as `OperatorError` has it. */
export interface EndFault {
  readonly what: string;
  readonly where: string;
  readonly hint: string;
}

/** The answer to a call. */
export type Answer = { readonly id: number } & ({ readonly result: unknown } | { readonly fault: EndFault });

type Calls = {
  [K in keyof EndCalls]: (
    ask: Parameters<EndCalls[K]>[0],
  ) => ReturnType<EndCalls[K]> | Promise<ReturnType<EndCalls[K]>>;
};

/** Circuits being built at once. */
const BUILDING = 32;
const CIRC_ID_BASE = 0x80000001;
const LOCALHOST = '127.0.0.1';

const placeOf = (link: LoadLink): LinkPlace => ({ address: LOCALHOST, port: link.localPort });

/** Put an error into a letter. */
export function faultOf(error: unknown): EndFault {
  if (error instanceof OperatorError) {
    const { what, where, hint } = error;
    return { what, where, hint };
  }
  const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { what, where: 'the load generator', hint: '' };
}

/** The client of a flood, with its links and circuits. */
class ClientEnd {
  readonly client: LoadClient;
  readonly circuits: LoadCircuit[] = [];
  #links: LoadLink[] = [];

  constructor(client: LoadClient) {
    this.client = client;
  }

  async connect(plan: LinkPlan): Promise<LinkPlace[]> {
    for (let i = 0; i < plan.connections + plan.spare; i++) {
      this.#links.push(await this.client.connect(LOCALHOST, plan.ports?.[i] ?? 0));
    }
    return this.#links.map(placeOf);
  }

  async build({ choice, circuits, hops, routes, dialers }: BuildAsk): Promise<void> {
    const chosen = choice.map((index) => this.#links[index]!);
    for (const link of this.#links) if (!chosen.includes(link)) this.client.disconnect(link);
    this.#links = chosen;
    const dialled = await this.#dial(dialers ?? [], hops, circuits);
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < circuits) {
        const index = next++;
        const link = chosen[index % chosen.length]!;
        const hop = hops[hopOf(index, chosen.length, hops.length, routes)]!;
        this.circuits.push(await this.client.lay(link, index, CIRC_ID_BASE + index, hop));
      }
    };
    await Promise.all(Array.from({ length: Math.min(BUILDING, circuits) }, lane));
    for (const circuit of dialled) this.client.destroy(circuit);
    for (const circuit of this.circuits) this.client.enlist(circuit);
  }

  /** Extend to each next hop from the connection that is to dial it, before any other does. */
  async #dial(dialers: readonly number[], hops: readonly Hop[], spareIndex: number): Promise<LoadCircuit[]> {
    const dialled: LoadCircuit[] = [];
    for (const [hop, dialer] of dialers.entries()) {
      const circId = CIRC_ID_BASE + spareIndex + hop;
      dialled.push(await this.client.lay(this.#links[dialer]!, spareIndex, circId, hops[hop]!));
    }
    return dialled;
  }
}

/** Who lives in this thread: one of them. */
interface Tenant {
  sink: LoadSink | null;
  client: ClientEnd | null;
  prober: Prober | null;
  churner: Churner | null;
  idler: Idler | null;
  server: StreamServer | null;
  exit: ExitClient | null;
  fetcher: FetchClient | null;
}

const identity = () => makeIdentity(makeTlsKey(), wallSec());

/** What adds to a meter. */
function counter(meter: SharedArrayBuffer): () => void {
  const count = new Uint32Array(meter);
  return () => {
    count[0]! += 1;
  };
}

function sinkCalls(tenant: Tenant): Pick<Calls, 'startSink' | 'known'> {
  return {
    startSink({ tally, hops }) {
      const tlsKey = makeTlsKey();
      const relays = Array.from({ length: hops }, () => makeIdentity(tlsKey, wallSec()));
      tenant.sink = new LoadSink(relays, tally);
      return tenant.sink.hops;
    },
    known: () => tenant.sink!.known,
  };
}

function floodCalls(tenant: Tenant): Pick<Calls, 'startClient' | 'build' | 'flood' | 'halt'> {
  return {
    startClient({ tally, relay, links }) {
      tenant.client = new ClientEnd(new LoadClient(relay, identity(), tally));
      return tenant.client.connect(links);
    },
    async build(ask) {
      await tenant.client!.build(ask);
      return null;
    },
    flood(course) {
      (tenant.sink ?? tenant.client!.client).flood(course);
      return null;
    },
    halt() {
      (tenant.sink ?? tenant.client!.client).halt();
      return null;
    },
  };
}

function probeCalls(tenant: Tenant): Pick<Calls, 'startProber' | 'buildProber' | 'probe'> {
  return {
    startProber({ tally, relay, sink, plan }) {
      tenant.prober = new Prober(relay, sink, identity(), tally);
      return tenant.prober.connect(plan);
    },
    async buildProber({ sink }) {
      await tenant.prober!.build(sink);
      return null;
    },
    probe: ({ probes, gapMs, meter }) => tenant.prober!.run(probes, gapMs, counter(meter)),
  };
}

function churnCalls(tenant: Tenant): Pick<Calls, 'startChurner' | 'choose' | 'churn'> {
  return {
    async startChurner({ setup, links }) {
      tenant.churner = new Churner(setup, identity());
      await tenant.churner.connect(links);
      return tenant.churner.links.map(placeOf);
    },
    choose({ choice }) {
      tenant.churner!.choose(choice);
      return null;
    },
    churn: ({ circuits, inFlight, meter }) => tenant.churner!.run(circuits, inFlight, counter(meter)),
  };
}

function idleCalls(tenant: Tenant): Pick<Calls, 'openIdle' | 'idle' | 'askIdle'> {
  return {
    async openIdle({ relay, links, addresses, opening, meter }) {
      tenant.idler ??= new Idler(relay, identity());
      await tenant.idler.open(links, addresses, opening, counter(meter));
      return null;
    },
    idle: () => ({ held: tenant.idler!.held, reasons: tenant.idler!.reasons }),
    askIdle: () => tenant.idler!.ask(),
  };
}

function serverCalls(
  tenant: Tenant,
): Pick<Calls, 'startServer' | 'knownStreams' | 'openLines' | 'pumpLines'> {
  return {
    startServer({ tally }) {
      tenant.server = new StreamServer(tally);
      return tenant.server.port;
    },
    knownStreams: () => tenant.server!.known,
    openLines: () => tenant.server!.open,
    pumpLines({ bytes }) {
      tenant.server!.pump(bytes);
      return null;
    },
  };
}

function exitCalls(
  tenant: Tenant,
): Pick<Calls, 'startExitClient' | 'buildStreams' | 'pumpStreams' | 'endStreams' | 'reportStreams'> {
  return {
    async startExitClient({ tally, setup }) {
      tenant.exit = new ExitClient(setup, identity(), tally);
      await tenant.exit.connect();
      return null;
    },
    buildStreams: () => tenant.exit!.build(),
    pumpStreams({ bytes }) {
      tenant.exit!.pump(bytes);
      return null;
    },
    endStreams() {
      const { open } = tenant.exit!;
      tenant.exit!.end();
      return open;
    },
    reportStreams: () => ({
      corrupt: (tenant.server ?? tenant.exit!).corrupt,
      losses: tenant.exit?.client.losses ?? [],
    }),
  };
}

function fetchCalls(
  tenant: Tenant,
): Pick<Calls, 'startFetcher' | 'readyFetcher' | 'fetch' | 'reportFetcher'> {
  return {
    async startFetcher({ setup }) {
      tenant.fetcher = new FetchClient(setup, identity());
      await tenant.fetcher.connect();
      return null;
    },
    readyFetcher: () => tenant.fetcher!.ready(),
    fetch: ({ total, meter }) => tenant.fetcher!.run(total, counter(meter)),
    reportFetcher() {
      const { corrupt, compared, done, client } = tenant.fetcher!;
      return { corrupt, compared, done, losses: client.losses };
    },
  };
}

/** What every end may be asked. */
function commonCalls(tenant: Tenant): Pick<Calls, 'expect' | 'verify' | 'stop' | 'report'> {
  return {
    expect({ traffic }) {
      tenant.prober?.expect(traffic === 'echo');
      (tenant.sink ?? tenant.client?.client)?.expect(traffic);
      return null;
    },
    async verify() {
      const near = tenant.prober?.client ?? tenant.client!.client;
      const circuits = tenant.prober?.circuits ?? tenant.client!.circuits;
      const pings = await Promise.allSettled(circuits.map((circuit) => near.ping(circuit)));
      return pings.filter(({ status }) => status === 'fulfilled').length;
    },
    stop() {
      tenant.prober?.stop();
      tenant.churner?.stop();
      return null;
    },
    report() {
      const { sink, churner } = tenant;
      if (sink !== null) return { sampled: sink.sampled, corrupt: sink.corrupt, losses: [] };
      if (churner !== null) return { sampled: 0, corrupt: churner.corrupt, losses: churner.losses };
      const { sampled, corrupt, losses } = tenant.client?.client ?? tenant.prober!.client;
      return { sampled, corrupt, losses };
    },
  };
}

/** Make the calls of one thread. */
export function createCalls(): Calls {
  const tenant: Tenant = {
    sink: null,
    client: null,
    prober: null,
    churner: null,
    idler: null,
    server: null,
    exit: null,
    fetcher: null,
  };
  return {
    ...sinkCalls(tenant),
    ...floodCalls(tenant),
    ...probeCalls(tenant),
    ...churnCalls(tenant),
    ...idleCalls(tenant),
    ...serverCalls(tenant),
    ...exitCalls(tenant),
    ...fetchCalls(tenant),
    ...commonCalls(tenant),
  };
}
