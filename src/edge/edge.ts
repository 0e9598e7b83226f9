/**
 * Recognised messages that end here, for a relay that is no exit and no directory cache: streams are refused with
 * the reason that C tor gives, and what no circuit of ours can have asked for closes the circuit.
 * @source tor-spec "Application connections and stream management"
 */
import { DestroyReason, EndReason } from '../cell/reason.ts';
import { RelayCommand } from '../cell/relay-message.ts';
import { originate } from '../circuit/originate.ts';
import type { CircuitPlane, Edge } from '../circuit/plane.ts';
import { Malformed, Violation } from '../fault.ts';
import { Counter } from '../shm/scoreboard.ts';

/** RESOLVED answer of type 0xF1 (error, do not retry), no data, TTL 60. */
const RESOLVE_REFUSED = Uint8Array.of(0xf1, 0, 0, 0, 0, 60);

/** Refuses streams. One per worker. */
export class RefusingEdge implements Edge {
  private readonly plane: CircuitPlane;

  constructor(plane: CircuitPlane) {
    this.plane = plane;
  }

  onMessage(row: number, command: number, streamId: number, data: Uint8Array): void {
    switch (command) {
      case RelayCommand.BEGIN:
        this.refuse(row, streamId, EndReason.EXITPOLICY);
        return;
      case RelayCommand.BEGIN_DIR:
        this.refuse(row, streamId, EndReason.NOTDIRECTORY);
        return;
      case RelayCommand.RESOLVE:
        if (this.dropZeroStream(streamId)) return;
        this.plane.counters.add(Counter.streams_refused, 1);
        originate(this.plane, row, RelayCommand.RESOLVED, streamId, RESOLVE_REFUSED);
        return;
      case RelayCommand.SENDME:
        // Nothing of ours is ever sent that a SENDME could acknowledge.
        if (streamId === 0) {
          throw new Violation(
            'circuit',
            DestroyReason.PROTOCOL,
            'circuit_unexpected_sendme',
            'unexpected SENDME',
          );
        }
        return;
      case RelayCommand.END:
        // As C tor, although there is no stream that it could end.
        if (data.length === 0) throw new Malformed('END', 'no reason');
        return;
      default:
        this.plane.counters.add(Counter.circuit_relay_unknown_command, 1);
    }
  }

  onCircuitClosed(_row: number): void {}

  /** C tor drops BEGIN, BEGIN_DIR and RESOLVE on stream 0 silently. */
  private dropZeroStream(streamId: number): boolean {
    if (streamId !== 0) return false;
    this.plane.counters.add(Counter.circuit_relay_zero_stream, 1);
    return true;
  }

  private refuse(row: number, streamId: number, reason: number): void {
    if (this.dropZeroStream(streamId)) return;
    this.plane.counters.add(Counter.streams_refused, 1);
    originate(this.plane, row, RelayCommand.END, streamId, Uint8Array.of(reason));
  }
}
