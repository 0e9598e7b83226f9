/**
 * What a load is, what it reports, and how it is driven: the language between whoever measures a relay and the
 * threads that load it.
 *
 * Everything here but `LoadRun` and `MeasureHooks` is plain data that can be cloned to another thread. Rates and sizes
 * are bytes of 514-byte cells; a cell counts once, however far it goes.
 */

/** The relay under test; only loopback is accepted. */
export interface LoadTarget {
  /** An address of 127/8. */
  readonly host: string;
  readonly port: number;
  /** 20 bytes. */
  readonly rsaId: Uint8Array;
  /** 32 bytes. */
  readonly ed25519Id: Uint8Array;
  /** Public, 32 bytes. */
  readonly ntorOnionKey: Uint8Array;
}

export type Direction = 'forward' | 'backward' | 'both';

/** The client's connections to the relay. */
export interface LinkPlan {
  readonly connections: number;
  /** Our port for each connection, spares included; null: the kernel chooses. */
  readonly ports: readonly number[] | null;
  /** So many more connections are opened by `connect`, for the caller to choose from at `prepare`. */
  readonly spare: number;
}

/** Which circuit goes where. Circuit i is on connection i modulo their number. */
export interface RoutePlan {
  /** Relays to extend to, all in one sink. */
  readonly nextHops: number;
  /**
   * For each connection, the next hops that its circuits take in turn. null: connection c starts at next hop c and
   * takes all in turn, so that every connection meets every next hop once it has enough circuits.
   */
  readonly routes: readonly (readonly number[])[] | null;
  /** For each next hop, the connection that extends to it first; null: whichever comes first. */
  readonly dialers: readonly number[] | null;
}

/** Cells pumped through standing circuits: as fast as it goes, or paced. */
export interface FloodPlan {
  readonly mode: 'flood';
  readonly direction: Direction;
  readonly circuits: number;
  readonly links: LinkPlan;
  readonly route: RoutePlan;
  /** Cells of one circuit and direction that may be under way. */
  readonly window: number;
  /** Cells of one circuit in a row, at most 127. */
  readonly burst: number;
  /** Bytes of cells of one measurement, both directions together. */
  readonly bytes: number;
  /** The same, before the measurement; may be 0. */
  readonly warmUpBytes: number;
  /** Both directions together; null: as fast as the windows allow. */
  readonly bytesPerSec: number | null;
}

/** Single cells sent to the sink and echoed, one after the other. Client and sink are threads of their own. */
export interface ProbePlan {
  /** Probe circuits, each on a connection of its own, used in turn. */
  readonly circuits: number;
  /** Our port for each; null: the kernel chooses. */
  readonly ports: readonly number[] | null;
  /** Probes of one measurement. */
  readonly probes: number;
  /** Mean pause between two probes, milliseconds; varied by half to either side, whole milliseconds. */
  readonly gapMs: number;
}

/** Round trips of one cell, through a relay that is idle or carries a paced flood. */
export interface LatencyPlan {
  readonly mode: 'latency';
  readonly probe: ProbePlan;
  /** Runs before, during and after the probes; its `bytes` do not matter. null: the relay is idle. */
  readonly beside: FloodPlan | null;
}

export type ChurnHandshake = 'ntor' | 'ntor-v3' | 'fast';

/** Circuits created and destroyed. */
export interface ChurnPlan {
  readonly mode: 'churn';
  readonly links: LinkPlan;
  /** 1: CREATE2 and DESTROY. 2: extended to the sink by EXTEND2 (ntor) before. */
  readonly hops: 1 | 2;
  /** Of the first hop. */
  readonly handshake: ChurnHandshake;
  /** Next hops; without meaning for one hop. */
  readonly nextHops: number;
  /** Circuits of one measurement, refused ones included; null: until the probes are through. */
  readonly circuits: number | null;
  /** Circuits before the measurement; may be 0. */
  readonly warmUpCircuits: number;
  /** Handshakes under way, over all connections. */
  readonly inFlight: number;
  /** A latency probe beside the churn. */
  readonly probe: ProbePlan | null;
}

/** Links that are opened and held. */
export interface IdlePlan {
  readonly mode: 'idle';
  readonly links: number;
  /** They come from so many addresses of 127/8. */
  readonly addresses: number;
  /** TLS handshakes under way. */
  readonly opening: number;
  /** How long one measurement holds them. */
  readonly holdMs: number;
}

