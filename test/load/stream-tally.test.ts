import { expect, test } from 'bun:test';
import { StreamTally } from '../../src/load/stream-tally.ts';

test('both ends see the same columns, and each stream has its place', () => {
  const memory = StreamTally.create(3);
  const [client, server] = [new StreamTally(memory), new StreamTally(memory)];
  client.forwardSent[0] = 5e12;
  client.backwardReceived[2] = 7;
  server.forwardReceived[1] = 11;
  server.backwardSent[2] = 13;
  expect([server.sent, server.received]).toEqual([5e12 + 13, 18]);
  expect([...client.forwardReceived]).toEqual([0, 11, 0]);
});
