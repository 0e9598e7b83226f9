/**
 * What /proc tells of the relay under test, from outside: CPU time, memory, threads, open files.
 *
 * CPU is utime + stime of the whole process, so other load on the machine disturbs it less than it disturbs throughput.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** What proc(5) counts CPU time in; the kernel's user interface fixes it. */
const TICKS_PER_SEC = 100;
const LISTENING = '0A';

/** One look at a process. */
export interface ProcessReading {
  /** CPU seconds since it started, all threads, user and system. */
  readonly cpuSec: number;
  readonly rssBytes: number;
  readonly threads: number;
  /** Null when its files may not be looked at. */
  readonly fds: number | null;
}

/** CPU seconds so far, from the text of /proc/PID/stat. The name in parentheses may hold anything. */
export function parseCpuSec(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(') ') + 2).split(' ');
  // Fields 14 and 15, counted from 1; what is left begins with field 3.
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SEC;
}

/** A number of /proc/PID/status by name; sizes are in KiB there. */
export function parseStatus(status: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
}

/** Look at a process now. @throws Error when it is gone */
export function readProcess(pid: number): ProcessReading {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return {
    cpuSec: parseCpuSec(readFileSync(`/proc/${pid}/stat`, 'latin1')),
    rssBytes: parseStatus(status, 'VmRSS') * 1024,
    threads: parseStatus(status, 'Threads'),
    fds: countFds(pid),
  };
}

function countFds(pid: number): number | null {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return null;
  }
}

/** The inodes of listening sockets on a port, from the text of /proc/net/tcp or tcp6. */
export function listeningInodes(table: string, port: number): Set<string> {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const inodes = new Set<string>();
  for (const line of table.split('\n').slice(1)) {
    const fields = line.trim().split(/\s+/);
    if (fields[1]?.endsWith(suffix) && fields[3] === LISTENING) inodes.add(fields[9]!);
  }
  return inodes;
}

/** Find the process that listens on a port of this machine; null when none is seen (or it is another user's). */
export function findListener(port: number): number | null {
  const inodes = new Set<string>();
  for (const name of ['tcp', 'tcp6']) {
    try {
      for (const inode of listeningInodes(readFileSync(`/proc/net/${name}`, 'latin1'), port))
        inodes.add(inode);
    } catch {
      // A kernel without IPv6 has no tcp6.
    }
  }
  if (inodes.size === 0) return null;
  for (const name of readdirSync('/proc')) {
    if (/^\d+$/.test(name) && holdsOneOf(name, inodes)) return Number(name);
  }
  return null;
}

function holdsOneOf(pid: string, inodes: ReadonlySet<string>): boolean {
  let fds: string[];
  try {
    fds = readdirSync(`/proc/${pid}/fd`);
  } catch {
    return false;
  }
  return fds.some((fd) => {
    try {
      const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
      return inode !== undefined && inodes.has(inode);
    } catch {
      return false;
    }
  });
}
