/** The once-a-second look at open channels: idling, keepalive, superseding. */
import { describe, expect, test } from 'bun:test';
import { Command } from '../../src/cell/command.ts';
import { CLOSED } from '../../src/channel/channel.ts';
import { filled, ID, Rig } from '../circuit/rig.ts';
import { Peer } from '../sim/peer.ts';

describe('open links', () => {
  test('are closed when idle: clients soon, relays later', () => {
    const rig = new Rig({ options: { idleClientTimeoutMs: 5000, idleRelayTimeoutMs: 20_000 } });
    const relay = Peer.connect(rig.world, rig.relay, {
      identity: { rsaId: filled(20, 1), ed25519Id: filled(32, 1) },
    });
    rig.world.pass(4500);
    expect(rig.client.gone).toBe(false);
    // Each link has a limit of its own: up to half as long again for clients, a quarter more or less for relays.
    rig.world.pass(4500);
    expect([rig.client.gone, relay.gone]).toEqual([true, false]);
    rig.world.pass(18_000);
    expect(relay.gone).toBe(true);
    expect(rig.count('channel_idle_closed')).toBe(2);
    expect(rig.relay.roster.count().open).toBe(0);
  });

  test('are not idle with a circuit, and the clock starts when the last one leaves', () => {
    const rig = new Rig({ options: { idleClientTimeoutMs: 5000 } });
    rig.open();
    rig.world.pass(20_000);
    expect(rig.client.gone).toBe(false);
    rig.client.send(ID, Command.DESTROY, Uint8Array.of(0));
    rig.world.pass(4000);
    expect(rig.client.gone).toBe(false);
    rig.world.pass(5000);
    expect(rig.client.gone).toBe(true);
  });

  test('that are quiet get a padding cell now and then, and go when not even that is taken', () => {
    const rig = new Rig({ options: { keepaliveMs: 4000 } });
    rig.open();
    rig.world.pass(21_000);
    const cells = rig.client.cells.splice(0);
    expect(cells.every(({ command }) => command === Command.PADDING)).toBe(true);
    expect(cells.length).toBe(rig.count('channel_keepalive_sent'));
    expect(cells.length).toBeGreaterThanOrEqual(4);
    const channel = rig.plane.channels.bySlot[0]!;
    rig.client.wire.other.write = () => 0;
    rig.world.pass(60_000);
    expect(channel.state).toBe(CLOSED);
    expect(rig.count('channel_stuck_closed')).toBe(1);
    rig.expectEmpty();
  });

  test('that are superseded take no new circuits, carry theirs on, and go when empty', () => {
    const rig = new Rig();
    const circuit = rig.openTwo();
    const end = rig.next.last;
    const { data } = rig.relay.workers[0]!;
    const channel = data.channels.bySlot.find((one) => one?.initiated)!;
    rig.relay.roster.markSuperseded(channel.peerRsaId!, channel.peerEd25519Id, 0, Number.NEGATIVE_INFINITY);
    rig.world.pass(2000);
    expect(channel.bad).toBe(true);
    expect(rig.count('channel_superseded')).toBe(1);
    rig.expectPasses(circuit, end);
    const second = rig.openTwo(ID + 1);
    expect(rig.next.peers.length).toBe(2);
    rig.expectPasses(second, rig.next.last);
    rig.client.send(ID, Command.DESTROY, Uint8Array.of(0));
    rig.world.pass(12_000);
    expect(channel.state).toBe(CLOSED);
    expect(rig.count('channel_bad_closed')).toBe(1);
    rig.expectPasses(second, rig.next.last);
  });
});
