/** What peers say of our address: whose word is told to main, and which circuits show that we can be reached. */
import { describe, expect, test } from 'bun:test';
import { parseIp } from '../../src/bytes/address.ts';
import { noteAddressSeen, reachedAddress } from '../../src/channel/address-seen.ts';
import type { Channel } from '../../src/channel/channel.ts';
import type { WorkerOptions } from '../../src/shm/letter.ts';
import { OriginRig } from '../origin/rig.ts';
import { OPTIONS } from '../sim/relay.ts';

const OURS = parseIp('198.51.100.1')!;
const OURS6 = parseIp('2001:db9::1')!;
const AUTHORITY = new Uint8Array(20).fill(9);

function channelOf(peer: string, over: Partial<Channel> = {}): Channel {
  return { initiated: false, ourAddressSeen: null, peerHost: parseIp(peer)!, ...over } as Channel;
}

const options = (change: Partial<WorkerOptions> = {}): WorkerOptions => ({
  ...OPTIONS,
  publishedHosts: [OURS, OURS6],
  authorityIds: [AUTHORITY],
  ...change,
});

describe('told to main', () => {
  test.each([
    [AUTHORITY, OURS, 1],
    [new Uint8Array(20).fill(8), OURS, 0],
    [AUTHORITY, null, 0],
  ])('%p at %p', (rsaId, seen, times) => {
    const told: unknown[] = [];
    const channel = channelOf('203.0.113.1');
    noteAddressSeen(channel, rsaId, seen, options(), (host, peerHost) => told.push([host, peerHost]));
    expect(told).toEqual(times === 0 ? [] : [[OURS, channel.peerHost]]);
    expect(channel.ourAddressSeen).toEqual(seen);
  });

  test('of a link that we dialled nothing is kept', () => {
    const channel = channelOf('203.0.113.1', { initiated: true });
    noteAddressSeen(channel, AUTHORITY, OURS, options(), () => {});
    expect(channel.ourAddressSeen).toBeNull();
  });
});

test.each([
  ['203.0.113.1', OURS, {}, 4],
  ['2001:db9::9', OURS6, {}, 16],
  // Over one family, told of the other.
  ['203.0.113.1', OURS6, {}, 0],
  ['2001:db9::9', OURS, {}, 0],
  ['203.0.113.1', null, {}, 0],
  ['203.0.113.1', parseIp('198.51.100.2'), {}, 0],
  // From a network of our own, unless private addresses are as good as any.
  ['10.0.0.1', OURS, {}, 0],
  ['127.0.0.1', OURS, { extendAllowPrivateAddresses: true }, 4],
] as [string, Uint8Array | null, Partial<WorkerOptions>, number][])(
  'from %p, seen at %p, %p',
  (peer, seen, change, bytes) => {
    expect(reachedAddress(channelOf(peer, { ourAddressSeen: seen }), options(change))).toBe(
      bytes as 0 | 4 | 16,
    );
  },
);

describe('a circuit to ourselves', () => {
  const rigOf = (change: Partial<WorkerOptions>) =>
    new OriginRig({ options: { ownAddresses: [OURS], ...change } });

  test('counts when a relay comes in for it by an address that we publish', () => {
    const rig = rigOf({ publishedHosts: [OURS] });
    const { log } = rig.open(rig.toOurselves());
    expect(log.opened).toBe(1);
    expect([rig.count('own_ipv4_reached'), rig.count('own_ipv6_reached')]).toEqual([1, 0]);
  });

  test('counts nothing when we publish another', () => {
    const rig = rigOf({ publishedHosts: [parseIp('198.51.100.9')!] });
    expect(rig.open(rig.toOurselves()).log.opened).toBe(1);
    expect([rig.count('own_ipv4_reached'), rig.count('own_ipv6_reached')]).toEqual([0, 0]);
  });

  test('an authority’s word reaches main', () => {
    const rig = rigOf({});
    rig.ours.reload({ ownAddresses: [OURS], authorityIds: [rig.middle.rsaId] });
    rig.settle();
    rig.open([rig.middleHop()]);
    expect(rig.ours.addressesSeen).toEqual([{ host: OURS, peerHost: rig.middle.host }]);
  });
});
