/** A relay whose only nameserver dies under it: questions fail, no worker does, and all is well when it is back. */

import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import { RecordType } from '../../src/dns/message.ts';
import { makeTestRelay } from '../channel/credentials.ts';
import { type Answerer, TestNameserver } from '../dns/nameserver.ts';
import { RelayProcess } from './relay-process.ts';
import { TestCircuit } from './test-circuit.ts';
import { dialTestLink, type TestLink } from './test-link.ts';

const { A, AAAA } = RecordType;
const FOUND = 4;
const ERROR_TRANSIENT = 0xf0;
const { credentials } = makeTestRelay(Math.floor(Date.now() / 1000));
const scratch = mkdtempSync(join(tmpdir(), 'onionrelay-names-'));

const zone: Answerer = ({ type }) => ({
  records: type === AAAA ? [] : [{ type: A, data: Uint8Array.of(192, 0, 2, 1) }],
});

let nameserver: TestNameserver;
let relay: RelayProcess;
let link: TestLink;
let circuit: TestCircuit;

beforeAll(async () => {
  nameserver = await TestNameserver.start(zone);
  const conf = join(scratch, 'resolv.conf');
  writeFileSync(conf, `nameserver 127.0.0.1:${nameserver.port}\n`);
  relay = await RelayProcess.start([
    ...['ExitRelay 1', 'ExitPolicy accept *:*', 'IPv6Exit 1'],
    ...[`ServerDNSResolvConfFile ${conf}`, 'ServerDNSDetectHijacking 0'],
  ]);
  link = dialTestLink({ port: relay.port(), credentials });
  await link.opened;
  circuit = await TestCircuit.createFast(link);
}, 120_000);

afterAll(async () => {
  link?.close();
  nameserver?.stop();
  await relay?.stop();
  rmSync(scratch, { recursive: true, force: true });
});

/** Ask for names, all at once. Returns the type of each answer, by stream. */
async function resolve(names: readonly string[]): Promise<number[]> {
  const types: number[] = [];
  for (const [i, name] of names.entries()) {
    circuit.send(RelayCommand.RESOLVE, Buffer.from(`${name}\0`, 'latin1'), { streamId: i + 1 });
  }
  for (const _ of names) {
    const got = await circuit.receive();
    if ('destroyed' in got) throw new Error(`the circuit was destroyed: ${got.destroyed}`);
    expect(got.command).toBe(RelayCommand.RESOLVED);
    types[got.streamId - 1] = got.data[0]!;
  }
  return types;
}

const named = (what: string) => Array.from({ length: 8 }, (_, i) => `${what}${i}.example`);

test('answers, failures that may pass, answers', async () => {
  expect(await resolve(named('before'))).toEqual(new Array(8).fill(FOUND));
  const { port } = nameserver;
  nameserver.stop();
  expect(await resolve(named('meanwhile'))).toEqual(new Array(8).fill(ERROR_TRANSIENT));
  await relay.logged(/No nameserver answers/);
  nameserver = await TestNameserver.start(zone, port);
  expect(await resolve(named('meanwhile'))).toEqual(new Array(8).fill(FOUND));
  await relay.logged(/answers again/);
  expect(relay.log().match(/No nameserver answers/g)).toHaveLength(1);
  relay.assertWell();
});
