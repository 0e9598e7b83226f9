/** Which directory requests go through circuits, and to whom. */
import { describe, expect, test } from 'bun:test';
import { DirectoryRoute, type RouteOptions, wantsNs } from '../../src/daemon/directory-route.ts';
import { parseDirAuthority } from '../../src/directory/authority.ts';
import { PathChooser } from '../../src/directory/path.ts';
import { NO_PARAMS, paramValue } from '../../src/netdoc/consensus-params.ts';
import { parseTorrc } from '../../src/torrc/line.ts';
import { buildOptions } from '../../src/torrc/validate.ts';
import { type MadeRelay, makeConsensus } from '../directory/path-network.ts';
import { seededRandom } from '../directory/virtual-time.ts';

const PLAIN: RouteOptions = { isCache: false, knowsRelays: false, isBridge: false, fetchesEarly: false };
const GET = { method: 'GET' } as const;
const dir: MadeRelay = { flags: ['Fast', 'V2Dir'] };
const LINES = [
  `one orport=5001 v3ident=${'1'.repeat(40)} 203.0.113.1:80 ${'2'.repeat(40)}`,
  `two v3ident=${'3'.repeat(40)} 203.0.113.2:80 ${'4'.repeat(40)}`,
];

function routeOf(options: Partial<RouteOptions>, relays: readonly MadeRelay[] | null = [dir, dir, {}]) {
  const state = { nowMs: 0 };
  const random = seededRandom(3);
  const rules = { distinctSubnets: true, own: null, isExcluded: () => false };
  let chooser: PathChooser | null = null;
  if (relays !== null) {
    const { consensus, factsOf } = makeConsensus(relays);
    chooser = new PathChooser(consensus, factsOf, 10_000, rules, random);
  }
  const route = new DirectoryRoute({
    options: () => ({ ...PLAIN, ...options }),
    authorities: LINES.map((line) => parseDirAuthority(line, 'torrc:1').authority),
    chooser: () => chooser,
    random,
    nowMs: () => state.nowMs,
  });
  const asked = (): Set<number> => {
    const found = new Set<number>();
    for (let i = 0; i < 100; i++) {
      const hops = route.hops(GET);
      if (hops !== null) found.add(hops[0]!.rsaId[19]!);
    }
    return found;
  };
  return { route, state, asked };
}

describe('in the clear', () => {
  test.each([{ isCache: true }, { knowsRelays: true }, { fetchesEarly: true }])(
    '%p asks authorities',
    (options) => {
      expect(routeOf(options).route.hops(GET)).toBeNull();
    },
  );

  test('uploads', () => {
    expect(routeOf({}).route.hops({ method: 'POST' })).toBeNull();
  });

  test('without a consensus, and without a directory in it', () => {
    expect(routeOf({}, null).route.hops(GET)).toBeNull();
    expect(routeOf({}, [{}]).route.hops(GET)).toBeNull();
  });
});

describe('through a circuit', () => {
  test('to caches, over one hop', () => {
    const { route, asked } = routeOf({});
    expect(route.hops(GET)).toHaveLength(1);
    expect(asked()).toEqual(new Set([1, 2]));
  });

  test('who failed is passed over for an hour; all of them get another chance', () => {
    const { route, state, asked } = routeOf({});
    const first = route.hops(GET)!;
    const [failed, other] = first[0]!.rsaId[19] === 1 ? [1, 2] : [2, 1];
    route.shun(first);
    expect(asked()).toEqual(new Set([other]));
    state.nowMs = 3_599_000;
    expect(asked()).toEqual(new Set([other]));
    state.nowMs = 3_600_000;
    expect(asked()).toEqual(new Set([failed, other]));
    route.shun(first);
    route.shun(route.hops(GET)!);
    expect(route.hops(GET)).toBeNull();
    expect(asked()).toEqual(new Set([failed, other]));
  });

  test('a bridge, whatever else it is; before there is a consensus to an authority, by CREATE_FAST', () => {
    expect(routeOf({ isBridge: true, isCache: true }).asked()).toEqual(new Set([1, 2]));
    const hops = routeOf({ isBridge: true }, null).route.hops(GET)!;
    // The other one names no ORPort.
    expect(hops).toEqual([
      {
        rsaId: Buffer.from('2'.repeat(40), 'hex'),
        ed25519Id: null,
        onionKey: null,
        ipv4: { host: Uint8Array.of(203, 0, 113, 1), port: 5001 },
        ipv6: null,
        ntorV3: false,
        congestionControl: false,
      },
    ]);
  });
});

test.each([
  [true],
  [false, 'DirCache 0'],
  [true, 'DirCache 0', 'FetchUselessDescriptors 1'],
  [true, 'BridgeRelay 1'],
  // An exit that takes streams from relays alone.
  [true, 'DirCache 0', 'ExitRelay 1'],
  [false, 'DirCache 0', 'ExitRelay 1', 'RefuseUnknownExits 0'],
  [false, 'DirCache 0', 'ExitRelay 0', 'RefuseUnknownExits 1'],
])('whether the ns consensus is fetched: %p', (wanted, ...lines) => {
  const parsed = parseTorrc(['ORPort 9001', ...lines].join('\n'), 'torrc', () => 'none');
  const { options } = buildOptions({ layers: [parsed], torrcName: 'torrc', home: '/root' });
  expect(wantsNs(options, (name) => paramValue(NO_PARAMS, name))).toBe(wanted as boolean);
});
