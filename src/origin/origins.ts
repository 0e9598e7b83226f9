/**
 * All circuits of one worker that we started, by row: the circuit plane's hook, and where such circuits are opened.
 *
 * A malformed message or a violation of a hop closes that circuit, is counted, and loses nothing else. Once a turn,
 * circuits that are not open in time are given up, and those that found no room are looked at again.
 */
import { BODY_AT, BODY_BYTES, copyBody, getCommand } from '../cell/cell.ts';
import { Command } from '../cell/command.ts';
import { DestroyReason } from '../cell/reason.ts';
import type { CircuitPlane, Origin } from '../circuit/plane.ts';
import { Malformed, Violation } from '../fault.ts';
import type { OriginHop } from '../shm/origin-letter.ts';
import { Counter } from '../shm/scoreboard.ts';
import { type CircuitEvents, type CircuitKeeper, OriginCircuit } from './origin-circuit.ts';

/** The circuits that this worker started. One per worker. */
export class Origins implements Origin, CircuitKeeper {
  readonly plane: CircuitPlane;
  private readonly byRow = new Map<number, OriginCircuit>();
  /** Not open yet. */
  private readonly building = new Set<OriginCircuit>();
  /** Some stream of theirs found no room. */
  private readonly blocked = new Set<OriginCircuit>();
  /** The body being looked at. Hops are not asked while another's message is served. */
  private readonly body = new Uint8Array(BODY_BYTES);

  constructor(plane: CircuitPlane) {
    this.plane = plane;
  }

  /** Circuits that there are. */
  get count(): number {
    return this.byRow.size;
  }

  /**
   * Open a circuit along a path; `events` tell how it goes, maybe before this returns.
   * @param timeoutMs for building it
   */
  open(path: readonly OriginHop[], timeoutMs: number, events: CircuitEvents): OriginCircuit {
    this.plane.wake();
    const circuit = new OriginCircuit(this, path, timeoutMs, events);
    this.add(circuit);
    circuit.start();
    return circuit;
  }

  add(circuit: OriginCircuit): void {
    this.byRow.set(circuit.row, circuit);
    this.building.add(circuit);
    this.plane.counters.add(Counter.origin_circuits_started, 1);
  }

  remove(circuit: OriginCircuit): void {
    this.byRow.delete(circuit.row);
    this.building.delete(circuit);
    this.blocked.delete(circuit);
  }

  watch(circuit: OriginCircuit): void {
    this.blocked.add(circuit);
  }

  onCreated(row: number, bytes: Uint8Array, at: number): void {
    const circuit = this.byRow.get(row);
    if (circuit !== undefined) this.serve(circuit, () => circuit.onCreated(bytes, at));
  }

  onRelayCell(row: number, bytes: Uint8Array, at: number): boolean {
    const circuit = this.byRow.get(row);
    if (circuit === undefined) return false;
    const { counters } = this.plane;
    if (getCommand(bytes, at) === Command.RELAY_EARLY) {
      // Only a tagging attack sends these towards the client.
      counters.add(Counter.circuit_relay_early_backward, 1);
      circuit.fail(DestroyReason.PROTOCOL);
      return false;
    }
    copyBody(bytes, at + BODY_AT, this.body, 0);
    this.serve(circuit, () => circuit.onBody(this.body));
    return !circuit.isOver;
  }

  private serve(circuit: OriginCircuit, message: () => void): void {
    const { counters } = this.plane;
    try {
      message();
    } catch (error) {
      if (error instanceof Malformed) counters.add(Counter.origin_message_malformed, 1);
      else if (error instanceof Violation) counters.bump(error.counter);
      else throw error;
      circuit.fail(DestroyReason.PROTOCOL);
    }
  }

  onCircuitClosed(row: number, reason: number): void {
    this.byRow.get(row)?.onGone(reason);
  }

  /** Once a turn. */
  turn(): void {
    const { nowMs, counters } = this.plane;
    for (const circuit of this.building) {
      if (circuit.isOpen) {
        this.building.delete(circuit);
      } else if (circuit.deadlineMs <= nowMs) {
        counters.add(Counter.origin_circuit_timeout, 1);
        circuit.fail(DestroyReason.TIMEOUT);
      }
    }
    for (const circuit of this.blocked) {
      if (!circuit.wakeStreams()) this.blocked.delete(circuit);
    }
  }

  /** End all of them. */
  closeAll(): void {
    for (const circuit of [...this.byRow.values()]) circuit.fail(DestroyReason.FINISHED);
  }
}
