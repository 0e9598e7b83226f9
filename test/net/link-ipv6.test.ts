/** Links of the running relay over IPv6: accepted, dialled, and stated in NETINFO. */

import { afterAll, beforeAll, expect, test } from 'bun:test';
import { specifiersOf } from '../../src/cell/extend.ts';
import { DestroyReason } from '../../src/cell/reason.ts';
import { makeTestRelay } from '../channel/credentials.ts';
import { EchoRelay } from './echo-relay.ts';
import { freePorts } from './free-ports.ts';
import { RelayProcess } from './relay-process.ts';
import { Refused, TestCircuit } from './test-circuit.ts';
import { dialTestLink } from './test-link.ts';

const LOOPBACK = Uint8Array.of(127, 0, 0, 1);
const LOOPBACK6 = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
const { credentials } = makeTestRelay(Math.floor(Date.now() / 1000));
const [port, port6] = freePorts(2) as [number, number];
let relay: RelayProcess;

beforeAll(async () => {
  relay = await RelayProcess.start([`ORPort 127.0.0.1:${port}`, `ORPort [::1]:${port6}`, 'Address ::1']);
}, 120_000);

afterAll(async () => {
  relay.assertWell();
  await relay.stop();
});

test('a link over [::1], its NETINFO, and circuits from there to [::1] and to 127.0.0.1', async () => {
  const link = dialTestLink({ host: '::1', port: port6, credentials });
  const { ourAddressSeen, peerAddresses } = await link.opened;
  expect(ourAddressSeen).toEqual(LOOPBACK6);
  expect(peerAddresses).toContainEqual(LOOPBACK6);
  expect(peerAddresses).toContainEqual(LOOPBACK);
  const next6 = new EchoRelay('::1');
  const next4 = new EchoRelay();
  for (const [next, host] of [
    [next6, LOOPBACK6],
    [next4, LOOPBACK],
  ] as const) {
    const circuit = await TestCircuit.createFast(link);
    await circuit.extend(next.hop, { host, port: next.port });
    await circuit.echo();
    const { ourAddressSeen: seen, peerAddresses: stated } = await next.links[0]!.opened;
    expect(stated).toContainEqual(LOOPBACK6);
    expect(seen).toEqual(host);
    next.stop();
  }
  expect(await relay.counters('links_accepted_ipv6', 'links_dialled', 'links_dialled_ipv6')).toEqual({
    links_accepted_ipv6: 1,
    links_dialled: 2,
    links_dialled_ipv6: 1,
  });
  const { bytes_read_ipv6, bytes_written_ipv6 } = await relay.counters(
    'bytes_read_ipv6',
    'bytes_written_ipv6',
  );
  expect(bytes_read_ipv6).toBeGreaterThan(2 * 514);
  expect(bytes_written_ipv6).toBeGreaterThan(2 * 514);
  link.close();
});

test('of two addresses in EXTEND2 one is dialled, and an open link to either is used', async () => {
  const link = dialTestLink({ port, credentials });
  await link.opened;
  const next = new EchoRelay('::1');
  const { rsaId, ed25519Id } = next.hop;
  const first = await TestCircuit.createFast(link);
  await first.extend(next.hop, { host: LOOPBACK6, port: next.port });
  // Nobody listens at the IPv4 address: the open link is taken, whichever the draw is.
  const before = await relay.counters('links_dialled');
  for (let i = 0; i < 8; i++) {
    const circuit = await TestCircuit.createFast(link);
    const made = next.creates.length;
    const ended = circuit.tryExtend(
      specifiersOf({
        rsaId,
        ed25519Id,
        ipv4: { host: LOOPBACK, port: 1 },
        ipv6: { host: LOOPBACK6, port: next.port },
      }),
      { handshakeType: 99 },
    );
    while (next.creates.length === made) await Bun.sleep(5);
    circuit.destroy();
    ended.catch(() => {});
  }
  expect(await relay.counters('links_dialled')).toEqual(before);
  link.close();
  next.stop();
});

test('OutboundBindAddress is where dials come from', async () => {
  const bound = await RelayProcess.start(['OutboundBindAddressOR 127.0.0.77']);
  const link = dialTestLink({ port: bound.port(), credentials });
  await link.opened;
  const next = new EchoRelay();
  const circuit = await TestCircuit.createFast(link);
  await circuit.extend(next.hop, { host: LOOPBACK, port: next.port });
  await circuit.echo();
  expect(next.links[0]!.socket!.remoteAddress).toBe('127.0.0.77');
  link.close();
  next.stop();
  bound.assertWell();
  await bound.stop();
}, 120_000);

test('a private address is refused where torrc does not allow it', async () => {
  const strict = await RelayProcess.start(['ExtendAllowPrivateAddresses 0']);
  const link = dialTestLink({ port: strict.port(), credentials });
  await link.opened;
  const next = new EchoRelay();
  const circuit = await TestCircuit.createFast(link);
  const refusal = await circuit.extend(next.hop, { host: LOOPBACK, port: next.port }).catch((error) => error);
  expect(refusal).toEqual(new Refused(DestroyReason.PROTOCOL));
  expect(await strict.counters('extend_private_address_refused')).toEqual({
    extend_private_address_refused: 1,
  });
  link.close();
  next.stop();
  strict.assertWell();
  await strict.stop();
}, 120_000);
