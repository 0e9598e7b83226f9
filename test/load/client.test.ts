/** Laying circuits again that a C tor closes as idle before they are whole; all else is tested by `load.test.ts`. */
import { expect, test } from 'bun:test';
import { broken, type Hop, LoadCircuit, LoadClient } from '../../src/load/client.ts';
import type { LoadLink } from '../../src/load/link.ts';
import { Tally } from '../../src/load/tally.ts';
import { makeTestRelay } from '../channel/credentials.ts';

const HOP: Hop = { port: 1, rsaId: new Uint8Array(20), ed25519Id: new Uint8Array(32), onionKey: null };
const LINK = {} as LoadLink;

/** Creates circuits without a relay; what becomes of them is given, one by one. */
class Client extends LoadClient {
  readonly circIds: number[] = [];
  readonly ends: (string | null)[];

  constructor(...ends: (string | null)[]) {
    super(HOP, makeTestRelay(1_700_000_000).credentials, Tally.create(1));
    this.ends = ends;
  }

  override create(link: LoadLink, index: number, circId: number): Promise<LoadCircuit> {
    this.circIds.push(circId);
    return Promise.resolve(new LoadCircuit(index, circId, link, new Uint8Array(72)));
  }

  override extend(): Promise<void> {
    const end = this.ends.shift() ?? null;
    if (end === null) return Promise.resolve();
    this.losses.push(end);
    return Promise.reject(broken(`circuit 0: ${end}`, 'here'));
  }
}

test('what C tor closed as idle is laid again, under another identifier, and is no loss', async () => {
  const client = new Client('DESTROY: FINISHED', 'DESTROY: FINISHED');
  const circuit = await client.lay(LINK, 0, 0x80000001, HOP);
  expect(client.circIds).toEqual([0x80000001, 0x81000001, 0x82000001]);
  expect(circuit.circId).toBe(0x82000001);
  expect(client.losses).toEqual([]);
});

test('not for ever, and not for any other reason', async () => {
  const stubborn = new Client('DESTROY: FINISHED', 'DESTROY: FINISHED', 'DESTROY: FINISHED');
  await expect(stubborn.lay(LINK, 0, 0x80000001, HOP)).rejects.toThrow('DESTROY: FINISHED');
  const refused = new Client('DESTROY: RESOURCELIMIT');
  await expect(refused.lay(LINK, 0, 0x80000001, HOP)).rejects.toThrow('RESOURCELIMIT');
  expect([stubborn.circIds.length, refused.circIds.length]).toEqual([3, 1]);
  expect(refused.losses).toEqual(['DESTROY: RESOURCELIMIT']);
});
