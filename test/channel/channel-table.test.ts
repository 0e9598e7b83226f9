import { expect, test } from 'bun:test';
import { type ChannelShared, DIALLING, HANDSHAKING } from '../../src/channel/channel.ts';
import { ChannelTable } from '../../src/channel/channel-table.ts';

const shared = {} as ChannelShared;
const host = new Uint8Array(4);

test('a slot is used again, its generation is not', () => {
  const table = new ChannelTable();
  const a = table.add(shared, true, host, 1);
  const b = table.add(shared, false, host, 2);
  expect([a.slot, b.slot, a.state, b.state]).toEqual([0, 1, DIALLING, HANDSHAKING]);
  table.remove(a);
  expect(table.get(a.slot, a.generation)).toBe(null);
  const c = table.add(shared, true, host, 3);
  expect(c.slot).toBe(a.slot);
  expect(c.generation).toBe(a.generation + 1);
  expect(table.get(c.slot, c.generation)).toBe(c);
  expect(table.get(a.slot, a.generation)).toBe(null);
  expect(table.get(99, 0)).toBe(null);
  expect(table.get(-1, -1)).toBe(null);
  expect(table.count).toBe(2);
});
