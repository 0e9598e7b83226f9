/** Directory exchanges over circuits that a played worker holds: requests as text, replies, ends, circuits kept and dropped. */
import { expect, test } from 'bun:test';
import { DestroyReason, EndReason } from '../../src/cell/reason.ts';
import { OriginClient } from '../../src/directory/origin-client.ts';
import { Tunnels } from '../../src/directory/tunnel-exchange.ts';
import type { OriginHop, OriginNews, OriginOrder } from '../../src/shm/origin-letter.ts';
import { settle, VirtualTime } from './virtual-time.ts';

const HOP: OriginHop = {
  rsaId: new Uint8Array(20).fill(0xab),
  ed25519Id: null,
  onionKey: null,
  ipv4: { host: Uint8Array.of(192, 0, 2, 1), port: 9001 },
  ipv6: null,
  ntorV3: false,
  congestionControl: false,
};
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function make(workers = 1) {
  const orders: OriginOrder[] = [];
  const client = new OriginClient(workers, (_worker, order) => {
    orders.push(order);
    return workers > 0;
  });
  const time = new VirtualTime(1_790_000_000);
  const tunnels = new Tunnels(client, time);
  const tell = async (news: OriginNews) => {
    client.take(news);
    await settle();
  };
  const ask = (over: object = {}) => {
    const pending = tunnels.exchange({
      endpoint: HOP.ipv4!,
      hops: [HOP],
      method: 'GET',
      path: '/tor/keys/all',
      headers: { 'X-Test': 'yes' },
      body: null,
      bytesMax: 1000,
      stallMs: 10_000,
      deadlineMs: 100_000,
      ...over,
    });
    const state = { reply: null as unknown, error: '' };
    pending.reply.then(
      (reply) => {
        state.reply = reply;
      },
      (error: Error) => {
        state.error = error.message;
      },
    );
    return { pending, state };
  };
  const asks = () => orders.flatMap((order) => (order.kind === 'ask' ? [order] : []));
  return { orders, client, time, tunnels, tell, ask, asks };
}

test('a request goes out when the circuit is open, and its reply comes back', async () => {
  const { tell, ask, asks, orders } = make();
  const { state } = ask();
  expect(orders).toMatchObject([{ kind: 'open', circuit: 1, path: [HOP], timeoutMs: 100_000 }]);
  await tell({ kind: 'opened', circuit: 1 });
  expect(Buffer.from(asks()[0]!.request).toString('latin1')).toBe(
    'GET /tor/keys/all HTTP/1.0\r\nX-Test: yes\r\nAccept-Encoding: deflate, gzip, x-zstd, identity\r\n\r\n',
  );
  await tell({
    kind: 'bytes',
    circuit: 1,
    stream: 1,
    bytes: bytes('HTTP/1.0 200 OK\r\nContent-Encoding: identity\r\nDate: now\r\n\r\nhel'),
  });
  await tell({ kind: 'bytes', circuit: 1, stream: 1, bytes: bytes('lo') });
  expect(state.reply).toBeNull();
  await tell({ kind: 'ended', circuit: 1, stream: 1, reason: EndReason.DONE });
  expect(state.reply).toMatchObject({
    status: 200,
    reason: 'OK',
    body: bytes('hello'),
    wireBytes: 5,
    sentSec: 1_790_000_000,
  });
});

test('POST carries its body and length', async () => {
  const { tell, ask, asks } = make();
  ask({ method: 'POST', path: '/tor/', headers: {}, body: bytes('router x\n') });
  await tell({ kind: 'opened', circuit: 1 });
  expect(Buffer.from(asks()[0]!.request).toString('latin1')).toEndWith('Content-Length: 9\r\n\r\nrouter x\n');
});

test('the next request takes the same circuit, until nobody used it for a minute', async () => {
  const { tell, ask, asks, orders, time, tunnels } = make();
  ask();
  ask();
  await tell({ kind: 'opened', circuit: 1 });
  ask();
  expect(asks().map(({ circuit, stream }) => [circuit, stream])).toEqual([
    [1, 1],
    [1, 2],
    [1, 3],
  ]);
  for (const stream of [1, 2, 3]) {
    await tell({ kind: 'bytes', circuit: 1, stream, bytes: bytes('HTTP/1.0 304 Not modified\r\n\r\n') });
    await tell({ kind: 'ended', circuit: 1, stream, reason: EndReason.DONE });
  }
  await time.pass(59_000);
  expect(tunnels.count).toBe(1);
  await time.pass(2000);
  expect(tunnels.count).toBe(0);
  expect(orders.at(-1)).toEqual({ kind: 'close', circuit: 1 });
  expect(time.pending()).toEqual([]);
});

