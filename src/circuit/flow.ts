/**
 * Flow control of one end of a circuit: how many DATA cells it may send, and when it owes the other end a SENDME.
 *
 * Only DATA counts, of whatever stream. With congestion control (`ccSendmeInc` above 0, as negotiated by ntor-v3) the
 * window is Vegas's; without, it is circwindow cells, a hundred more with each SENDME. Every `increment` cells the
 * receiver sends a SENDME with the tag of the last of them, which the sender kept in a queue when it sent that cell.
 * The same for both ends of a circuit, exit and client.
 * Invariants: one tag is kept for each SENDME that is to come; cells sent and not acknowledged never exceed the window,
 * except after Vegas shrank it.
 * Who calls: `edge/` for circuits that end here, `origin/` for ours.
 * @source tor-spec "Flow control", proposals 289 and 324
 */
import { equal } from '../bytes/secret.ts';
import { DestroyReason } from '../cell/reason.ts';
import { decodeSendme, encodeSendme } from '../cell/sendme.ts';
import { Malformed, Violation } from '../fault.ts';
import type { FlowParams } from '../shm/flow-params.ts';
import { Vegas } from './vegas.ts';

/** Cells of a SENDME without congestion control. */
export const CIRCUIT_INCREMENT = 100;
/** The largest window without congestion control. */
export const CIRCUIT_WINDOW_MAX = 1000;

const NOTHING = new Uint8Array(0);

/** Windows and tags of one end of one circuit. */
export class CircuitFlow {
  /** Null without congestion control. */
  readonly vegas: Vegas | null;
  /** Cells that one SENDME acknowledges. */
  readonly increment: number;
  private readonly params: FlowParams;
  private packageWindow: number;
  private sent = 0;
  private delivered = 0;
  /** Tags that SENDMEs must carry, oldest first. */
  private readonly tags: Uint8Array[] = [];

  /** @param ccSendmeInc cells per SENDME of congestion control; 0 for the windows of old */
  constructor(params: FlowParams, ccSendmeInc: number) {
    this.params = params;
    this.vegas = ccSendmeInc > 0 ? new Vegas(params.vegas, ccSendmeInc) : null;
    this.increment = ccSendmeInc > 0 ? ccSendmeInc : CIRCUIT_INCREMENT;
    this.packageWindow = params.circuitWindow;
  }

  /** DATA cells that may be sent now. */
  get room(): number {
    return this.vegas === null ? this.packageWindow : this.vegas.room;
  }

  /** SENDMEs that the other end still owes us. */
  get expected(): number {
    return this.tags.length;
  }

  /** Whether a DATA cell may be sent now. */
  canSend(): boolean {
    return this.room > 0;
  }

  /** A DATA cell was sealed. `tag`: that of this cell, which is kept, if it is one that a SENDME will answer. */
  onSent(tag: Uint8Array, nowMs: number): void {
    if (this.noteSent(nowMs)) this.keepTag(tag);
  }

  /** The same in two steps: a DATA cell was sealed. True if `keepTag` must be given its tag now. */
  noteSent(nowMs: number): boolean {
    if (this.vegas !== null) return this.vegas.noteSent(nowMs);
    this.packageWindow--;
    if (++this.sent < CIRCUIT_INCREMENT) return false;
    this.sent = 0;
    return true;
  }

  /** Keep the tag that a SENDME will have to carry. */
  keepTag(tag: Uint8Array): void {
    this.tags.push(tag);
  }

  /** A DATA cell came. True when a SENDME with this cell's tag is due now: send what `sendmeFor` gives. */
  onDelivered(): boolean {
    if (++this.delivered < this.increment) return false;
    this.delivered = 0;
    return true;
  }

  /** The data of a SENDME that acknowledges the cell with this tag, in the version that the consensus wants. */
  sendmeFor(tag: Uint8Array): Uint8Array {
    return this.params.sendmeEmitVersion === 1 ? encodeSendme(tag) : NOTHING;
  }

  /**
   * The other end sent a SENDME for the circuit.
   * @param blocked our queue towards it is above its mark, which tells Vegas of congestion
   * @param acceptOld a version that the consensus forbids is taken nevertheless: for directory fetches of old clients
   * @throws Violation when it is not one that we wait for, with the reason to close the circuit with
   */
  onSendme(data: Uint8Array, nowMs: number, blocked: boolean, acceptOld = false): void {
    let sendme: ReturnType<typeof decodeSendme>;
    try {
      sendme = decodeSendme(data);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      throw refusal('circuit_sendme_malformed', error.message);
    }
    if (sendme.version < this.params.sendmeAcceptVersion && !acceptOld) {
      throw refusal('circuit_sendme_old_version', `SENDME of version ${sendme.version}`);
    }
    const tag = this.tags.shift();
    if (tag === undefined) throw refusal('circuit_unexpected_sendme', 'unexpected SENDME');
    if (sendme.tag !== null && !equal(sendme.tag, tag)) {
      throw refusal('circuit_sendme_wrong_tag', 'SENDME for a cell that was not sent');
    }
    if (this.vegas !== null) {
      this.vegas.onSendme(nowMs, blocked);
      return;
    }
    if (this.packageWindow + CIRCUIT_INCREMENT > CIRCUIT_WINDOW_MAX) {
      throw refusal('circuit_unexpected_sendme', 'SENDME beyond the window');
    }
    this.packageWindow += CIRCUIT_INCREMENT;
  }
}

function refusal(counter: string, why: string): Violation {
  return new Violation('circuit', DestroyReason.PROTOCOL, counter, why);
}
