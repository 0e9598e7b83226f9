/** Main's side of circuits: orders out, news in, ends told once, dead workers. */
import { expect, test } from 'bun:test';
import { DestroyReason, EndReason } from '../../src/cell/reason.ts';
import { OriginClient } from '../../src/directory/origin-client.ts';
import type { OriginOrder } from '../../src/shm/origin-letter.ts';

function make(workers = 2, dead: readonly number[] = []) {
  const orders: [number, OriginOrder][] = [];
  const client = new OriginClient(workers, (worker, order) => {
    if (dead.includes(worker)) return false;
    orders.push([worker, order]);
    return true;
  });
  const told: string[] = [];
  const open = () =>
    client.open([], 1000, {
      onOpen: () => told.push('open'),
      onClosed: (reason, hops) => told.push(`closed ${reason} ${hops}`),
    });
  const events = {
    onBytes: (bytes: Uint8Array) => told.push(`bytes ${bytes}`),
    onEnd: (reason: number) => told.push(`end ${reason}`),
  };
  return { client, orders, told, open, events };
}

test('workers take turns, and those that are not there are passed over', () => {
  const { orders, open, client } = make(3, [1]);
  const circuits = [open(), open(), open(), open()].map((circuit) => circuit!.worker);
  expect(circuits).toEqual([0, 2, 0, 2]);
  expect(new Set(orders.map(([, order]) => order.circuit)).size).toBe(4);
  expect(client.count).toBe(4);
});

test('nobody there: no circuit', () => {
  const { client, open } = make(2, [0, 1]);
  expect(open()).toBeNull();
  expect(client.count).toBe(0);
});

test('a circuit and a stream from beginning to end', () => {
  const { client, orders, told, open, events } = make();
  const circuit = open()!;
  const { id } = circuit;
  client.take({ kind: 'opened', circuit: id });
  expect(circuit.isOpen).toBe(true);
  circuit.ask(Uint8Array.of(9), events);
  circuit.drop(25);
  client.take({ kind: 'bytes', circuit: id, stream: 1, bytes: Uint8Array.of(1, 2) });
  client.take({ kind: 'ended', circuit: id, stream: 1, reason: EndReason.DONE });
  client.take({ kind: 'ended', circuit: id, stream: 1, reason: EndReason.DONE });
  client.take({ kind: 'closed', circuit: id, reason: DestroyReason.FINISHED, hops: 3 });
  client.take({ kind: 'closed', circuit: id, reason: DestroyReason.FINISHED, hops: 3 });
  expect(told).toEqual(['open', 'bytes 1,2', `end ${EndReason.DONE}`, `closed ${DestroyReason.FINISHED} 3`]);
  expect(orders.map(([, { kind }]) => kind)).toEqual(['open', 'ask', 'drop']);
  // What is asked of it now ends at once.
  circuit.ask(Uint8Array.of(9), events);
  expect(told.at(-1)).toBe(`end ${EndReason.DESTROY}`);
});

test('closing tells the streams, not the opener; news that come late are passed over', () => {
  const { client, orders, told, open, events } = make();
  const circuit = open()!;
  circuit.ask(Uint8Array.of(1), events);
  circuit.close();
  circuit.close();
  client.take({ kind: 'closed', circuit: circuit.id, reason: 1, hops: 1 });
  expect(told).toEqual([`end ${EndReason.DESTROY}`]);
  expect(orders.filter(([, { kind }]) => kind === 'close').length).toBe(1);
});

test('a stream that is given up says no more', () => {
  const { client, orders, told, open, events } = make();
  const circuit = open()!;
  const asking = circuit.ask(Uint8Array.of(1), events);
  asking.end();
  asking.end();
  client.take({ kind: 'bytes', circuit: circuit.id, stream: 1, bytes: Uint8Array.of(1) });
  expect(told).toEqual([]);
  expect(orders.filter(([, { kind }]) => kind === 'end').length).toBe(1);
});

test('a worker that dies takes its circuits along, and no others', () => {
  const { client, told, open, events } = make();
  const lost = open()!;
  const kept = open()!;
  lost.ask(Uint8Array.of(1), events);
  client.onWorkerLost(0);
  expect(told).toEqual([`end ${EndReason.DESTROY}`, `closed ${DestroyReason.CHANNEL_CLOSED} 0`]);
  expect([lost.isOver, kept.isOver, client.count]).toEqual([true, false, 1]);
});
