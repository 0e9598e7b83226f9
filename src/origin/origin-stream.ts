/**
 * A stream that we opened on a circuit of our own: to a target beyond an exit, or to a relay's directory.
 *
 * Bytes go out as far as windows and queues have room, in messages of at most 498 bytes; nothing is kept here for
 * later. Bytes that come are handed on at once. Without congestion control a stream has windows of its own (SENDMEs);
 * with it, XOFF and XON stop and start either side.
 * Who calls: `origin-circuit`, with the messages of this stream; whoever opened it.
 * @source tor-spec "Opening streams and transferring data", "Flow control"; proposal 324
 */
import { DestroyReason, EndReason } from '../cell/reason.ts';
import { RELAY_DATA_MAX, RelayCommand } from '../cell/relay-message.ts';
import {
  decodeEnd,
  decodeXoff,
  decodeXon,
  encodeEnd,
  encodeXoff,
  encodeXon,
} from '../cell/stream-message.ts';
import { Violation } from '../fault.ts';

/** What a stream tells whoever opened it. None of them may throw. */
export interface StreamEvents {
  /** CONNECTED came; `data` is its body, a view. */
  onOpen(data: Uint8Array): void;
  /** Bytes came: a view, valid during the call. */
  onData(data: Uint8Array): void;
  /** Bytes may be written again, after `write` took less than it was given. */
  onRoom(): void;
  /** It is over, for this reason of END; DESTROY when its circuit went. Told once, and not to who called `end`. */
  onEnd(reason: number): void;
}

/** What a stream needs of its circuit. */
export interface StreamCarrier {
  /** DATA messages that may go out now. */
  dataRoom(): number;
  /** Send a message of a stream. False when the circuit died of it. */
  sendMessage(command: number, streamId: number, data: Uint8Array): boolean;
  /** A stream found no room: tell it by `wake` when there is some. */
  noteBlocked(): void;
  /** We ended a stream: the other side may still send on it. */
  noteEnded(streamId: number): void;
  /** Streams have windows of their own. */
  readonly hasStreamWindows: boolean;
}

/** DATA messages that a stream may have on their way, and how many one SENDME stands for. */
const WINDOW = 500;
const INCREMENT = 50;
const NOTHING = new Uint8Array(0);

/** A stream of ours. */
export class OriginStream {
  readonly id: number;
  isConnected = false;
  isOver = false;
  /** Bytes of DATA that came and that went. */
  received = 0;
  sent = 0;
  private readonly carrier: StreamCarrier;
  private readonly events: StreamEvents;
  /** DATA messages that we may still send, and that the other side may. */
  private packageWindow = WINDOW;
  private deliverWindow = WINDOW;
  /** The other side sent XOFF. */
  private isStopped = false;
  /** Our side takes nothing for now. */
  private isHeld = false;
  private isBlocked = false;

  constructor(id: number, carrier: StreamCarrier, events: StreamEvents) {
    this.id = id;
    this.carrier = carrier;
    this.events = events;
  }

  /** Bytes that `write` would take now. */
  get room(): number {
    if (this.isOver || this.isStopped) return 0;
    let cells = this.carrier.dataRoom();
    if (this.carrier.hasStreamWindows) cells = Math.min(cells, this.packageWindow);
    return Math.max(0, cells) * RELAY_DATA_MAX;
  }

  /**
   * Send bytes, also before CONNECTED. Returns how many were taken: the caller keeps the rest until `onRoom`.
   * `data` is copied.
   */
  write(data: Uint8Array): number {
    let at = 0;
    while (at < data.length) {
      if (this.room === 0) {
        this.isBlocked = true;
        if (!this.isOver) this.carrier.noteBlocked();
        break;
      }
      const part = data.subarray(at, at + RELAY_DATA_MAX);
      this.packageWindow--;
      if (!this.carrier.sendMessage(RelayCommand.DATA, this.id, part)) break;
      at += part.length;
      this.sent += part.length;
    }
    return at;
  }

