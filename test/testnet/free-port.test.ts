/** Ports that nobody has. */
import { expect, test } from 'bun:test';
import { OperatorError } from '../../src/fault.ts';
import { findFreePort } from '../../src/testnet/free-port.ts';

test('a free port is one that can be listened on', () => {
  const port = findFreePort('127.0.0.1', Math.random);
  Bun.listen({ hostname: '127.0.0.1', port, exclusive: true, socket: { data() {} } }).stop(true);
  expect(port).toBeGreaterThanOrEqual(10_000);
});

test('a port that somebody has is passed over', () => {
  const numbers = [0.1, 0.1, 0.2];
  let drawn = 0;
  const random = () => numbers[Math.min(drawn++, numbers.length - 1)]!;
  const first = findFreePort('127.0.0.1', random);
  const taken = Bun.listen({ hostname: '127.0.0.1', port: first, exclusive: true, socket: { data() {} } });
  expect(findFreePort('127.0.0.1', random)).not.toBe(first);
  expect(() => findFreePort('127.0.0.1', () => 0.1)).toThrow(OperatorError);
  taken.stop(true);
});
