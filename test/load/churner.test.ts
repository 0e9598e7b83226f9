/** Handshakes that a relay does not answer; all else of a churn is tested by `load.test.ts`. */
import { expect, test } from 'bun:test';
import { buildCell } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import { encodeDestroy } from '../../src/cell/destroy.ts';
import { DestroyReason } from '../../src/cell/reason.ts';
import { generateCurve25519 } from '../../src/crypto/curve25519.ts';
import { Churner } from '../../src/load/churner.ts';
import { type LinkUser, listenLinks } from '../../src/load/link.ts';
import { wallSec } from '../../src/time/clock.ts';
import { makeTestRelay } from '../channel/credentials.ts';

const CIRCUITS = 20;

test('a handshake without an answer is given up, and the next is begun', async () => {
  const seen: string[] = [];
  // It refuses every other circuit and says nothing to the rest.
  const relay: LinkUser = {
    onCell(link, command, circId) {
      seen.push(`${command}`);
      const refusal = encodeDestroy(DestroyReason.RESOURCELIMIT);
      if (command === Command.CREATE2 && circId % 2 === 0)
        link.send(buildCell(circId, Command.DESTROY, refusal));
    },
    onDrain() {},
    onGone() {},
  };
  const { credentials } = makeTestRelay(wallSec());
  const listener = listenLinks(credentials, relay);
  const hop = {
    port: listener.port,
    rsaId: credentials.rsaId,
    ed25519Id: credentials.ed25519Id,
    onionKey: generateCurve25519().publicKey,
  };
  const setup = { relay: hop, hops: 1, handshake: 'ntor', nextHops: [] } as const;
  const churner = new Churner(setup, credentials, 10);
  try {
    await churner.connect({ connections: 1, spare: 0, ports: null });
    let told = 0;
    const count = await churner.run(CIRCUITS, 4, () => told++);
    expect(count.done).toBe(0);
    expect(count.reasons).toEqual({ 'DESTROY: RESOURCELIMIT': CIRCUITS / 2, 'no answer': CIRCUITS / 2 });
    expect([count.refused, told]).toEqual([CIRCUITS, CIRCUITS]);
    expect(churner.losses).toEqual([]);
    // What was given up was closed.
    await Bun.sleep(50);
    expect(seen.filter((command) => command === `${Command.DESTROY}`).length).toBe(CIRCUITS / 2);
  } finally {
    for (const link of churner.links) link.close();
    listener.stop();
  }
});
