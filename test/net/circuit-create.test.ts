/** Circuits with the running relay as their only hop: every way to make one, floods of them, and wrong ones. */

import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { BODY_AT, buildCell, CELL_BYTES } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import { encodeCreate2, HandshakeType } from '../../src/cell/create.ts';
import {
  decodeCcResponse,
  decodeExtensions,
  ExtensionType,
  encodeCcRequest,
  encodeExtensions,
  encodeSubprotocolRequest,
} from '../../src/cell/extension.ts';
import { DestroyReason, EndReason } from '../../src/cell/reason.ts';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import { generateCurve25519 } from '../../src/crypto/curve25519.ts';
import { clientNtor } from '../../src/crypto/handshake/ntor.ts';
import type { CounterName } from '../../src/shm/counter.ts';
import { makeTestRelay } from '../channel/credentials.ts';
import { EchoRelay } from './echo-relay.ts';
import { waitUntil } from './network-node.ts';
import { RelayProcess } from './relay-process.ts';
import { freshCircId, type Hop, Refused, TestCircuit } from './test-circuit.ts';
import { dialTestLink, type TestLink } from './test-link.ts';

const LOOPBACK = Uint8Array.of(127, 0, 0, 1);
const { credentials } = makeTestRelay(Math.floor(Date.now() / 1000));
let relay: RelayProcess;
let next: EchoRelay;
let link: TestLink;
let hop: Hop;

function hopOf({ rsaId, ed25519Id, onionKey }: RelayProcess): Hop {
  return { rsaId, ed25519Id, onionKey };
}

async function openLink(): Promise<TestLink> {
  const fresh = dialTestLink({ port: relay.port(), credentials });
  await fresh.opened;
  return fresh;
}

/** Expect that a handshake is refused, and why. */
async function expectRefusal(made: Promise<unknown>, reason: number): Promise<void> {
  const fault = await made.then(
    () => null,
    (error: unknown) => error,
  );
  expect(fault).toBeInstanceOf(Refused);
  expect((fault as Refused).reason).toBe(reason);
}

beforeAll(async () => {
  next = new EchoRelay();
  relay = await RelayProcess.start(['DirCache 0']);
  link = await openLink();
  hop = hopOf(relay);
}, 120_000);

afterAll(async () => {
  relay.assertWell();
  link.close();
  next.stop();
  await relay.stop();
});

describe('a circuit is answered and its keystreams agree', () => {
  async function agrees(circuit: TestCircuit): Promise<void> {
    await circuit.extend(next.hop, { host: LOOPBACK, port: next.port });
    for (let i = 0; i < 3; i++) await circuit.echo();
    circuit.destroy();
  }

  test('CREATE_FAST', async () => agrees(await TestCircuit.createFast(link)));

  test('ntor', async () => agrees(await TestCircuit.createNtor(link, hop)));

  test('ntor-v3 without extensions', async () => {
    const { circuit, answer } = await TestCircuit.createNtorV3(link, hop, encodeExtensions([]));
    // An empty list is one byte, not nothing.
    expect([...answer]).toEqual([0]);
    await agrees(circuit);
  });

  test('ntor-v3 that asks for congestion control, among what nobody knows', async () => {
    const message = encodeExtensions([
      { type: 200, body: new Uint8Array(20) },
      { type: ExtensionType.CC_REQUEST, body: encodeCcRequest() },
      { type: ExtensionType.CC_REQUEST, body: encodeCcRequest() },
    ]);
    const { circuit, answer } = await TestCircuit.createNtorV3(link, hop, message);
    const answers = decodeExtensions(answer);
    expect(answers.map(({ type }) => type)).toEqual([ExtensionType.CC_RESPONSE]);
    expect(decodeCcResponse(answers[0]!.body)).toBe(31);
    await agrees(circuit);
  });

  test('ntor by the onion key before the current one', async () => {
    relay.hook('rotate-onion-key');
    await waitUntil('a new onion key', 60_000, () => Buffer.compare(relay.onionKey, hop.onionKey) !== 0);
    await relay.setOption('maxOnionQueueDelayMs', 1750);
    await agrees(await TestCircuit.createNtor(link, hop));
    await agrees((await TestCircuit.createNtorV3(link, hop, encodeExtensions([]))).circuit);
    hop = hopOf(relay);
    await agrees(await TestCircuit.createNtor(link, hop));
    await agrees((await TestCircuit.createNtorV3(link, hop, encodeExtensions([]))).circuit);
  });
});

