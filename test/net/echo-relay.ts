/** A relay of the test's own: answers CREATE2 by ntor, sends DATA back, and counts who comes. */

import { BODY_AT, BODY_BYTES, buildCell } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import { decodeCreate2, encodeCreated2, HandshakeType } from '../../src/cell/create.ts';
import {
  RelayCommand,
  relayCommand,
  relayData,
  relayStreamId,
  writeRelayMessage,
} from '../../src/cell/relay-message.ts';
import { type Curve25519KeyPair, generateCurve25519 } from '../../src/crypto/curve25519.ts';
import { serverNtor } from '../../src/crypto/handshake/ntor.ts';
import { RECOGNISED } from '../../src/crypto/layer/layer.ts';
import { TOR1_KEY_BYTES, Tor1Layer } from '../../src/crypto/layer/tor1.ts';
import { makeTestRelay, type TestRelay } from '../channel/credentials.ts';
import type { Hop } from './test-circuit.ts';
import { listenTestLinks, type TestCell, type TestLink } from './test-link.ts';

/** Such a relay. */
export class EchoRelay {
  readonly relay: TestRelay = makeTestRelay(Math.floor(Date.now() / 1000));
  readonly #onionKey: Curve25519KeyPair = generateCurve25519();
  /** Links on which others dialled it, in order. */
  readonly links: TestLink[] = [];
  /** Every CREATE2: the link and the circuit id. */
  readonly creates: { readonly link: TestLink; readonly circId: number }[] = [];
  /** DESTROY cells that came, by reason. */
  readonly destroys: number[] = [];
  /** Leave CREATE2 unanswered. */
  mute = false;
  readonly #listener: { readonly port: number; stop(): void };

  constructor(host = '127.0.0.1') {
    this.#listener = listenTestLinks(
      this.relay.credentials,
      (link) => {
        this.links.push(link);
        this.serve(link);
      },
      host,
    );
  }

  get port(): number {
    return this.#listener.port;
  }

  get hop(): Hop {
    const { rsaId, ed25519Id } = this.relay.credentials;
    return { rsaId, ed25519Id, onionKey: this.#onionKey.publicKey };
  }

  /** Answer what comes over a link, whoever dialled it. */
  serve(link: TestLink): void {
    const layers = new Map<number, Tor1Layer>();
    link.onCell = (cell) => this.#take(link, layers, cell);
  }

  #take(link: TestLink, layers: Map<number, Tor1Layer>, { command, circId, body }: TestCell): boolean {
    if (command === Command.DESTROY) {
      this.destroys.push(body[0]!);
      layers.delete(circId);
      return true;
    }
    if (command === Command.CREATE2) {
      this.creates.push({ link, circId });
      const create = decodeCreate2(body);
      const { rsaId } = this.relay.credentials;
      if (this.mute || create.handshakeType !== HandshakeType.NTOR) return true;
      const junk = generateCurve25519();
      const answer = serverNtor(
        create.data,
        rsaId,
        [this.#onionKey],
        junk,
        generateCurve25519(),
        TOR1_KEY_BYTES,
      )!;
      layers.set(circId, new Tor1Layer(answer.keys));
      link.send(buildCell(circId, Command.CREATED2, encodeCreated2(answer.reply)));
      return true;
    }
    const layer = layers.get(circId);
    if (layer === undefined) return false;
    if (command === Command.RELAY || command === Command.RELAY_EARLY) this.#echo(link, layer, circId, body);
    return true;
  }

  #echo(link: TestLink, layer: Tor1Layer, circId: number, body: Uint8Array): void {
    const bytes = body.slice(0, BODY_BYTES);
    if (layer.decryptForward(bytes, 0) !== RECOGNISED || relayCommand(bytes, 0) !== RelayCommand.DATA) return;
    const cell = buildCell(circId, Command.RELAY, new Uint8Array(0));
    writeRelayMessage(cell, BODY_AT, RelayCommand.DATA, relayStreamId(bytes, 0), relayData(bytes, 0)!);
    layer.originateBackward(cell, BODY_AT);
    link.send(cell);
  }

  stop(): void {
    this.#listener.stop();
  }
}
