/** The SOCKS port on real sockets, with circuits that the test plays. */
import { afterAll, describe, expect, test } from 'bun:test';
import { ClientCircuits } from '../../src/client/client-circuits.ts';
import { SocksPort } from '../../src/client/socks-port.ts';
import { waitUntil } from '../net/network-node.ts';
import { FakeOrigins } from './fake-origins.ts';

const origins = new FakeOrigins();
const circuits = new ClientCircuits(
  origins.asOrigins,
  (circuit) => queueMicrotask(() => circuits.takePath(circuit, [])),
  () => 0,
);
let turns = 0;
const port = new SocksPort('127.0.0.1', 0, circuits, () => void turns++);
afterAll(() => port.stop());

async function connect(): Promise<{
  got: () => string;
  write: (bytes: Uint8Array) => void;
  end: () => void;
  isClosed: () => boolean;
}> {
  let got = '';
  let closed = false;
  const socket = await Bun.connect({
    hostname: '127.0.0.1',
    port: port.port,
    socket: {
      data: (_, chunk) => void (got += Buffer.from(chunk).toString('latin1')),
      close: () => void (closed = true),
    },
  });
  return {
    got: () => got,
    write: (bytes) => void socket.write(bytes),
    end: () => void socket.end(),
    isClosed: () => closed,
  };
}

describe('the port', () => {
  test('carries an application to its stream and back', async () => {
    const application = await connect();
    application.write(Uint8Array.of(5, 1, 0));
    application.write(Uint8Array.of(5, 1, 0, 1, 127, 0, 0, 1, 0, 80));
    await waitUntil('a circuit', 10_000, () => origins.circuits.length > 0);
    origins.last.events.onOpen();
    const stream = origins.last.streams[0]!;
    stream.events.onOpen(new Uint8Array(0));
    application.write(new TextEncoder().encode('hello'));
    await waitUntil('its bytes', 10_000, () => stream.written === 'hello');
    stream.events.onData(new TextEncoder().encode('world'));
    await waitUntil('its answer', 10_000, () => application.got().endsWith('world'));
    application.end();
    await waitUntil('the end', 10_000, () => stream.ended);
    await waitUntil('its socket to close', 10_000, application.isClosed);
    expect(turns).toBeGreaterThan(2);
  });

  test('is on loopback only', () => {
    expect(() => new SocksPort('0.0.0.0', 0, circuits, () => undefined)).toThrow('loopback only');
  });
});
