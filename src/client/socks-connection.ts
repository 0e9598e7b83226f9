/**
 * One application's connection: its handshake, its stream, and the bytes between both.
 *
 * What one side does not take is kept, and the other side held meanwhile, so that what is kept stays within a window of
 * the circuit, or a chunk of the socket. Tor has no half-closed streams: an application that ends its side ends the
 * stream once its bytes are out.
 */
import { isLoopback } from '../bytes/address.ts';
import { EndReason } from '../cell/reason.ts';
import type { OriginStream, StreamEvents } from '../origin/origin-stream.ts';
import type { CircuitWaiter, ClientCircuit, StreamWish } from './client-circuits.ts';
import { SocksHandshake, type SocksRequest } from './socks-handshake.ts';

/** Circuits to try before an application is told that it does not work. */
const TRIES = 3;

/** The application's socket. */
export interface SocksWire {
  /** Returns how many bytes were taken. */
  write(bytes: Uint8Array): number;
  /** Send what was taken, then close. */
  end(): void;
  pause(): void;
  resume(): void;
}

/** Where streams get their circuits. */
export interface CircuitSource {
  attach(wish: StreamWish, waiter: CircuitWaiter): void;
}

/** One connection. */
export class SocksConnection implements CircuitWaiter, StreamEvents {
  private readonly wire: SocksWire;
  private readonly circuits: CircuitSource;
  private readonly handshake = new SocksHandshake();
  private request: SocksRequest | null = null;
  private tries = 0;
  private circuit: ClientCircuit | null = null;
  private stream: OriginStream | null = null;
  private isOpen = false;
  private isOver = false;
  /** The application sends no more. */
  private isFinished = false;
  /** Bytes for the stream and for the application that were not taken yet. */
  private forward: Uint8Array = new Uint8Array(0);
  private readonly backward: Uint8Array[] = [];
  /** The stream is over: close when all is written. */
  private isEnding = false;

  constructor(wire: SocksWire, circuits: CircuitSource) {
    this.wire = wire;
    this.circuits = circuits;
  }

  /** The application sent bytes. */
  onBytes(bytes: Uint8Array): void {
    if (this.isOver) return;
    if (this.request !== null) {
      this.send(bytes);
      return;
    }
    const { write, request, rest, failed } = this.handshake.push(bytes);
    if (write.length > 0) this.give(write);
    if (failed) {
      this.finish();
      return;
    }
    if (request === null) return;
    this.request = request;
    // This network stays on one machine. Names are the exit's to look up, and it knows none outside either.
    if (request.address !== null && !isLoopback(request.address)) {
      this.refuse(EndReason.EXITPOLICY);
      return;
    }
    this.forward = rest.slice();
    this.wire.pause();
    this.look();
  }

  private look(): void {
    const { port, address, isolation } = this.request!;
    this.tries++;
    this.circuits.attach({ port, isIpv6: address?.length === 16, isolation }, this);
  }

  onCircuit(circuit: ClientCircuit): void {
    if (this.isOver) return;
    const { host, port, address } = this.request!;
    this.circuit = circuit;
    const target = `${address?.length === 16 ? `[${host}]` : host}:${port}`;
    this.stream = circuit.circuit!.connect(target, 0, this);
    if (this.stream === null) this.retry(EndReason.DESTROY);
  }

  onNone(): void {
    this.refuse(EndReason.DESTROY);
  }

  private retry(reason: number): void {
    this.stream = null;
    // Only what the circuit is to blame for may go better on another one.
    const mayHelp = reason === EndReason.DESTROY || reason === EndReason.HIBERNATING;
    if (mayHelp && this.tries < TRIES) this.look();
    else this.refuse(reason);
  }

  private refuse(reason: number): void {
    if (this.isOver) return;
    this.give(this.handshake.refused(reason));
    this.finish();
  }

  onOpen(): void {
    if (this.isOver) return;
    this.isOpen = true;
    this.give(this.handshake.granted());
    this.onRoom();
  }

  onData(data: Uint8Array): void {
    this.circuit!.count(data.length, 0);
    if (!this.isOver) this.give(data);
  }

  /** Hand bytes to the application; what it does not take waits, and the stream is held. */
  private give(bytes: Uint8Array): void {
    if (this.backward.length === 0) {
      const taken = Math.max(0, this.wire.write(bytes));
      if (taken === bytes.length) return;
      this.backward.push(bytes.slice(taken));
    } else {
      this.backward.push(bytes.slice());
    }
    this.stream?.hold(true);
  }

  /** The application's socket takes bytes again. */
  onDrain(): void {
    while (this.backward.length > 0) {
      const bytes = this.backward[0]!;
      const taken = Math.max(0, this.wire.write(bytes));
      if (taken < bytes.length) {
        this.backward[0] = bytes.subarray(taken);
        return;
      }
      this.backward.shift();
    }
    if (this.isEnding) this.leave();
    else this.stream?.hold(false);
  }

  private send(bytes: Uint8Array): void {
    if (this.forward.length > 0 || !this.isOpen) {
      this.forward = Buffer.concat([this.forward, bytes]);
      this.wire.pause();
      return;
    }
    this.forward = bytes;
    this.push();
    if (this.forward.length > 0) {
      this.forward = this.forward.slice();
      this.wire.pause();
    }
  }

  private push(): void {
    const taken = this.stream?.write(this.forward) ?? 0;
    this.circuit?.count(0, taken);
    this.forward = this.forward.subarray(taken);
  }

  onRoom(): void {
    if (!this.isOpen || this.isOver) return;
    if (this.forward.length > 0) this.push();
    if (this.forward.length > 0) return;
    if (this.isFinished) this.endStream();
    else this.wire.resume();
  }

  onEnd(reason: number): void {
    if (this.isOver) return;
    this.stream = null;
    if (this.isOpen) this.finish();
    else this.retry(reason);
  }

  /** The application sends no more. */
  onFinished(): void {
    this.isFinished = true;
    if (this.isOpen && this.forward.length === 0) this.endStream();
  }

  private endStream(): void {
    this.stream?.end();
    this.stream = null;
    this.finish();
  }

  /** Close once everything is written. */
  private finish(): void {
    this.isEnding = true;
    if (this.backward.length === 0) this.leave();
  }

  private leave(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.wire.end();
  }

  /** The application's socket is gone. */
  onGone(): void {
    this.isOver = true;
    this.stream?.end();
    this.stream = null;
  }
}
