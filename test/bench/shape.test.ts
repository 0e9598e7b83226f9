/** Shapes in words, and their plans. */
import { expect, test } from 'bun:test';
import { describeShape, planOf, type Shape, USUAL_SHAPE } from '../../src/bench/shape.ts';

const shape = (of: Partial<Shape>): Shape => ({ ...USUAL_SHAPE, ...of });

test('the window shrinks as circuits grow, within bounds', () => {
  const windowOf = (of: Partial<Shape>) => {
    const plan = planOf(shape(of), null);
    return plan.mode === 'flood' ? plan.window : null;
  };
  expect([1, 8, 64, 500, 5000].map((circuits) => windowOf({ circuits }))).toEqual([500, 500, 313, 40, 16]);
  expect(windowOf({ window: 7 })).toBe(7);
});

test('a placement opens spare connections and fixes routes', () => {
  const plan = planOf(shape({ nextHops: 5 }), 'remote');
  expect(plan).toMatchObject({
    mode: 'flood',
    links: { connections: 4, spare: 12 },
    route: { nextHops: 2, routes: [[1], [1], [0], [0]], dialers: [0, 2] },
  });
  expect(planOf(shape({ nextHops: 5 }), null)).toMatchObject({
    links: { spare: 0 },
    route: { nextHops: 5, routes: null, dialers: null },
  });
});

test('latency is beside a flood only with a pace', () => {
  expect(planOf(shape({ mode: 'latency' }), null)).toMatchObject({ mode: 'latency', beside: null });
  expect(planOf(shape({ mode: 'latency', bytesPerSec: 9 }), null)).toMatchObject({
    beside: { bytesPerSec: 9 },
  });
});

test('churn ends with its circuits, or with its probes', () => {
  expect(planOf(shape({ mode: 'churn', probes: 0, churned: 5 }), null)).toMatchObject({
    circuits: 5,
    probe: null,
  });
  expect(planOf(shape({ mode: 'churn', probes: 6 }), null)).toMatchObject({
    circuits: null,
    probe: { probes: 6 },
  });
});

test('a shape reads in one line', () => {
  expect(describeShape(shape({}))).toBe('500 circuits, 4 connections, 1 next hop, both ways, 1 GB a run');
  expect(describeShape(shape({ mode: 'latency', probes: 9 }))).toBe(
    '9 cells one by one through an idle relay',
  );
  expect(describeShape(shape({ mode: 'idle' }))).toBe('5000 links held for 10 s');
  expect(describeShape(shape({ mode: 'churn', probes: 0, churned: 7, hops: 2 }))).toBe(
    '7 circuits of 2 hops made and destroyed, ntor, 64 at once',
  );
  expect(describeShape(shape({ mode: 'paced', bytesPerSec: 60e6 }))).toContain('60 MB/s');
  expect(describeShape(shape({ mode: 'directory', requests: 9, streams: 5, relays: 1 }))).toBe(
    '9 requests for microdescriptors of a network of 1 relay, 5 streams at once on 500 circuits, 4 connections',
  );
  expect(
    describeShape(shape({ mode: 'exit', circuits: 4, streams: 1, congestion: false, direction: 'forward' })),
  ).toBe('exit: 1 stream on 4 circuits with windows, 4 connections, forward, 1 GB a run');
});
