/**
 * Conflux as streams see it: a set carries its streams as a circuit carries its own, and a circuit that is a leg does
 * for its set what it would do for its streams.
 *
 * A set's streams begin with the set, as no circuit with streams may join one; they stay where the set is at home.
 * Who calls: `circuit/conflux-hub`.
 * @source proposal 329
 */
import { RelayCommand } from '../cell/relay-message.ts';
import type { HomeLeg, HomeSet } from '../circuit/conflux-homes.ts';
import type { LegEnd, SetStreams } from '../circuit/conflux-hub.ts';
import { OVER_CLIENT, OVER_LISTED } from '../circuit/conflux-legs.ts';
import type { CircuitPlane } from '../circuit/plane.ts';
import type { Asker } from './asker.ts';
import type { StreamEdge } from './edge.ts';
import type { Stream } from './stream.ts';
import { StreamSet } from './stream-set.ts';

/** A set that streams are asked of. */
class SetEnd implements Asker {
  readonly streams: StreamSet;
  /** What the leg comes over that brought the last message. */
  over = 0;
  streamTokens: number;
  streamTokensMs: number;

  constructor(plane: CircuitPlane, home: HomeSet) {
    // Only circuits with congestion control join.
    this.streams = new StreamSet(home.set, true);
    this.streamTokens = plane.options.dos.streamBurst;
    this.streamTokensMs = plane.nowMs;
  }

  get overClient(): boolean {
    return (this.over & OVER_CLIENT) !== 0;
  }

  get overListed(): boolean {
    return (this.over & OVER_LISTED) !== 0;
  }
}

/** Between the conflux hub and the streams of one worker. */
export class ConfluxEdge implements LegEnd, SetStreams {
  private readonly plane: CircuitPlane;
  private readonly edge: StreamEdge;
  private readonly ends = new Map<HomeSet, SetEnd>();

  constructor(plane: CircuitPlane, edge: StreamEdge) {
    this.plane = plane;
    this.edge = edge;
    plane.conflux.end = this;
    plane.conflux.streams = this;
  }

  /** The streams of each set. */
  *sets(): Generator<StreamSet> {
    for (const { streams } of this.ends.values()) yield streams;
  }

  /** The streams of one set. */
  *streamsOf(home: HomeSet): Generator<Stream> {
    const end = this.ends.get(home);
    if (end !== undefined) yield* end.streams.all();
  }

  room(row: number): number {
    return this.edge.endOf(row).room();
  }

  send(row: number, command: number, streamId: number, data: Uint8Array): boolean {
    return this.edge.endOf(row).send(command, streamId, data);
  }

  sendBodies(row: number, bodies: Uint8Array, count: number): boolean {
    return this.edge.endOf(row).sendBodies(bodies, count);
  }

  inFlight(row: number): boolean {
    return this.edge.knownEnd(row)?.inFlight ?? false;
  }

  hasStreams(row: number): boolean {
    const end = this.edge.knownEnd(row);
    return end !== null && end.streams.count > 0;
  }

  over(row: number): number {
    const { overClient, overListed } = this.edge.endOf(row);
    return (overClient ? OVER_CLIENT : 0) | (overListed ? OVER_LISTED : 0);
  }

  onSetMessage(home: HomeSet, from: HomeLeg, command: number, streamId: number, data: Uint8Array): void {
    const end = this.endOf(home);
    if (command === RelayCommand.DATA) {
      this.edge.table.onData(end.streams, streamId, data, 0, data.length);
      return;
    }
    end.over = from.over;
    this.edge.onStreamMessage(end, command, streamId, data);
  }

  private endOf(home: HomeSet): SetEnd {
    const there = this.ends.get(home);
    if (there !== undefined) return there;
    const made = new SetEnd(this.plane, home);
    this.ends.set(home, made);
    return made;
  }

  onSetRoom(home: HomeSet): void {
    const end = this.ends.get(home);
    if (end !== undefined) this.edge.table.resume(end.streams);
  }

  onSetClosed(home: HomeSet): void {
    const end = this.ends.get(home);
    if (end === undefined) return;
    this.ends.delete(home);
    this.edge.table.dropSet(end.streams);
  }
}
