/**
 * The system calls that neither Bun nor Node offers, through libc: the only file that uses bun:ffi.
 *
 * It is called a few times per thread at start (clocks, listening sockets, locks, privileges), and per SENDME, never per
 * cell.
 * Linux only; constants are those of x86-64 and arm64, glibc and musl. A call that can fail returns a
 * `SystemFault` and never throws, except that a machine without a loadable libc ends with an `OperatorError`.
 * The library is opened at first use and once per thread, so that importing this file costs nothing.
 */

import { dlopen, FFIType, read } from 'bun:ffi';
import { constants } from 'node:os';

import type { Endpoint } from './bytes/address.ts';
import { assert, OperatorError } from './fault.ts';

/** Why a system call failed. */
export interface SystemFault {
  /** The errno value, e.g. 98. */
  readonly errno: number;
  /** Name and meaning, e.g. `EADDRINUSE: Address already in use`. */
  readonly text: string;
}

const LIBC_NAMES = [
  'libc.so.6',
  `libc.musl-${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}.so.1`,
  'libc.so',
];

const { i32, u32, u64, ptr, cstring } = FFIType;

const SYMBOLS = {
  __errno_location: { args: [], returns: ptr },
  strerror: { args: [i32], returns: cstring },
  flock: { args: [i32, i32], returns: i32 },
  clock_gettime: { args: [i32, ptr], returns: i32 },
  socket: { args: [i32, i32, i32], returns: i32 },
  bind: { args: [i32, ptr, u32], returns: i32 },
  listen: { args: [i32, i32], returns: i32 },
  getsockname: { args: [i32, ptr, ptr], returns: i32 },
  setsockopt: { args: [i32, i32, i32, ptr, u32], returns: i32 },
  getsockopt: { args: [i32, i32, i32, ptr, ptr], returns: i32 },
  sendto: { args: [i32, ptr, u64, i32, ptr, u32], returns: u64 },
  fcntl: { args: [i32, i32, u64], returns: i32 },
  dup2: { args: [i32, i32], returns: i32 },
  close: { args: [i32], returns: i32 },
  getuid: { args: [], returns: u32 },
  geteuid: { args: [], returns: u32 },
  getgid: { args: [], returns: u32 },
  setuid: { args: [u32], returns: i32 },
  setgid: { args: [u32], returns: i32 },
  initgroups: { args: [ptr, u32], returns: i32 },
  getpwnam: { args: [ptr], returns: ptr },
  getpwuid: { args: [u32], returns: ptr },
  getrlimit: { args: [i32, ptr], returns: i32 },
  setrlimit: { args: [i32, ptr], returns: i32 },
  prctl: { args: [i32, u64, u64, u64, u64], returns: i32 },
  setpriority: { args: [i32, u32, i32], returns: i32 },
} as const;

function open() {
  for (const name of LIBC_NAMES) {
    try {
      return dlopen(name, SYMBOLS).symbols;
    } catch {
      // The next name is another C library's; only when all fail is there something to say.
    }
  }
  const tried = LIBC_NAMES.join(', ');
  throw new OperatorError(
    'no C library could be loaded',
    tried,
    'install glibc or musl for this architecture',
  );
}

let opened: ReturnType<typeof open> | null = null;

function libc(): ReturnType<typeof open> {
  opened ??= open();
  return opened;
}

let errnoNames: Map<number, string> | null = null;

/** Describe an errno value as `NAME: text`. */
export function errnoText(errno: number): string {
  errnoNames ??= new Map(Object.entries(constants.errno).map(([name, value]) => [value, name]));
  const text = libc().strerror(errno);
  return `${errnoNames.get(errno) ?? `errno ${errno}`}: ${String(text)}`;
}

/** The calling thread's errno as it stands now: valid only directly after a failed call. */
function fault(): SystemFault {
  const at = libc().__errno_location();
  assert(at !== null, 'errno has an address');
  const errno = read.i32(at, 0);
  return { errno, text: errnoText(errno) };
}

function faultOrNull(result: number): SystemFault | null {
  return result === 0 ? null : fault();
}

/** Tell a fault from a result. */
export function isFault(result: object | number | boolean | null): result is SystemFault {
  return typeof result === 'object' && result !== null && 'errno' in result;
}

// --- Files ---------------------------------------------------------------------------------------------------

const LOCK_EX = 2;
const LOCK_NB = 4;
const F_DUPFD_CLOEXEC = 1030;

/**
 * Take an exclusive flock(2) on an open file without waiting.
 *
 * @returns true: ours until the descriptor is closed; false: another open file holds it; a fault otherwise.
 */
export function flockExclusive(fd: number): boolean | SystemFault {
  if (libc().flock(fd, LOCK_EX | LOCK_NB) === 0) return true;
  const why = fault();
  return why.errno === constants.errno.EWOULDBLOCK ? false : why;
}

/** Duplicate a descriptor, close-on-exec. The caller owns the copy. */
export function dupFd(fd: number): number | SystemFault {
  const copy = libc().fcntl(fd, F_DUPFD_CLOEXEC, 3);
  return copy < 0 ? fault() : copy;
}