test('circuits that nobody uses are closed when their first hop is to be free of them', async () => {
  const { tell, ask, orders, tunnels } = make();
  const other = { ...HOP, rsaId: new Uint8Array(20).fill(0xcd) };
  const closed = (): number[] => orders.flatMap((order) => (order.kind === 'close' ? [order.circuit] : []));
  ask();
  ask({ hops: [other, HOP] });
  for (const circuit of [1, 2]) await tell({ kind: 'opened', circuit });
  tunnels.closeIdle(HOP.rsaId);
  expect([closed(), tunnels.count]).toEqual([[], 2]);
  for (const circuit of [1, 2]) await tell({ kind: 'ended', circuit, stream: 1, reason: EndReason.DONE });
  tunnels.closeIdle(HOP.rsaId);
  expect([closed(), tunnels.count]).toEqual([[1], 1]);
  tunnels.closeIdle(other.rsaId);
  expect([closed(), tunnels.count]).toEqual([[1, 2], 0]);
});

test('another path is another circuit', async () => {
  const { ask, orders } = make();
  ask();
  ask({ hops: [HOP, HOP] });
  expect(orders.map(({ circuit }) => circuit)).toEqual([1, 2]);
});

test.each([
  [
    'a circuit that is not built',
    { kind: 'closed', circuit: 1, reason: DestroyReason.TIMEOUT, hops: 0 },
    'TIMEOUT',
  ],
  [
    'a stream that is refused',
    { kind: 'ended', circuit: 1, stream: 1, reason: EndReason.NOTDIRECTORY },
    'NOTDIRECTORY',
  ],
  [
    'a reply that is cut short',
    { kind: 'ended', circuit: 1, stream: 1, reason: EndReason.DONE },
    'truncated',
  ],
] as [string, OriginNews, string][])('%s fails the exchange', async (_name, news, why) => {
  const { tell, ask } = make();
  const { state } = ask();
  if (news.kind === 'ended') await tell({ kind: 'opened', circuit: 1 });
  await tell(news);
  expect(state.error).toContain(why);
});

test('a circuit that ends under a request fails it, and the next one gets another', async () => {
  const { tell, ask, orders } = make();
  const { state } = ask();
  await tell({ kind: 'opened', circuit: 1 });
  await tell({ kind: 'closed', circuit: 1, reason: DestroyReason.DESTROYED, hops: 1 });
  expect(state.error).toContain('DESTROY');
  ask();
  expect(orders.at(-1)).toMatchObject({ kind: 'open', circuit: 2 });
});

test('silence, and a deadline', async () => {
  const { tell, ask, time, orders } = make();
  const silent = ask();
  await tell({ kind: 'opened', circuit: 1 });
  await time.pass(11_000);
  expect(silent.state.error).toContain('fell silent');
  expect(orders.at(-1)).toEqual({ kind: 'end', circuit: 1, stream: 1 });
  const slow = ask();
  for (let i = 0; i < 12; i++) {
    await tell({ kind: 'bytes', circuit: 1, stream: 2, bytes: bytes('H') });
    await time.pass(9000);
  }
  expect(slow.state.error).toContain('took too long');
});

test('more than was asked for, and an encoding that nobody knows', async () => {
  const { tell, ask } = make();
  const long = ask({ bytesMax: 10 });
  await tell({ kind: 'opened', circuit: 1 });
  await tell({ kind: 'bytes', circuit: 1, stream: 1, bytes: bytes('HTTP/1.0 200 OK\r\n\r\n01234567890') });
  expect(long.state.error).toContain('longer');
  const strange = ask();
  await tell({
    kind: 'bytes',
    circuit: 1,
    stream: 2,
    bytes: bytes('HTTP/1.0 200 OK\r\nContent-Encoding: br\r\n\r\nx'),
  });
  await tell({ kind: 'ended', circuit: 1, stream: 2, reason: EndReason.DONE });
  expect(strange.state.error).toContain('unknown Content-Encoding');
});

test('abort, stop, and nobody there', async () => {
  const { tell, ask, tunnels, orders, time } = make();
  const first = ask();
  first.pending.abort();
  await settle();
  expect(first.state.error).toContain('given up');
  const second = ask();
  tunnels.stop();
  await settle();
  expect(second.state.error).toContain('given up');
  expect(orders.at(-1)).toEqual({ kind: 'close', circuit: 1 });
  await tell({ kind: 'opened', circuit: 1 });
  expect(time.pending()).toEqual([]);
  const nobody = make(0);
  const third = nobody.ask();
  await settle();
  expect(third.state.error).toContain('no circuit can be built');
});

test('a circuit that is over, and tunnels that were stopped, leave no timer', async () => {
  for (const end of ['closed', 'stopped'] as const) {
    const { time, tunnels, tell, ask } = make();
    const using = ask();
    await tell({ kind: 'opened', circuit: 1 });
    const waiting = ask({ hops: [{ ...HOP, rsaId: new Uint8Array(20).fill(0xcd) }] });
    if (end === 'stopped') tunnels.stop();
    else {
      for (const circuit of [1, 2]) {
        await tell({ kind: 'closed', circuit, reason: DestroyReason.CHANNEL_CLOSED, hops: circuit - 1 });
      }
    }
    await settle();
    expect([using.state.error, waiting.state.error].every((error) => error !== '')).toBe(true);
    expect([tunnels.count, time.pending()]).toEqual([0, []]);
  }
});