/** Streams through the relay as an exit, to a destination on loopback. */
export interface ExitPlan {
  readonly mode: 'exit';
  readonly direction: Direction;
  readonly connections: number;
  /** Of one hop, round robin over the connections. */
  readonly circuits: number;
  /** Round robin over the circuits. */
  readonly streams: number;
  /** By congestion control, else by the windows of old. */
  readonly congestion: boolean;
  /** Bytes of streams of one measurement, both directions together. */
  readonly bytes: number;
  /** The same, before the measurement; may be 0. */
  readonly warmUpBytes: number;
}

/** One thing to ask a directory for. */
export interface DirectoryRequest {
  readonly path: string;
  /** The Accept-Encoding line; the answer must come in the first of them. */
  readonly encodings: string;
  /** What the answer holds, unpacked, in whatever order. */
  readonly documents: readonly Uint8Array[];
}

/** Requests to the relay's directory over BEGIN_DIR. */
export interface DirectoryPlan {
  readonly mode: 'directory';
  readonly connections: number;
  /** Of one hop, round robin over the connections. */
  readonly circuits: number;
  /** Streams that are open at once, one request each. */
  readonly streams: number;
  /** Requests of one measurement, and before it; may be 0. */
  readonly total: number;
  readonly warmUpTotal: number;
  /** What is asked for, in turn. */
  readonly requests: readonly DirectoryRequest[];
}

export type LoadPlan = FloodPlan | LatencyPlan | ChurnPlan | IdlePlan | ExitPlan | DirectoryPlan;

/** Our end of a connection. */
export interface LinkPlace {
  readonly address: string;
  readonly port: number;
}

/** Where everything is. */
export interface OpenPlaces {
  /** Connections of the flood or the churn, spares included; empty for the idle mode, which has too many. */
  readonly links: readonly LinkPlace[];
  /** Connections of the probe. */
  readonly probes: readonly LinkPlace[];
  /** Ports on 127.0.0.1 where the next hops listen: the flood's or the churn's, then the probe's. */
  readonly hopPorts: readonly number[];
}

/** Where a load names no connections. */
export const NO_PLACES: OpenPlaces = { links: [], probes: [], hopPorts: [] };

/** The same, opened. */
export interface LoadPlaces extends OpenPlaces {
  /** How long the opening took. */
  readonly openSec: number;
}

export interface FloodReport {
  readonly mode: 'flood';
  readonly cells: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly bytesPerSec: number;
}

/** Round trips, microseconds. */
export interface LatencyFigures {
  readonly probes: number;
  /** Probes that did not come back in time. */
  readonly lost: number;
  readonly minUs: number;
  readonly p50Us: number;
  readonly p90Us: number;
  readonly p99Us: number;
  readonly maxUs: number;
  readonly meanUs: number;
}

export interface ProbeReport {
  readonly measured: LatencyFigures;
  /** The same cells at the same time from the same client to the same sink, without the relay between. */
  readonly floor: LatencyFigures;
  /** Measured less floor: what the relay adds. */
  readonly added: { readonly p50Us: number; readonly p90Us: number; readonly p99Us: number };
}

export interface LatencyReport extends ProbeReport {
  readonly mode: 'latency';
  readonly seconds: number;
  /** What the flood beside it moved meanwhile. */
  readonly beside: FloodReport | null;
}

export interface ChurnReport {
  readonly mode: 'churn';
  /** Circuits that were built whole. */
  readonly done: number;
  /** Circuits that the relay refused, and with what reasons. */
  readonly refused: number;
  readonly reasons: Readonly<Record<string, number>>;
  /** Answers whose keys were computed and compared. */
  readonly verified: number;
  readonly seconds: number;
  readonly perSec: number;
  /** From CREATE to the last answer, of circuits that were built. */
  readonly build: LatencyFigures;
  readonly probe: ProbeReport | null;
}

export interface IdleReport {
  readonly mode: 'idle';
  readonly asked: number;
  /** Links open at the end of the measurement. */
  readonly held: number;
  /** Why links did not open or ended: reason and number. */
  readonly reasons: Readonly<Record<string, number>>;
  readonly openSec: number;
  readonly seconds: number;
}

