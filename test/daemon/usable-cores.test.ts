/** How many cores: affinity, and the quotas of all control groups above us. */

import { expect, test } from 'bun:test';
import { usableCores } from '../../src/daemon/usable-cores.ts';

function cores(affinity: number, files: Readonly<Record<string, string>>): number {
  return usableCores(affinity, (path) => files[path] ?? null);
}

const IN_GROUP = { '/proc/self/cgroup': '0::/system.slice/relay.service\n' };
const MAX = '/sys/fs/cgroup/system.slice/relay.service/cpu.max';

test('without a quota affinity decides', () => {
  expect(cores(6, {})).toBe(6);
  expect(cores(6, { ...IN_GROUP, [MAX]: 'max 100000\n' })).toBe(6);
  expect(cores(6, { ...IN_GROUP, [MAX]: 'nonsense' })).toBe(6);
});

test('a quota counts in whole cores, rounded up, at least one', () => {
  expect(cores(6, { ...IN_GROUP, [MAX]: '150000 100000\n' })).toBe(2);
  expect(cores(6, { ...IN_GROUP, [MAX]: '1000 100000\n' })).toBe(1);
  expect(cores(2, { ...IN_GROUP, [MAX]: '800000 100000\n' })).toBe(2);
});

test('the narrowest group above counts; old control groups too', () => {
  const above = '/sys/fs/cgroup/system.slice/cpu.max';
  expect(cores(8, { ...IN_GROUP, [MAX]: '400000 100000', [above]: '300000 100000' })).toBe(3);
  expect(cores(8, { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': '200000 100000' })).toBe(2);
  const old = {
    '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '250000',
    '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000',
  };
  expect(cores(8, old)).toBe(3);
  expect(cores(8, { ...old, '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1' })).toBe(8);
});

test('this machine has some', () => {
  expect(usableCores()).toBeGreaterThanOrEqual(1);
});