/** Let `target` stand for what `fd` stands for; what it stood for before is closed. */
export function redirectFd(fd: number, target: number): SystemFault | null {
  return libc().dup2(fd, target) === target ? null : fault();
}

/** Close a descriptor that this module made. */
export function closeFd(fd: number): SystemFault | null {
  return faultOrNull(libc().close(fd));
}

// --- Clocks --------------------------------------------------------------------------------------------------

const CLOCK_MONOTONIC = 1;

/** Read CLOCK_MONOTONIC in milliseconds, fraction included: the same scale in every thread and process. */
export function clockMonotonicMs(): number {
  const spec = new BigInt64Array(2);
  assert(libc().clock_gettime(CLOCK_MONOTONIC, spec) === 0, 'CLOCK_MONOTONIC can be read');
  return Number(spec[0]!) * 1000 + Number(spec[1]!) / 1e6;
}

// --- Sockets -------------------------------------------------------------------------------------------------

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_REUSEPORT = 15;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const MSG_NOSIGNAL = 0x4000;
const DEFAULT_BACKLOG = 4096;

/** Levels and names for `setSocketOption`, as Linux numbers them. */
export const SocketOption = {
  SOL_SOCKET,
  IPPROTO_TCP: 6,
  SO_SNDBUF: 7,
  SO_RCVBUF: 8,
  TCP_QUICKACK: 12,
  TCP_NOTSENT_LOWAT: 25,
} as const;

export interface ListenRequest {
  /** 4 or 16 bytes; all zero listens on every address of its family. */
  readonly host: Uint8Array;
  /** 0 lets the kernel choose. */
  readonly port: number;
  /** Share the port with other sockets of this user that also ask for it. Without it the port is ours alone. */
  readonly reusePort: boolean;
  /** IPv6 only: leave IPv4 to another socket. Default true. */
  readonly v6only?: boolean;
  readonly backlog?: number;
}

export interface ListeningSocket {
  /** Nonblocking, close-on-exec; the caller owns it. */
  readonly fd: number;
  readonly port: number;
}

function encodeSockaddr({ host, port }: Endpoint): Uint8Array {
  const out = new Uint8Array(host.length === 4 ? 16 : 28);
  const view = new DataView(out.buffer);
  view.setUint16(0, host.length === 4 ? AF_INET : AF_INET6, true);
  view.setUint16(2, port, false);
  out.set(host, host.length === 4 ? 4 : 8);
  return out;
}

/** Set an integer socket option. */
export function setSocketOption(fd: number, level: number, name: number, value: number): SystemFault | null {
  return faultOrNull(libc().setsockopt(fd, level, name, new Int32Array([value]), 4));
}

const ON = Int32Array.of(1);

/** Have the kernel acknowledge now what came on a TCP socket. It does not last. Makes no objects. */
export function acknowledgeNow(fd: number): void {
  libc().setsockopt(fd, SocketOption.IPPROTO_TCP, SocketOption.TCP_QUICKACK, ON, 4);
}

/** Read an integer socket option. */
export function getSocketOption(fd: number, level: number, name: number): number | SystemFault {
  const value = new Int32Array(1);
  const size = new Uint32Array([4]);
  return libc().getsockopt(fd, level, name, value, size) === 0 ? value[0]! : fault();
}

/** The port that a bound IPv4 or IPv6 socket has. */
export function boundPort(fd: number): number | SystemFault {
  const address = new Uint8Array(28);
  const size = new Uint32Array([address.length]);
  if (libc().getsockname(fd, address, size) !== 0) return fault();
  return (address[2]! << 8) | address[3]!;
}

/** Bind and listen on a TCP socket that is set up but not bound yet; null when it worked. */
function bindAndListen(fd: number, request: ListenRequest): SystemFault | null {
  const { host, port, reusePort, v6only = true, backlog = DEFAULT_BACKLOG } = request;
  // Without SO_REUSEADDR a restart would wait for the last connections of the old process to leave TIME_WAIT.
  // It never lets two sockets listen on one port.
  let why = setSocketOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (why === null && reusePort) why = setSocketOption(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  if (why === null && host.length === 16)
    why = setSocketOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, v6only ? 1 : 0);
  if (why !== null) return why;
  const address = encodeSockaddr({ host, port });
  return faultOrNull(libc().bind(fd, address, address.length)) ?? faultOrNull(libc().listen(fd, backlog));
}

/** Make a listening TCP socket. On a fault nothing stays open. */
export function listenTcp(request: ListenRequest): ListeningSocket | SystemFault {
  assert(request.host.length === 4 || request.host.length === 16, 'a listening address has 4 or 16 bytes');
  const family = request.host.length === 4 ? AF_INET : AF_INET6;
  const fd = libc().socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return fault();
  const why = bindAndListen(fd, request);
  const port = why ?? boundPort(fd);
  if (typeof port === 'number') return { fd, port };
  closeFd(fd);
  return port;
}

export interface ListeningGroup {
  /** One listening socket for each sharer; the kernel spreads new connections over them. */
  readonly fds: number[];
  readonly port: number;
}

