/** libc through ffi: each call's success and failure, on loopback, in Workers and in a compiled executable. */

import { afterEach, expect, test } from 'bun:test';
import { closeSync, mkdtempSync, openSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import {
  acknowledgeNow,
  boundPort,
  clockMonotonicMs,
  closeFd,
  dupFd,
  errnoText,
  findUser,
  flockExclusive,
  getEffectiveUid,
  getFileLimit,
  getGid,
  getSocketOption,
  getUid,
  isFault,
  type ListeningSocket,
  listenTcp,
  listenTcpGroup,
  SocketOption,
  type SystemFault,
  sendDatagramUnix,
  setFileLimit,
  setSocketOption,
  setUid,
} from '../src/libc.ts';

const LOOPBACK = Uint8Array.of(127, 0, 0, 1);
const LOOPBACK6 = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'onionrelay-libc-'));
  cleanups.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Serve connections on a lent descriptor, which `Bun.listen` takes although its types do not say so. */
function serve(fd: number, onOpen: () => void) {
  const socket = {
    open(connection: Bun.Socket) {
      onOpen();
      connection.end();
    },
    data() {},
  };
  const listener = Bun.listen({ fd, socket } as unknown as Bun.TCPSocketListenOptions);
  cleanups.push(() => listener.stop(true));
}

async function connectAndClose(port: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const client = connect({ host: '127.0.0.1', port });
  client.on('close', () => resolve());
  client.on('error', reject);
  client.resume();
  await promise;
}

function opened(socket: ListeningSocket | SystemFault): ListeningSocket {
  if (isFault(socket)) throw new Error(socket.text);
  cleanups.push(() => closeFd(socket.fd));
  return socket;
}

test('errno values have a name and a text', () => {
  expect(errnoText(98)).toBe('EADDRINUSE: Address already in use');
  expect(errnoText(4000)).toStartWith('errno 4000: ');
});

test('the monotonic clock is the one of other processes and threads', async () => {
  const before = clockMonotonicMs();
  const uptimeMs = Number((await Bun.file('/proc/uptime').text()).split(' ')[0]) * 1000;
  const after = clockMonotonicMs();
  expect(after).toBeGreaterThanOrEqual(before);
  // /proc/uptime counts suspends, CLOCK_MONOTONIC does not; it has hundredths of a second.
  expect(before).toBeLessThanOrEqual(uptimeMs + 1000);
});

test('a lock is exclusive between open files and free after closing', () => {
  const path = join(folder(), 'lock');
  const first = openSync(path, 'w');
  const second = openSync(path, 'w');
  expect(flockExclusive(first)).toBe(true);
  expect(flockExclusive(first)).toBe(true);
  expect(flockExclusive(second)).toBe(false);
  closeSync(first);
  expect(flockExclusive(second)).toBe(true);
  closeSync(second);
  const bad = flockExclusive(987654);
  expect(isFault(bad) && bad.text).toStartWith('EBADF: ');
});

test('an exclusive socket refuses a second one on its port, a shared one does not', () => {
  const alone = opened(listenTcp({ host: LOOPBACK, port: 0, reusePort: false }));
  expect(alone.port).toBeGreaterThan(0);
  expect(boundPort(alone.fd)).toBe(alone.port);
  const refused = listenTcp({ host: LOOPBACK, port: alone.port, reusePort: false });
  expect(isFault(refused) && refused.text).toBe('EADDRINUSE: Address already in use');
  expect(isFault(listenTcp({ host: LOOPBACK, port: alone.port, reusePort: true }))).toBe(true);
  const shared = opened(listenTcp({ host: LOOPBACK, port: 0, reusePort: true }));
  expect(opened(listenTcp({ host: LOOPBACK, port: shared.port, reusePort: true })).port).toBe(shared.port);
  expect(isFault(listenTcp({ host: LOOPBACK, port: shared.port, reusePort: false }))).toBe(true);
});