describe('a circuit is refused', () => {
  const malformed = (body: Uint8Array) => async () => {
    const circuit = new TestCircuit(link);
    circuit.sendCell(Command.CREATE2, body);
    await expectRefusal(circuit.answer(Command.CREATED2), DestroyReason.PROTOCOL);
  };

  test('TAP in CREATE', async () => {
    const circuit = new TestCircuit(link);
    circuit.sendCell(Command.CREATE, new Uint8Array(186));
    await expectRefusal(circuit.answer(Command.CREATED), DestroyReason.PROTOCOL);
  });

  test(
    'TAP in CREATE2',
    malformed(encodeCreate2({ handshakeType: HandshakeType.TAP, data: new Uint8Array(186) })),
  );
  test('an unknown handshake', malformed(encodeCreate2({ handshakeType: 77, data: new Uint8Array(64) })));
  test('a length beyond the cell', malformed(Uint8Array.of(0, 2, 255, 255)));
  test(
    'ntor of a wrong length',
    malformed(encodeCreate2({ handshakeType: HandshakeType.NTOR, data: new Uint8Array(83) })),
  );

  test('ntor with a point of small order', async () => {
    const data = new Uint8Array(84);
    data.set(hop.rsaId);
    data.set(hop.onionKey, 20);
    await malformed(encodeCreate2({ handshakeType: HandshakeType.NTOR, data }))();
  });

  test('ntor for someone else', async () => {
    await expectRefusal(
      TestCircuit.createNtor(link, { ...hop, rsaId: new Uint8Array(20).fill(7) }),
      DestroyReason.PROTOCOL,
    );
  });

  test('ntor-v3 by an unknown onion key', async () => {
    const stranger = { ...hop, onionKey: generateCurve25519().publicKey };
    await expectRefusal(
      TestCircuit.createNtorV3(link, stranger, encodeExtensions([])),
      DestroyReason.PROTOCOL,
    );
  });

  test('ntor by an unknown onion key is answered by a key that is nobody’s', async () => {
    const stranger = { ...hop, onionKey: generateCurve25519().publicKey };
    const made = TestCircuit.createNtor(link, stranger).catch((error: unknown) => String(error));
    expect(await made).toContain('answered the handshake wrongly');
  });

  for (const [what, wanted] of [
    ['a subprotocol that we lack', [{ protocol: 2, version: 6 }]],
    ['an unknown subprotocol', [{ protocol: 90, version: 1 }]],
  ] as const) {
    test(`ntor-v3 that asks for ${what}`, async () => {
      const body = encodeSubprotocolRequest([...wanted]);
      const message = encodeExtensions([{ type: ExtensionType.SUBPROTOCOL_REQUEST, body }]);
      await expectRefusal(TestCircuit.createNtorV3(link, hop, message), DestroyReason.PROTOCOL);
    });
  }

  test('ntor-v3 with extensions that are none', async () => {
    await expectRefusal(TestCircuit.createNtorV3(link, hop, Uint8Array.of(3, 1)), DestroyReason.PROTOCOL);
  });

  test('an id of the wrong half; an id in use and id 0 are dropped', async () => {
    const before = await relay.counters('circuit_id_in_use', 'circuit_create_zero_id');
    const used = await TestCircuit.createFast(link);
    link.send(buildCell(used.circId, Command.CREATE_FAST, new Uint8Array(20)));
    link.send(buildCell(0, Command.CREATE_FAST, new Uint8Array(20)));
    const wrong = new TestCircuit(link, (freshCircId(link) & 0x7fffffff) | 1);
    wrong.sendCell(Command.CREATE_FAST, new Uint8Array(20));
    await expectRefusal(wrong.answer(Command.CREATED_FAST), DestroyReason.PROTOCOL);
    expect(await relay.counters('circuit_id_in_use', 'circuit_create_zero_id')).toEqual({
      circuit_id_in_use: before.circuit_id_in_use + 1,
      circuit_create_zero_id: before.circuit_create_zero_id + 1,
    });
    await used.extend(next.hop, { host: LOOPBACK, port: next.port });
    await used.echo();
  });
});

describe('a circuit dies of', () => {
  /** A circuit, something bad on it, the counter, and the reason it ends with. */
  function dies(what: string, counter: CounterName, act: (circuit: TestCircuit) => void): void {
    test(what, async () => {
      const before = (await relay.counters(counter))[counter];
      const circuit = await TestCircuit.createFast(link);
      act(circuit);
      expect(await circuit.receive()).toEqual({ destroyed: DestroyReason.PROTOCOL });
      expect((await relay.counters(counter))[counter]).toBe(before + 1);
    });
  }

  dies('a cell that nobody recognises', 'circuit_unrecognised_no_next', (circuit) =>
    circuit.sendCell(Command.RELAY, crypto.getRandomValues(new Uint8Array(509))),
  );
  dies('a ninth RELAY_EARLY', 'circuit_relay_early_exceeded', (circuit) => {
    for (let i = 0; i < 9; i++) circuit.send(RelayCommand.DROP, new Uint8Array(0), { early: true });
  });
  dies('a message longer than its cell', 'circuit_relay_malformed', (circuit) => {
    const cell = buildCell(circuit.circId, Command.RELAY, new Uint8Array(0));
    cell.set([RelayCommand.DROP, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255], BODY_AT);
    circuit.layers[0]!.originateForward(cell, BODY_AT);
    link.send(cell);
  });
  dies('an END without a reason', 'circuit_relay_malformed', (circuit) =>
    circuit.send(RelayCommand.END, new Uint8Array(0), { streamId: 1 }),
  );
  dies('a SENDME for nothing', 'circuit_unexpected_sendme', (circuit) =>
    circuit.send(RelayCommand.SENDME, new Uint8Array(0)),
  );

  test('a cell while its CREATE2 still waits', async () => {
    const before = await relay.counters('circuit_relay_while_create_queued');
    const circuit = new TestCircuit(link);
    const { onionskin: data } = clientNtor({ ...hop, ephemeral: generateCurve25519() });
    const both = new Uint8Array(2 * CELL_BYTES);
    const create = encodeCreate2({ handshakeType: HandshakeType.NTOR, data });
    both.set(buildCell(circuit.circId, Command.CREATE2, create));
    both.set(buildCell(circuit.circId, Command.RELAY, new Uint8Array(0)), CELL_BYTES);
    link.send(both);
    await expectRefusal(circuit.answer(Command.CREATED2), DestroyReason.PROTOCOL);
    expect(await relay.counters('circuit_relay_while_create_queued')).toEqual({
      circuit_relay_while_create_queued: before.circuit_relay_while_create_queued + 1,
    });
  });
});

