/** Columns of relays: what goes in comes out, sorted and findable. */
import { describe, expect, test } from 'bun:test';
import type { RouterStatus } from '../../src/netdoc/router-table.ts';
import { flagNames, RouterFlag, RouterTable } from '../../src/netdoc/router-table.ts';

function routerOf(n: number, digestBytes: number): RouterStatus {
  const rsaId = new Uint8Array(20);
  new DataView(rsaId.buffer).setUint32(0, n * 3);
  return {
    nickname: `relay${n}`,
    rsaId,
    digest: new Uint8Array(digestBytes).fill(n & 0xff),
    publishedSec: 2145916800 + n,
    address: Uint8Array.of(10, 0, n >> 8, n & 0xff),
    orPort: 9001,
    dirPort: n % 2 === 0 ? 9030 : 0,
    ipv6: n % 3 === 0 ? { host: new Uint8Array(16).fill(n & 0xff), port: 443 } : null,
    flags: RouterFlag.Running | (n % 2 === 0 ? RouterFlag.Guard : 0),
    bandwidth: 4294967295 - n,
    isUnmeasured: n % 5 === 0,
    proto: n % 2 === 0 ? 'Link=4-5' : 'Link=5',
    version: n % 7 === 0 ? null : 'Tor 0.4.9.11',
  };
}

describe('RouterTable', () => {
  test.each([20, 32] as const)('gives back what was appended (%d-byte digests)', (digestBytes) => {
    const table = new RouterTable(digestBytes);
    for (let n = 0; n < 1000; n++) expect(table.append(routerOf(n, digestBytes))).toBeTrue();
    expect(table.count).toBe(1000);
    for (let n = 0; n < 1000; n++) {
      expect(table.at(n)).toEqual(routerOf(n, digestBytes));
      expect(table.find(routerOf(n, digestBytes).rsaId)).toBe(n);
      expect(table.bandwidth(n)).toBe(4294967295 - n);
    }
  });

  test("finds nothing that it doesn't hold", () => {
    const table = new RouterTable(20);
    expect(table.find(new Uint8Array(20))).toBe(-1);
    for (let n = 1; n < 100; n++) table.append(routerOf(n, 20));
    expect(table.get(new Uint8Array(20))).toBeNull();
    expect(table.find(new Uint8Array(20).fill(255))).toBe(-1);
    const between = routerOf(5, 20).rsaId;
    between[3]!++;
    expect(table.find(between)).toBe(-1);
  });

  test("refuses an identity that doesn't sort after the last", () => {
    const table = new RouterTable(20);
    expect(table.append(routerOf(7, 20))).toBeTrue();
    expect(table.append(routerOf(7, 20))).toBeFalse();
    expect(table.append(routerOf(6, 20))).toBeFalse();
    expect(table.count).toBe(1);
  });
});

test('flagNames prints them as consensuses do', () => {
  expect(flagNames(RouterFlag.Valid | RouterFlag.Authority | RouterFlag.V2Dir)).toEqual([
    'Authority',
    'V2Dir',
    'Valid',
  ]);
  expect(flagNames(0)).toEqual([]);
});
