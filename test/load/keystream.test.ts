import { expect, test } from 'bun:test';
import { createAesCtr } from '../../src/crypto/aes.ts';
import { cryptAt, FLOOD_BODY, hopKeys, isFloodBody } from '../../src/load/keystream.ts';

test('seeking in a keystream finds what passing through it finds', () => {
  const key = Uint8Array.from({ length: 16 }, (_, i) => i);
  const cipher = createAesCtr(key);
  for (let cell = 0; cell < 50; cell++) {
    const passed = new Uint8Array(cipher.update(FLOOD_BODY));
    const sought = FLOOD_BODY.slice();
    cryptAt(key, cell, sought, 0);
    expect(sought).toEqual(passed);
    expect(isFloodBody(key, cell, passed, 0)).toBe(true);
    expect(isFloodBody(key, cell + 1, passed, 0)).toBe(false);
  }
});

test('the keys of a hop lie behind its two digest seeds', () => {
  const material = Uint8Array.from({ length: 72 }, (_, i) => i);
  expect(hopKeys(material)).toEqual({ forward: material.slice(40, 56), backward: material.slice(56) });
});
