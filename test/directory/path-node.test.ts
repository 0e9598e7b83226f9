/** Relays of a consensus as path selection sees them, and which of them are kin. */
import { describe, expect, test } from 'bun:test';
import { areKin, exitsTo, hopOf, isExit, listNodes } from '../../src/directory/path-node.ts';
import { fingerprintOf, type MadeRelay, makeConsensus } from './path-network.ts';

const V6 = Uint8Array.of(0x20, 1, 0xd, 0xb8, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9);

function nodes(...relays: MadeRelay[]) {
  const { consensus, factsOf } = makeConsensus(relays);
  return listNodes(consensus, factsOf);
}

function kin(a: MadeRelay, b: MadeRelay, distinctSubnets = true): [boolean, boolean] {
  const [one, two] = nodes(a, b);
  return [areKin(one!, two!, distinctSubnets), areKin(two!, one!, distinctSubnets)];
}

const BOTH: [boolean, boolean] = [true, true];
const NEITHER: [boolean, boolean] = [false, false];

describe('kin', () => {
  test('a relay is its own', () => {
    const [one] = nodes({});
    expect(areKin(one!, one!, false)).toBe(true);
  });

  test('IPv4 /16', () => {
    expect(kin({ ipv4: [10, 1, 2, 3] }, { ipv4: [10, 1, 9, 9] })).toEqual(BOTH);
    expect(kin({ ipv4: [10, 1, 2, 3] }, { ipv4: [10, 2, 2, 3] })).toEqual(NEITHER);
    expect(kin({ ipv4: [10, 1, 2, 3] }, { ipv4: [10, 1, 9, 9] }, false)).toEqual(NEITHER);
  });

  test('IPv6 /32; no address is like none', () => {
    const near = V6.slice();
    near[4] = 0xff;
    const far = V6.slice();
    far[3] = 0xb9;
    expect(kin({ ipv6: V6 }, { ipv6: near })).toEqual(BOTH);
    expect(kin({ ipv6: V6 }, { ipv6: far })).toEqual(NEITHER);
    expect(kin({ ipv6: V6 }, {})).toEqual(NEITHER);
    expect(kin({}, {})).toEqual(NEITHER);
  });

  test('families count when both name each other', () => {
    const first = `$${fingerprintOf(1)}`;
    const second = `$${fingerprintOf(2)}`;
    expect(kin({ family: [second] }, { family: [first] })).toEqual(BOTH);
    expect(kin({ family: [second] }, {})).toEqual(NEITHER);
    expect(kin({ family: [`${second}~r2`] }, { family: [`${first.toLowerCase()}=R1`] })).toEqual(BOTH);
    expect(kin({ family: ['R2'] }, { family: ['r1'] })).toEqual(BOTH);
    expect(kin({ family: ['R3'] }, { family: ['r1'] })).toEqual(NEITHER);
  });

  test('a family id in common', () => {
    expect(kin({ familyIds: ['ed25519:a', 'ed25519:b'] }, { familyIds: ['ed25519:b'] })).toEqual(BOTH);
    expect(kin({ familyIds: ['ed25519:a'] }, { familyIds: ['ed25519:b'] })).toEqual(NEITHER);
    expect(kin({ familyIds: [] }, { familyIds: [] })).toEqual(NEITHER);
  });
});

test('exits', () => {
  const [none, good, bad, odd] = nodes(
    {},
    { flags: ['Exit'], policy: 'accept 80,443', ipv6Policy: 'accept 443' },
    { flags: ['Exit', 'BadExit'] },
    { policy: 'reject 25' },
  );
  expect([none, good, bad, odd].map((node) => isExit(node!))).toEqual([false, true, false, false]);
  expect([80, 443, 25].map((port) => exitsTo(good!, port, false))).toEqual([true, true, false]);
  expect([80, 443].map((port) => exitsTo(good!, port, true))).toEqual([false, true]);
  expect([exitsTo(none!, 80, false), exitsTo(odd!, 80, false)]).toEqual([false, true]);
});

test('as a hop', () => {
  const [full, bare] = nodes({ ipv6: V6 }, { unknown: true, proto: 'Relay=1-3' });
  expect(hopOf(full!)).toEqual({
    rsaId: full!.rsaId,
    ed25519Id: new Uint8Array(32).fill(2),
    onionKey: new Uint8Array(32).fill(1),
    ipv4: { host: Uint8Array.of(10, 1, 0, 1), port: 9001 },
    ipv6: { host: V6, port: 9002 },
    ntorV3: true,
    congestionControl: true,
  });
  expect(hopOf(bare!)).toMatchObject({ onionKey: null, ipv6: null, ntorV3: false, congestionControl: false });
});