test('an address that is not ours is a fault and leaves no descriptor open', () => {
  const open = () => readdirSync('/proc/self/fd').length;
  const before = open();
  for (let i = 0; i < 200; i++) {
    const fault = listenTcp({ host: Uint8Array.of(192, 0, 2, 1), port: 0, reusePort: false });
    expect(isFault(fault) && fault.text).toStartWith('EADDRNOTAVAIL: ');
  }
  // Other threads of the runtime may open or close a few meanwhile.
  expect(open()).toBeLessThan(before + 100);
});

test('a group serves connections from each of its sockets and starts exclusively', async () => {
  const group = listenTcpGroup({ host: LOOPBACK, port: 0 }, 3);
  if (isFault(group)) throw new Error(group.text);
  const served = [0, 0, 0];
  for (const [at, fd] of group.fds.entries()) {
    serve(fd, () => {
      served[at]!++;
    });
  }
  for (let i = 0; i < 60; i++) await connectAndClose(group.port);
  expect(served[0]! + served[1]! + served[2]!).toBe(60);
  expect(Math.min(...served)).toBeGreaterThan(0);
  expect(isFault(listenTcpGroup({ host: LOOPBACK, port: group.port }, 1))).toBe(true);
});

test('a group on a port that another shares openly is refused', () => {
  const shared = opened(listenTcp({ host: LOOPBACK, port: 0, reusePort: true }));
  const fault = listenTcpGroup({ host: LOOPBACK, port: shared.port }, 2);
  expect(isFault(fault) && fault.text).toStartWith('EADDRINUSE: ');
});

test('IPv6 sockets leave the IPv4 port free unless asked to be dual', () => {
  const six = opened(listenTcp({ host: new Uint8Array(16), port: 0, reusePort: false }));
  const four = listenTcp({ host: new Uint8Array(4), port: six.port, reusePort: false });
  expect(opened(four).port).toBe(six.port);
  const dual = opened(listenTcp({ host: new Uint8Array(16), port: 0, reusePort: false, v6only: false }));
  expect(isFault(listenTcp({ host: new Uint8Array(4), port: dual.port, reusePort: false }))).toBe(true);
  expect(opened(listenTcp({ host: LOOPBACK6, port: 0, reusePort: false })).port).toBeGreaterThan(0);
});

test('a duplicate listens on after the first descriptor is closed', async () => {
  const first = listenTcp({ host: LOOPBACK, port: 0, reusePort: false });
  if (isFault(first)) throw new Error(first.text);
  const copy = dupFd(first.fd);
  if (isFault(copy)) throw new Error(copy.text);
  expect(closeFd(first.fd)).toBeNull();
  let served = 0;
  serve(copy, () => {
    served++;
  });
  await connectAndClose(first.port);
  expect(served).toBe(1);
  const bad = dupFd(987654);
  expect(isFault(bad) && bad.text).toStartWith('EBADF: ');
  expect(closeFd(987654)?.text).toStartWith('EBADF: ');
});

test('socket options are set and read back', () => {
  const { fd } = opened(listenTcp({ host: LOOPBACK, port: 0, reusePort: false }));
  const { IPPROTO_TCP, TCP_NOTSENT_LOWAT } = SocketOption;
  expect(setSocketOption(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 65_536)).toBeNull();
  expect(getSocketOption(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT)).toBe(65_536);
  expect(setSocketOption(987654, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 1)?.text).toStartWith('EBADF: ');
  expect(isFault(getSocketOption(987654, IPPROTO_TCP, TCP_NOTSENT_LOWAT))).toBe(true);
  // A new socket is quick to acknowledge; one that is not there is nobody's harm.
  expect(setSocketOption(fd, IPPROTO_TCP, SocketOption.TCP_QUICKACK, 0)).toBeNull();
  expect(getSocketOption(fd, IPPROTO_TCP, SocketOption.TCP_QUICKACK)).toBe(0);
  acknowledgeNow(fd);
  expect(getSocketOption(fd, IPPROTO_TCP, SocketOption.TCP_QUICKACK)).toBe(1);
  acknowledgeNow(987654);
});

const HAS_PYTHON = Bun.which('python3') !== null;

