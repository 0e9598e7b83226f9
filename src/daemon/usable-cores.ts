/**
 * How many cores this process may use: affinity, and the CPU quota of its cgroup.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** At least one. Kernel files are read through `read`, so that tests bring their own. */
export function usableCores(
  affinity: number = availableParallelism(),
  read: (path: string) => string | null = readText,
): number {
  const quota = cgroupCores(read);
  const cores = quota === null ? affinity : Math.min(affinity, Math.ceil(quota));
  return Math.max(1, cores);
}

/** Cores that the cgroup's quota is worth; null when there is no quota. */
function cgroupCores(read: (path: string) => string | null): number | null {
  const own = (read('/proc/self/cgroup') ?? '').split('\n').find((line) => line.startsWith('0::'));
  let path = own === undefined ? '' : own.slice(3).trim().replace(/\/$/, '');
  let least: number | null = null;
  for (;;) {
    const words = (read(`/sys/fs/cgroup${path}/cpu.max`) ?? '').trim().split(' ');
    const limit = Number(words[0]);
    const period = Number(words[1]);
    if (words.length === 2 && limit > 0 && period > 0) {
      least = least === null ? limit / period : Math.min(least, limit / period);
    }
    if (path === '') break;
    path = path.slice(0, path.lastIndexOf('/'));
  }
  if (least !== null) return least;
  const quotaUs = Number(read('/sys/fs/cgroup/cpu/cpu.cfs_quota_us') ?? '');
  const periodUs = Number(read('/sys/fs/cgroup/cpu/cpu.cfs_period_us') ?? '');
  return quotaUs > 0 && periodUs > 0 ? quotaUs / periodUs : null;
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
