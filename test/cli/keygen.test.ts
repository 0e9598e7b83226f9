/** What keygen prints. */

import { expect, test } from 'bun:test';

import { keygenText } from '../../src/cli/keygen.ts';
import { DEFAULT_SIGNING_POLICY } from '../../src/keys/identity.ts';
import { scratchStore } from '../keys/scratch.ts';

const NOW = 1_795_000_000;

test('keygen tells each new file and how long the signing key lasts', () => {
  const { store } = scratchStore();
  const first = keygenText(store, NOW);
  expect(first.split('\n').filter((line) => line.startsWith(`made ${store.keyDirectory}/`))).toHaveLength(5);
  expect(first).toEndWith('The signing key is good for 30 days.\n');
  const second = keygenText(store, NOW, { ...DEFAULT_SIGNING_POLICY, lifetimeSec: 86_400 });
  expect(second).toBe(
    `made ${store.keyDirectory}/ed25519_signing_secret_key\nmade ${store.keyDirectory}/ed25519_signing_cert\n` +
      'The signing key is good for 1 day.\n',
  );
});
