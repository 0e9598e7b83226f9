/** Netflow padding: which links get it, when, and what the peer may ask for. */
import { describe, expect, test } from 'bun:test';
import { Command } from '../../src/cell/command.ts';
import { encodePaddingNegotiate, PaddingCommand } from '../../src/cell/padding.ts';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import { filled, Rig, type RigOptions } from '../circuit/rig.ts';

const ON: RigOptions = { options: { paddingEnabled: true, paddingLowMs: 1500, paddingHighMs: 9500 } };

/** Padding cells that the client got, and nothing else. */
function padding(rig: Rig): number {
  const cells = rig.client.cells.splice(0);
  expect(cells.every(({ command, circId }) => command === Command.PADDING && circId === 0)).toBe(true);
  return cells.length;
}

const negotiate = (command: 1 | 2, itoLowMs = 0, itoHighMs = 0) =>
  encodePaddingNegotiate({ command, itoLowMs, itoHighMs });

describe('a client link', () => {
  test('is padded once a circuit crosses us, at the agreed pace', () => {
    const rig = new Rig(ON);
    rig.openTwo();
    rig.world.pass(100_000);
    const cells = padding(rig);
    expect(cells).toBeGreaterThanOrEqual(100_000 / 9700);
    expect(cells).toBeLessThanOrEqual(100_000 / 1500);
    expect(rig.count('channel_padding_sent')).toBe(cells);
  });

  test('is not padded before that, not even when it asks to be', () => {
    const rig = new Rig(ON);
    rig.open();
    rig.client.send(0, Command.PADDING_NEGOTIATE, negotiate(PaddingCommand.START));
    rig.world.pass(60_000);
    expect(padding(rig)).toBe(0);
  });

  test('waits for traffic if the consensus says so', () => {
    const rig = new Rig({ options: { ...ON.options, padBeforeUsage: false } });
    const circuit = rig.openTwo();
    rig.world.pass(60_000);
    expect(padding(rig)).toBe(0);
    rig.expectPasses(circuit, rig.next.last);
    rig.world.pass(60_000);
    expect(padding(rig)).toBeGreaterThan(3);
  });

  test('of link protocol 4, or with padding off, is not padded', () => {
    for (const options of [{ ...ON, linkProtocol: 4 as const }, {}]) {
      const rig = new Rig(options);
      rig.openTwo();
      rig.world.pass(60_000);
      expect(padding(rig)).toBe(0);
    }
  });

  test('with traffic either way is not padded', () => {
    const rig = new Rig(ON);
    const circuit = rig.openTwo();
    for (let i = 0; i < 40; i++) {
      circuit.say(RelayCommand.DATA, 1, filled(1, 1));
      rig.world.pass(1000);
    }
    expect(padding(rig)).toBe(0);
  });

  test('whose peer takes nothing gets none, and does not look as if it took some', () => {
    const rig = new Rig(ON);
    rig.openTwo();
    const channel = rig.relay.workers[0]!.data.channels.bySlot.find((each) => each?.isClient)!;
    rig.world.pass(20_000);
    padding(rig);
    const { lastWriteMs } = channel;
    const sent = rig.count('channel_padding_sent');
    channel.congested = true;
    const { delivered } = rig.world;
    rig.world.pass(100_000);
    expect([channel.lastWriteMs, rig.count('channel_padding_sent'), padding(rig)]).toEqual([
      lastWriteMs,
      sent,
      0,
    ]);
    // Nor does it keep anyone busy.
    expect(rig.world.delivered).toBe(delivered);
    channel.congested = false;
    rig.world.pass(30_000);
    expect(padding(rig)).toBeGreaterThan(2);
  });

  test('without circuits costs no timers, and is padded again when one crosses', () => {
    const rig = new Rig(ON);
    const first = rig.openTwo();
    rig.client.send(first.circId, Command.DESTROY, Uint8Array.of(0));
    rig.world.pass(30_000);
    padding(rig);
    expect(rig.relay.workers[0]!.data.wheel.size).toBe(0);
    rig.openTwo(first.circId + 1);
    rig.world.pass(60_000);
    expect(padding(rig)).toBeGreaterThan(3);
  });
});

test('relays are padded only if the consensus says so', () => {
  for (const padRelays of [false, true]) {
    const rig = new Rig({ options: { ...ON.options, padRelays } });
    rig.openTwo();
    const peer = rig.next.peers[0]!;
    let got = 0;
    peer.onCell = ({ command }) => {
      if (command === Command.PADDING) got++;
    };
    rig.world.pass(60_000);
    padding(rig);
    expect(got).toBe(0);
  }
});

describe('PADDING_NEGOTIATE', () => {
  test('stops padding and starts it again', () => {
    const rig = new Rig(ON);
    rig.openTwo();
    rig.client.send(0, Command.PADDING_NEGOTIATE, negotiate(PaddingCommand.STOP));
    rig.world.pass(60_000);
    expect(padding(rig)).toBe(0);
    rig.client.send(0, Command.PADDING_NEGOTIATE, negotiate(PaddingCommand.START));
    rig.world.pass(60_000);
    expect(padding(rig)).toBeGreaterThan(3);
  });

  test('may ask for less padding, not for more', () => {
    const rig = new Rig(ON);
    rig.openTwo();
    rig.client.send(0, Command.PADDING_NEGOTIATE, negotiate(PaddingCommand.START, 20_000, 30_000));
    rig.world.pass(90_000);
    const few = padding(rig);
    expect(few).toBeGreaterThanOrEqual(2);
    expect(few).toBeLessThanOrEqual(6);
    rig.client.send(0, Command.PADDING_NEGOTIATE, negotiate(PaddingCommand.START, 1, 1));
    rig.world.pass(60_000);
    expect(padding(rig)).toBeLessThanOrEqual(60_000 / 1500 + 1);
  });

  test('is refused when malformed, on link protocol 4, and from a side that was dialled', () => {
    const rig = new Rig(ON);
    rig.client.send(0, Command.PADDING_NEGOTIATE, Uint8Array.of(9, 9, 9));
    rig.openTwo();
    rig.next.peers[0]!.send(0, Command.PADDING_NEGOTIATE, negotiate(PaddingCommand.STOP));
    rig.settle();
    expect(rig.count('channel_bad_padding_negotiate')).toBe(2);
    const old = new Rig({ ...ON, linkProtocol: 4 });
    old.client.send(0, Command.PADDING_NEGOTIATE, negotiate(PaddingCommand.STOP));
    old.settle();
    expect(old.count('channel_bad_padding_negotiate')).toBe(1);
  });
});

test('padding from the peer is counted and dropped', () => {
  const rig = new Rig();
  rig.client.send(0, Command.PADDING);
  rig.settle();
  expect(rig.count('channel_padding_received')).toBe(1);
  expect(rig.client.cells).toEqual([]);
});