export interface ExitReport {
  readonly mode: 'exit';
  /** Of streams, both directions together. */
  readonly bytes: number;
  readonly seconds: number;
  readonly bytesPerSec: number;
}

export interface DirectoryReport {
  readonly mode: 'directory';
  /** Requests answered with documents. */
  readonly done: number;
  /** Bytes of answers. */
  readonly bytes: number;
  readonly seconds: number;
  readonly perSec: number;
}

export type LoadReport =
  | FloodReport
  | LatencyReport
  | ChurnReport
  | IdleReport
  | ExitReport
  | DirectoryReport;

/** Whether everything arrived as it should. */
export interface LoadCheck {
  /** Circuits (idle: links; exit: streams; directory: requests) that should be there. */
  readonly expected: number;
  /**
   * Circuits whose keystreams are in step both ways (idle: links that still answer; exit: open streams; directory:
   * requests that were answered).
   */
  readonly inStep: number;
  /** Cells (exit: bytes; directory: answers). */
  readonly lost: number;
  /** Cells (exit: pieces as they came; directory: answers) that are not what they should be. */
  readonly corrupt: number;
  /** Cells (directory: answers) compared byte by byte. */
  readonly sampled: number;
  /** Why circuits, links or streams were closed unasked. */
  readonly closed: readonly string[];
}

/** Heard around the measured part of a load. */
export interface MeasureHooks {
  /** Right before the first measured cell. */
  begin(): void;
  /** Right after the last one has arrived. */
  end(): void;
  /** Now and then meanwhile: the part that is done, 0 to 1. */
  progress?(part: number): void;
}

/** One mode of load, its threads included; `LoadRun` says when each is called. */
export interface LoadMode {
  connect(onProgress: (part: number) => void): Promise<OpenPlaces>;
  prepare(choice: readonly number[] | null): Promise<void>;
  measure(hooks: MeasureHooks): Promise<LoadReport>;
  check(): Promise<LoadCheck>;
  close(): void;
}

/** A load as it is driven: `connect`, `prepare`, then `measure` and `check` any number of times, then `close`. */
export interface LoadRun {
  /** Open all connections. `onProgress` hears now and then, where that takes long, the part that is open, 0 to 1. */
  connect(onProgress?: (part: number) => void): Promise<LoadPlaces>;
  /**
   * Build the circuits and warm up. `choice`: indices into `links` of the places, as many as the plan has
   * connections, in the order of its connections; without it the first ones. The others are closed.
   */
  prepare(choice?: readonly number[]): Promise<void>;
  measure(hooks: MeasureHooks): Promise<LoadReport>;
  check(): Promise<LoadCheck>;
  /** End all threads; connections end with them. */
  close(): void;
}

/** What a check counts, by its numbers' names. */
interface Counted {
  readonly lost: string;
  readonly corrupt: string;
  readonly closed: string;
  /** Expected, but not in step. */
  readonly amiss: string;
}

const CELLS: Counted = {
  lost: 'cells lost',
  corrupt: 'cells changed',
  closed: 'circuits closed',
  amiss: 'circuits out of step',
};
const COUNTED: Readonly<Record<LoadPlan['mode'], Counted>> = {
  flood: CELLS,
  latency: CELLS,
  churn: CELLS,
  idle: { ...CELLS, closed: 'links closed', amiss: 'links without an answer' },
  exit: {
    lost: 'bytes lost',
    corrupt: 'pieces changed',
    closed: 'streams closed',
    amiss: 'streams not open',
  },
  directory: {
    lost: 'answers lost',
    corrupt: 'answers changed',
    closed: 'streams closed',
    amiss: 'requests not answered',
  },
};

/** What is wrong with a check of a load of this mode, or null. */
export function blemish(mode: LoadPlan['mode'], check: LoadCheck): string | null {
  const { lost, corrupt, closed, amiss } = COUNTED[mode];
  if (check.lost !== 0) return `${check.lost} ${lost}`;
  if (check.corrupt !== 0) return `${check.corrupt} ${corrupt}`;
  if (check.closed.length > 0) return `${check.closed.length} ${closed} (${check.closed[0]})`;
  if (check.inStep !== check.expected) return `${check.expected - check.inStep} ${amiss}`;
  return null;
}