/**
 * Make `count` listening sockets on one address and port, which no other process shares at this moment.
 *
 * The first socket binds and listens exclusively, so that a port in use is a fault and not a silent share,
 * and asks for SO_REUSEPORT only then: between the probe and the use no one else can take the port. A process
 * of the same user can still join the group later.
 */
export function listenTcpGroup(
  request: Omit<ListenRequest, 'reusePort'>,
  count: number,
): ListeningGroup | SystemFault {
  assert(count >= 1, 'a listening group has a socket');
  const first = listenTcp({ ...request, reusePort: false });
  if (isFault(first)) return first;
  const fds = [first.fd];
  let why = setSocketOption(first.fd, SOL_SOCKET, SO_REUSEPORT, 1);
  while (why === null && fds.length < count) {
    const next = listenTcp({ ...request, port: first.port, reusePort: true });
    if (isFault(next)) why = next;
    else fds.push(next.fd);
  }
  if (why === null) return { fds, port: first.port };
  for (const fd of fds) closeFd(fd);
  return why;
}

/**
 * Send one datagram to a unix socket, as sd_notify does.
 *
 * @param path a file's path; a leading `@` names an abstract socket.
 */
export function sendDatagramUnix(path: string, text: string): SystemFault | null {
  const name = new TextEncoder().encode(path.startsWith('@') ? `\0${path.slice(1)}` : path);
  if (name.length > 107) {
    return { errno: constants.errno.ENAMETOOLONG, text: errnoText(constants.errno.ENAMETOOLONG) };
  }
  // A path is ended by a zero byte, an abstract name by the length alone.
  const address = new Uint8Array(2 + name.length + (name[0] === 0 ? 0 : 1));
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(name, 2);
  const body = new TextEncoder().encode(text);
  const fd = libc().socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fault();
  const sent = libc().sendto(fd, body, BigInt(body.length), MSG_NOSIGNAL, address, address.length);
  const why = sent === BigInt(body.length) ? null : fault();
  closeFd(fd);
  return why;
}

// --- Users and limits ----------------------------------------------------------------------------------------

/** A row of the user database. */
export interface UserRecord {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

export function getUid(): number {
  return libc().getuid();
}

export function getEffectiveUid(): number {
  return libc().geteuid();
}

export function getGid(): number {
  return libc().getgid();
}

function zeroTerminated(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}

/** Look a user up by name or by number, in /etc/passwd and wherever else NSS looks. */
export function findUser(who: string | number): UserRecord | null {
  const row = typeof who === 'number' ? libc().getpwuid(who) : libc().getpwnam(zeroTerminated(who));
  if (row === null || row === 0) return null;
  // struct passwd of 64-bit Linux: two pointers (name, password), then uid and gid.
  const nameAt = read.ptr(row, 0);
  let name = '';
  for (let i = 0; nameAt !== 0; i++) {
    const byte = read.u8(nameAt as typeof row, i);
    if (byte === 0) break;
    name += String.fromCharCode(byte);
  }
  return { name, uid: read.u32(row, 16), gid: read.u32(row, 20) };
}

/** Set the supplementary groups of this process to those of the user. */
export function initGroups(user: UserRecord): SystemFault | null {
  return faultOrNull(libc().initgroups(zeroTerminated(user.name), user.gid));
}

/** Set real, effective and saved group id of all threads. */
export function setGid(gid: number): SystemFault | null {
  return faultOrNull(libc().setgid(gid));
}

/** Set real, effective and saved user id of all threads: for good, when called as root. */
export function setUid(uid: number): SystemFault | null {
  return faultOrNull(libc().setuid(uid));
}

const RLIMIT_NOFILE = 7;

/** How many descriptors this process may open: now, and at most. */
export function getFileLimit(): { soft: number; hard: number } | SystemFault {
  const limit = new BigUint64Array(2);
  if (libc().getrlimit(RLIMIT_NOFILE, limit) !== 0) return fault();
  return { soft: Number(limit[0]!), hard: Number(limit[1]!) };
}

/** Set the soft limit of open descriptors, not above the hard one. */
export function setFileLimit(soft: number): SystemFault | null {
  const limit = new BigUint64Array(2);
  if (libc().getrlimit(RLIMIT_NOFILE, limit) !== 0) return fault();
  limit[0] = BigInt(soft);
  return faultOrNull(libc().setrlimit(RLIMIT_NOFILE, limit));
}

const PR_SET_DUMPABLE = 4;

/** Whether users without privileges may debug this process, and a crash dumps core. A change of user turns it off. */
export function setDumpable(allowed: boolean): SystemFault | null {
  return faultOrNull(libc().prctl(PR_SET_DUMPABLE, allowed ? 1n : 0n, 0n, 0n, 0n));
}

const PRIO_PROCESS = 0;
const NICE = 10;

/** Let other threads of this machine go first: where all cores are busy, this one gets a tenth of its due. */
export function standBack(): SystemFault | null {
  // To Linux, the process numbered 0 is the calling thread.
  return faultOrNull(libc().setpriority(PRIO_PROCESS, 0, NICE));
}
