/** Layers of several hops: sealed for one, unwrapped by each, and back. */
import { expect, test } from 'bun:test';
import { BODY_BYTES } from '../../src/cell/cell.ts';
import { RelayCommand, relayCommand, writeRelayMessage } from '../../src/cell/relay-message.ts';
import { PASS, RECOGNISED } from '../../src/crypto/layer/layer.ts';
import { TOR1_KEY_BYTES, Tor1ClientLayer, Tor1Layer } from '../../src/crypto/layer/tor1.ts';
import { NO_HOP, Onion } from '../../src/origin/onion.ts';

const keys = (hop: number): Uint8Array => new Uint8Array(TOR1_KEY_BYTES).fill(hop + 1);

function build(hops: number): { onion: Onion; relays: Tor1Layer[] } {
  const onion = new Onion();
  const relays: Tor1Layer[] = [];
  for (let hop = 0; hop < hops; hop++) {
    onion.add(new Tor1ClientLayer(keys(hop)));
    relays.push(new Tor1Layer(keys(hop)));
  }
  return { onion, relays };
}

function message(command: number): Uint8Array {
  const body = new Uint8Array(BODY_BYTES);
  writeRelayMessage(body, 0, command, 7, Uint8Array.of(1, 2, 3));
  return body;
}

test('a message is seen by the hop that it is for, and by no other, in any order of hops', () => {
  const { onion, relays } = build(3);
  for (const to of [2, 0, 1, 1, 2]) {
    const body = message(RelayCommand.DATA);
    onion.seal(to, body, 0);
    for (let hop = 0; hop < to; hop++) expect(relays[hop]!.decryptForward(body, 0)).toBe(PASS);
    expect(relays[to]!.decryptForward(body, 0)).toBe(RECOGNISED);
    expect(relayCommand(body, 0)).toBe(RelayCommand.DATA);
    expect(onion.sentTag(to)).toEqual(relays[to]!.forwardTag);
  }
});

test('what a hop sends is known to be its', () => {
  const { onion, relays } = build(3);
  for (const from of [2, 1, 2, 0]) {
    const body = message(RelayCommand.END);
    relays[from]!.originateBackward(body, 0);
    for (let hop = from - 1; hop >= 0; hop--) relays[hop]!.encryptBackward(body, 0);
    expect(onion.open(body, 0)).toBe(from);
    expect(relayCommand(body, 0)).toBe(RelayCommand.END);
    expect(onion.receivedTag(from)).toEqual(relays[from]!.backwardTag);
  }
});

test('what nobody sealed is nobody’s', () => {
  const { onion } = build(2);
  expect(onion.open(new Uint8Array(BODY_BYTES).fill(5), 0)).toBe(NO_HOP);
  expect(onion.hops).toBe(2);
});