test.skipIf(!HAS_PYTHON)('a datagram reaches a unix socket by path and by abstract name', async () => {
  const script = [
    'import socket,sys',
    's=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)',
    'n=sys.argv[1]',
    's.bind("\\0"+n[1:] if n[0]=="@" else n)',
    's.settimeout(20)',
    'print("bound",flush=True)',
    'print(s.recv(100).decode())',
  ].join('\n');
  for (const name of [join(folder(), 'notify'), `@onionrelay-test-${process.pid}-${Date.now()}`]) {
    const reader = Bun.spawn(['python3', '-c', script, name], { stdout: 'pipe' });
    let text = '';
    for await (const chunk of reader.stdout.pipeThrough(new TextDecoderStream())) {
      if (text === '') expect(sendDatagramUnix(name, 'READY=1\nSTATUS=up')).toBeNull();
      text += chunk;
    }
    expect(text).toBe('bound\nREADY=1\nSTATUS=up\n');
  }
});

test('a datagram to no one is a fault', () => {
  expect(sendDatagramUnix(join(folder(), 'nobody'), 'READY=1')?.text).toStartWith('ENOENT: ');
  expect(sendDatagramUnix(`/${'x'.repeat(200)}`, 'READY=1')?.text).toStartWith('ENAMETOOLONG: ');
});

test('users are found by name and number', () => {
  expect(getUid()).toBe(process.getuid!());
  expect(getEffectiveUid()).toBe(process.geteuid!());
  expect(getGid()).toBe(process.getgid!());
  expect(findUser('root')).toEqual({ name: 'root', uid: 0, gid: 0 });
  expect(findUser(0)?.name).toBe('root');
  expect(findUser('no-such-user-here')).toBeNull();
});

test('the limit of open files can be lowered and raised again', () => {
  const limit = getFileLimit();
  if (isFault(limit)) throw new Error(limit.text);
  expect(limit.soft).toBeLessThanOrEqual(limit.hard);
  expect(setFileLimit(limit.soft - 1)).toBeNull();
  expect(getFileLimit()).toEqual({ soft: limit.soft - 1, hard: limit.hard });
  expect(setFileLimit(limit.soft)).toBeNull();
  expect(setFileLimit(limit.hard + 1)?.text).toMatch(/^(EINVAL|EPERM): /);
});

test.skipIf(getUid() === 0)('a user that is not root cannot become root', () => {
  expect(setUid(0)?.text).toStartWith('EPERM: ');
});

const SCRIPT = `
import { clockMonotonicMs, listenTcp, closeFd, isFault } from ${JSON.stringify(join(import.meta.dir, '../src/libc.ts'))};
const report = () => {
  const socket = listenTcp({ host: Uint8Array.of(127, 0, 0, 1), port: 0, reusePort: true });
  if (isFault(socket)) throw new Error(socket.text);
  closeFd(socket.fd);
  return clockMonotonicMs();
};
`;

test('it works in Workers and in a compiled executable, on one clock', async () => {
  const at = folder();
  writeFileSync(join(at, 'w.ts'), `${SCRIPT}postMessage(report());`);
  writeFileSync(
    join(at, 'm.ts'),
    `${SCRIPT}const before = report();
const worker = new Worker(new URL('./w.ts', import.meta.url).href);
worker.onmessage = (event) => {
  console.log(event.data >= before && event.data <= report());
  process.exit(0);
};`,
  );
  const run = Bun.spawn([process.execPath, join(at, 'm.ts')], { stdout: 'pipe', stderr: 'inherit' });
  expect(await new Response(run.stdout).text()).toBe('true\n');
  const build = Bun.spawn(
    [
      process.execPath,
      'build',
      '--compile',
      join(at, 'm.ts'),
      join(at, 'w.ts'),
      '--outfile',
      join(at, 'exe'),
    ],
    { stdout: 'ignore', stderr: 'pipe', env: { ...process.env, BUN_BE_BUN: '1' } },
  );
  expect(await build.exited).toBe(0);
  const exe = Bun.spawn([join(at, 'exe')], { stdout: 'pipe', stderr: 'inherit' });
  expect(await new Response(exe.stdout).text()).toBe('true\n');
}, 60_000);

test('a port that Node listens on is in use', async () => {
  const server: Server = createServer();
  cleanups.push(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  expect(isFault(listenTcp({ host: LOOPBACK, port: address.port, reusePort: false }))).toBe(true);
});