  /** Take no more bytes for now, or again: what is on its way still comes. */
  hold(isHeld: boolean): void {
    if (this.isOver || this.isHeld === isHeld) return;
    this.isHeld = isHeld;
    if (this.carrier.hasStreamWindows) {
      if (!isHeld) this.returnWindow();
    } else if (isHeld) {
      this.carrier.sendMessage(RelayCommand.XOFF, this.id, encodeXoff());
    } else {
      this.carrier.sendMessage(RelayCommand.XON, this.id, encodeXon(0));
    }
  }

  /** End it. Nothing is told to the opener any more. */
  end(reason: number = EndReason.DONE): void {
    if (this.isOver) return;
    this.isOver = true;
    this.carrier.noteEnded(this.id);
    this.carrier.sendMessage(RelayCommand.END, this.id, encodeEnd(reason));
  }

  /** There is room on the circuit again. */
  wake(): void {
    if (!this.isBlocked || this.room === 0) return;
    this.isBlocked = false;
    this.events.onRoom();
  }

  /** Whether it wants to be woken, and could send but for the circuit. */
  get waitsForCircuit(): boolean {
    if (!this.isBlocked || this.isOver || this.isStopped) return false;
    return !this.carrier.hasStreamWindows || this.packageWindow > 0;
  }

  /**
   * Take a message of this stream.
   * @returns false when it ended the stream
   * @throws Malformed, Violation
   */
  onMessage(command: number, data: Uint8Array): boolean {
    switch (command) {
      case RelayCommand.DATA:
        this.onData(data);
        return true;
      case RelayCommand.CONNECTED:
        if (this.isConnected) throw unexpected('a second CONNECTED');
        this.isConnected = true;
        this.events.onOpen(data);
        return true;
      case RelayCommand.END:
        this.close(decodeEnd(data).reason);
        return false;
      case RelayCommand.SENDME:
        this.onSendme();
        return true;
      case RelayCommand.XOFF:
        decodeXoff(data);
        this.isStopped = true;
        return true;
      case RelayCommand.XON:
        decodeXon(data);
        this.isStopped = false;
        this.goOn();
        return true;
      default:
        throw unexpected(`relay command ${command} on a stream`);
    }
  }

  /** It is over without our doing. */
  close(reason: number): void {
    if (this.isOver) return;
    this.isOver = true;
    this.events.onEnd(reason);
  }

  private onData(data: Uint8Array): void {
    if (!this.isConnected) throw unexpected('DATA before CONNECTED');
    this.deliverWindow--;
    if (this.carrier.hasStreamWindows && this.deliverWindow < 0) throw unexpected('DATA past the window');
    this.received += data.length;
    if (data.length > 0) this.events.onData(data);
    if (!this.isOver && !this.isHeld) this.returnWindow();
  }

  /** Acknowledge what came, in steps. */
  private returnWindow(): void {
    if (!this.carrier.hasStreamWindows) return;
    while (this.deliverWindow <= WINDOW - INCREMENT) {
      this.deliverWindow += INCREMENT;
      if (!this.carrier.sendMessage(RelayCommand.SENDME, this.id, NOTHING)) return;
    }
  }

  private onSendme(): void {
    if (!this.carrier.hasStreamWindows) throw unexpected('a stream SENDME beside congestion control');
    if (this.packageWindow + INCREMENT > WINDOW) throw unexpected('a SENDME for nothing');
    this.packageWindow += INCREMENT;
    this.goOn();
  }

  /** The stream itself may send again: at once, or when the circuit has room. */
  private goOn(): void {
    this.wake();
    if (this.waitsForCircuit) this.carrier.noteBlocked();
  }
}

function unexpected(what: string): Violation {
  return new Violation('circuit', DestroyReason.PROTOCOL, 'origin_stream_protocol', what);
}
