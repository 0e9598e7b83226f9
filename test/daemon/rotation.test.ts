/** Keys of a running relay: an onion key that is overdue is rotated at the start, and clients of either get in. */

import { expect, test } from 'bun:test';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { encodeHex } from '../../src/bytes/base.ts';
import { folder, PATIENCE_MS, quietRelay, startRelay, textOf } from './relay-process.ts';
import { createNtor, identitiesIn, onionKeyIn, openLink } from './test-client.ts';

const printTime = (ms: number) => new Date(ms).toISOString().slice(0, 19).replace('T', ' ');

test(
  'an onion key of forty days is rotated at the start; both are answered by every worker, a third is not',
  async () => {
    const at = folder();
    const lines = quietRelay(at).map((line) => (line === 'NumCPUs 1' ? 'NumCPUs 2' : line));
    const first = startRelay(at, lines);
    await first.up();
    await first.stop();
    const data = `${at}/data`;
    const old = onionKeyIn(data);
    const rotated = `LastRotatedOnionKey ${printTime(Date.now() - 40 * 86_400_000)}`;
    writeFileSync(`${data}/state`, textOf(`${data}/state`)!.replace(/^LastRotatedOnionKey .*$/m, rotated));

    const second = startRelay(at, lines);
    const port = await second.up();
    const current = onionKeyIn(data);
    expect(encodeHex(current)).not.toBe(encodeHex(old));
    expect(encodeHex(onionKeyIn(data, 'secret_onion_key_ntor.old'))).toBe(encodeHex(old));
    expect(existsSync(`${data}/keys/secret_onion_key.old`)).toBe(true);
    const { rsaId } = identitiesIn(data);
    for (let i = 0; i < 8; i++) {
      const link = await openLink(port, data);
      expect(await createNtor(link, rsaId, current)).toBe(true);
      expect(await createNtor(link, rsaId, old)).toBe(true);
      expect(await createNtor(link, rsaId, crypto.getRandomValues(new Uint8Array(32)))).toBe(false);
      link.close();
    }
    await second.stop();
    const after = /^LastRotatedOnionKey (.*)$/m.exec(textOf(`${data}/state`)!)![1]!;
    expect(Date.now() - Date.parse(`${after.replace(' ', 'T')}Z`)).toBeLessThan(PATIENCE_MS);

    const third = startRelay(at, lines);
    await third.up();
    expect(encodeHex(onionKeyIn(data))).toBe(encodeHex(current));
    await third.stop();
  },
  PATIENCE_MS,
);

test(
  'a damaged certificate under an offline master refuses the start with 2',
  async () => {
    const at = folder();
    const first = startRelay(at, quietRelay(at));
    await first.up();
    await first.stop();
    const cert = `${at}/data/keys/ed25519_signing_cert`;
    writeFileSync(cert, readFileSync(cert).subarray(0, 100));
    const second = startRelay(at, quietRelay(at, 'OfflineMasterKey 1'));
    expect(await second.ended()).toBe(2);
    expect(second.err).toContain(`${cert}: is damaged`);
  },
  PATIENCE_MS,
);
