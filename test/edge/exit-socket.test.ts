/** Connections to destinations over real sockets. */
import { afterAll, expect, test } from 'bun:test';
import { createServer, type Server, type Socket } from 'node:net';
import { EndReason } from '../../src/cell/reason.ts';
import { endReasonOf } from '../../src/edge/end-reason.ts';
import {
  type ConnectRequest,
  createConnect,
  type ExitSocket,
  type ExitSocketEvents,
} from '../../src/edge/exit-socket.ts';

const servers: Server[] = [];
afterAll(() => {
  for (const server of servers) server.close();
});

class Log implements ExitSocketEvents {
  socket: ExitSocket | null = null;
  wanted = true;
  readonly heard: string[] = [];
  received = 0;
  onConnected(socket: ExitSocket): boolean {
    this.socket = socket;
    this.heard.push('connected');
    return this.wanted;
  }
  onConnectFailed(code: string): void {
    this.heard.push(`failed ${code}`);
  }
  onData(chunk: Uint8Array): void {
    this.received += chunk.length;
  }
  onDrain(): void {
    this.heard.push('drain');
  }
  onFinished(): void {
    this.heard.push('finished');
  }
  onClosed(code: string | null): void {
    this.heard.push(`closed ${code}`);
  }
}

async function until(done: () => boolean): Promise<void> {
  for (let i = 0; i < 2000 && !done(); i++) await Bun.sleep(5);
  expect(done()).toBe(true);
}

async function listen(onPeer: (peer: Socket) => void, host = '127.0.0.1'): Promise<ConnectRequest> {
  const server = createServer({ allowHalfOpen: true }, onPeer).listen(0, host);
  servers.push(server);
  await new Promise((resolve) => server.once('listening', resolve));
  return { host, port: (server.address() as { port: number }).port, bind: null };
}

/** Connect, with one peer. */
async function pair(host?: string): Promise<{ log: Log; peer: Socket }> {
  const peers: Socket[] = [];
  const request = await listen((peer) => {
    peer.on('error', () => {});
    peers.push(peer);
  }, host);
  const log = new Log();
  createConnect(() => {})(request, log);
  await until(() => log.socket !== null && peers.length > 0);
  return { log, peer: peers[0]! };
}

test('bytes go both ways, over IPv4 and IPv6', async () => {
  for (const host of ['127.0.0.1', '::1']) {
    const { log, peer } = await pair(host);
    let got = '';
    peer.on('data', (data) => {
      got += String(data);
    });
    expect(log.socket!.write(new TextEncoder().encode('xhellox'), 1, 5)).toBe(5);
    peer.write('a reply');
    await until(() => got === 'hello' && log.received === 7);
    log.socket!.end();
  }
});

test('what a stalled peer does not take is told, and so is when it does', async () => {
  const { log, peer } = await pair();
  peer.pause();
  const bytes = new Uint8Array(1 << 20);
  let sent = 0;
  let taken = bytes.length;
  while (taken === bytes.length) {
    taken = log.socket!.write(bytes, 0, bytes.length);
    sent += taken;
  }
  let got = 0;
  peer.on('data', (data) => {
    got += data.length;
  });
  peer.resume();
  await until(() => log.heard.includes('drain') && got === sent);
  log.socket!.end();
});

test('an end closes at once, and what was taken still arrives', async () => {
  const { log, peer } = await pair();
  let got = 0;
  let finished = false;
  peer.on('data', (data) => {
    got += data.length;
  });
  peer.on('end', () => {
    finished = true;
  });
  const taken = log.socket!.write(new Uint8Array(300_000), 0, 300_000);
  log.socket!.end();
  await until(() => finished && got === taken);
  expect(log.heard).toEqual(['connected']);
});

test('a peer that finishes can still be written to', async () => {
  const { log, peer } = await pair();
  let got = '';
  peer.on('data', (data) => {
    got += String(data);
  });
  peer.end('bye');
  await until(() => log.heard.includes('finished'));
  expect(log.received).toBe(3);
  log.socket!.write(new TextEncoder().encode('late'), 0, 4);
  await until(() => got === 'late');
  log.socket!.end();
});

test('a reset is told by name', async () => {
  const { log, peer } = await pair();
  peer.resetAndDestroy();
  await until(() => log.heard.length > 1);
  expect(log.heard).toEqual(['connected', 'closed ECONNRESET']);
});

test('a pause holds data back until resume', async () => {
  const { log, peer } = await pair();
  log.socket!.pause();
  peer.write('waits');
  await Bun.sleep(50);
  expect(log.received).toBe(0);
  log.socket!.resume();
  await until(() => log.received === 5);
  log.socket!.end();
});

test('a refused connection, and one from an address that we do not have, fail by name, once, and later', async () => {
  const request = await listen(() => {});
  servers.pop()!.close();
  const refused = new Log();
  createConnect(() => {})(request, refused);
  expect(refused.heard).toEqual([]);
  const foreign = new Log();
  createConnect(() => {})({ ...request, bind: '192.0.2.7' }, foreign);
  expect(foreign.heard).toEqual([]);
  await until(() => refused.heard.length > 0 && foreign.heard.length > 0);
  await Bun.sleep(20);
  expect(refused.heard).toEqual(['failed ECONNREFUSED']);
  expect(foreign.heard).toEqual(['failed EADDRNOTAVAIL']);
});

test('a destination that there is no way to is told from one that refuses', async () => {
  const nowhere = new Log();
  createConnect(() => {})({ host: '255.255.255.255', port: 80, bind: null }, nowhere);
  await until(() => nowhere.heard.length > 0);
  const [, code] = nowhere.heard[0]!.split(' ');
  expect([code, endReasonOf(code!)]).toEqual([code, EndReason.NOROUTE]);
});

test('a connection that is not wanted any more is closed', async () => {
  let closed = false;
  const request = await listen((peer) => {
    peer.on('end', () => {
      closed = true;
      peer.end();
    });
    peer.resume();
  });
  const log = new Log();
  log.wanted = false;
  createConnect(() => {})(request, log);
  await until(() => closed);
  expect(log.heard).toEqual(['connected']);
});

test('every event begins a turn', async () => {
  let turns = 0;
  const request = await listen((peer) => peer.end('x'));
  const log = new Log();
  createConnect(() => turns++)(request, log);
  await until(() => log.heard.includes('finished'));
  expect(turns).toBeGreaterThanOrEqual(3);
  log.socket!.end();
});