describe('a stream', () => {
  const begin = new TextEncoder().encode('example.com:80\0');
  const failed = new TextEncoder().encode('Error resolving hostname');
  // As C tor answers: exit streams end where a client is the previous hop, names are for exits.
  const unresolved = Uint8Array.of(0xf1, failed.length, ...failed, 0, 0, 0, 60);

  for (const [what, command, answer, data, counter] of [
    [
      'BEGIN',
      RelayCommand.BEGIN,
      RelayCommand.END,
      Uint8Array.of(EndReason.TORPROTOCOL),
      'stream_first_hop_refused',
    ],
    [
      'BEGIN_DIR',
      RelayCommand.BEGIN_DIR,
      RelayCommand.END,
      Uint8Array.of(EndReason.NOTDIRECTORY),
      'streams_refused',
    ],
    ['RESOLVE', RelayCommand.RESOLVE, RelayCommand.RESOLVED, unresolved, 'streams_resolved'],
  ] as const) {
    test(`asked for by ${what} is refused; on stream 0 the question is dropped`, async () => {
      const names = [counter, 'circuit_relay_zero_stream'] as const;
      const before = await relay.counters(...names);
      const circuit = await TestCircuit.createFast(link);
      circuit.send(command, begin, { streamId: 0 });
      circuit.send(command, begin, { streamId: 7 });
      expect(await circuit.receive()).toEqual({ hop: 0, command: answer, streamId: 7, data });
      const after = await relay.counters(...names);
      for (const name of names) expect(after[name], name).toBe(before[name] + 1);
    });
  }
});

test('a TRUNCATE with no next hop is answered, and DROP is nothing', async () => {
  const circuit = await TestCircuit.createFast(link);
  circuit.send(RelayCommand.DROP, new Uint8Array(0));
  circuit.send(RelayCommand.TRUNCATE, Uint8Array.of(9));
  const data = Uint8Array.of(DestroyReason.REQUESTED);
  expect(await circuit.receive()).toEqual({ hop: 0, command: RelayCommand.TRUNCATED, streamId: 0, data });
});

/** Ask for 2,000 circuits at once, and relay cells meanwhile. Returns which commands answered. */
async function flood(): Promise<Set<number>> {
  const bystander = await TestCircuit.createFast(await openLink());
  await bystander.extend(next.hop, { host: LOOPBACK, port: next.port });
  const flooded = await openLink();
  const ends = new Map<number, number>();
  flooded.onCell = ({ command, circId }) => {
    ends.set(circId, command);
    return true;
  };
  const { onionskin } = clientNtor({ ...hop, ephemeral: generateCurve25519() });
  const body = encodeCreate2({ handshakeType: HandshakeType.NTOR, data: onionskin });
  const asked = new Set<number>();
  while (asked.size < 2000) asked.add(freshCircId(flooded));
  for (const circId of asked) flooded.send(buildCell(circId, Command.CREATE2, body));
  do await bystander.echo();
  while (ends.size < 2000);
  flooded.close();
  await bystander.echo();
  bystander.link.close();
  return new Set(ends.values());
}

describe('2,000 CREATE2 at once, while cells go on', () => {
  afterAll(async () => {
    await waitUntil('the circuits of the flood to go', 60_000, async () => {
      const { workers } = await relay.dump();
      return workers.reduce((sum, { circuits }) => sum + circuits, 0) < 100;
    });
  });

  test('all are answered within the bound on the delay', async () => {
    // How much that is depends on what a handshake costs here and now: a bound that a slow machine keeps too.
    await relay.setOption('maxOnionQueueDelayMs', 60_000);
    expect(await flood()).toEqual(new Set([Command.CREATED2]));
  }, 120_000);

  test('with a tight bound the rest is refused', async () => {
    await relay.setOption('maxOnionQueueDelayMs', 5);
    expect(await flood()).toEqual(new Set([Command.CREATED2, Command.DESTROY]));
    const { onion_queue_full } = await relay.counters('onion_queue_full');
    expect(onion_queue_full).toBeGreaterThan(0);
  }, 120_000);
});
