/** Which connections lie where, and what crosses. */
import { expect, test } from 'bun:test';
import { choosePlaces, placedRoute, printPlacement, reportPlacement } from '../../src/bench/placement.ts';
import { parseLinks, type WorkerLinks } from '../../src/bench/target.ts';
import { OperatorError } from '../../src/fault.ts';
import type { RoutePlan } from '../../src/load/plan.ts';

const links = (worker: number, from: number[], to: number[] = []): WorkerLinks => ({
  worker,
  from: new Set(from),
  to: new Set(to),
});
const places = (...ports: number[]) => ports.map((port) => ({ address: '127.0.0.1', port }));

test('half of the connections come from each worker, the first half from worker 0', () => {
  const held = [links(0, [1, 3, 5, 7]), links(1, [2, 4])];
  expect(choosePlaces(places(1, 2, 3, 4, 5, 7), held, 4)).toEqual([0, 2, 1, 3]);
});

test('too few on one worker is said', () => {
  const held = [links(0, [1, 3, 5, 7]), links(1, [2])];
  expect(() => choosePlaces(places(1, 2, 3, 5, 7), held, 4)).toThrow(OperatorError);
  expect(() => choosePlaces(places(1, 2), [links(0, [1, 2])], 2)).toThrow(OperatorError);
});

test.each([
  ['local', 0],
  ['half', 0.5],
  ['remote', 1],
] as const)('%s: %d of the circuits cross', (placement, crossing) => {
  const route = placedRoute(placement, 4);
  expect(route.dialers).toEqual([0, 2]);
  // Each next hop is dialled by the worker of its dialer.
  const held = [links(0, [11, 12], [91]), links(1, [13, 14], [92])];
  const report = reportPlacement(held, [11, 12, 13, 14], [91, 92], route, 40)!;
  expect(report.crossing).toBe(crossing);
  expect(report.workers).toEqual([
    { worker: 0, clients: [11, 12], nextHops: [91] },
    { worker: 1, clients: [13, 14], nextHops: [92] },
  ]);
});

test('without routes, a connection begins at the next hop of its own number', () => {
  const route: RoutePlan = { nextHops: 2, routes: null, dialers: null };
  const held = [links(0, [11], [91]), links(1, [12], [92])];
  expect(reportPlacement(held, [11, 12], [91, 92], route, 2)!.crossing).toBe(0);
  expect(reportPlacement(held, [11, 12], [91, 92], route, 4)!.crossing).toBe(0.5);
});

test('a connection that nobody holds leaves no report', () => {
  const route: RoutePlan = { nextHops: 1, routes: null, dialers: null };
  expect(reportPlacement([links(0, [1])], [1, 2], [9], route, 2)).toBeNull();
});

test('a placement reads in one line; many ports are counted', () => {
  const many = Array.from({ length: 9 }, (_, i) => i);
  const workers = [
    { worker: 0, clients: [5, 6], nextHops: [] },
    { worker: 1, clients: many, nextHops: [7] },
  ];
  expect(printPlacement({ workers, crossing: 0.25 })).toBe(
    'worker 0: clients 5 6, next hops none; worker 1: clients 9, next hops 7; 25 % of circuits cross workers',
  );
});

test('the answer to the hook is read out of a log', () => {
  const log = [
    'Nov 22 20:00:00.000 [notice] Links of worker 1: <40002 >5002 <40003',
    'Nov 22 20:00:00.000 [notice] Something else <7',
    'Nov 22 20:00:00.000 [notice] Links of worker 0: ',
  ].join('\n');
  expect(parseLinks(log)).toEqual([links(0, []), links(1, [40002, 40003], [5002])]);
});
