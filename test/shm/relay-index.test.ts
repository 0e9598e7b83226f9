import { describe, expect, test } from 'bun:test';
import { RelayIndex } from '../../src/shm/relay-index.ts';

const id = (n: number): Uint8Array => {
  const bytes = new Uint8Array(20);
  bytes[18] = n >> 8;
  bytes[19] = n & 255;
  return bytes;
};

describe('RelayIndex', () => {
  const relays = Array.from({ length: 1000 }, (_, i) => ({
    rsaId: id(i * 3),
    ipv4: i % 5 === 0 ? null : { host: Uint8Array.of(10, 0, i >> 8, i & 255), port: 9001 },
    ipv6: i % 2 === 0 ? { host: new Uint8Array(16).fill(i & 255), port: 443 } : null,
    ...(i % 3 === 0 ? {} : { ed25519Id: i % 3 === 1 ? null : new Uint8Array(32).fill(i) }),
  }));
  const index = new RelayIndex(RelayIndex.create(relays));

  test('finds every relay, and its addresses', () => {
    expect(index.count).toBe(1000);
    for (const [i, relay] of relays.entries()) {
      const row = index.find(relay.rsaId);
      expect(row).toBe(i);
      expect(index.ipv4(row)).toEqual(relay.ipv4);
      expect(index.ipv6(row)).toEqual(relay.ipv6);
      const id = index.ed25519Id(row);
      expect(id === null ? null : id.slice()).toEqual(i % 256 === 0 ? null : (relay.ed25519Id ?? null));
    }
  });

  test('finds no other', () => {
    for (let i = 0; i < 1000; i++) expect(index.find(id(i * 3 + 1))).toBe(-1);
    expect(index.find(new Uint8Array(20).fill(255))).toBe(-1);
  });

  test('an empty index finds nothing', () => {
    const empty = new RelayIndex(RelayIndex.create([]));
    expect(empty.find(id(0))).toBe(-1);
    expect(empty.listsAddress(Uint8Array.of(10, 0, 0, 1))).toBe(false);
    expect(empty.listsAddress(new Uint8Array(16))).toBe(false);
  });

  test('tells which addresses are relays’ or authorities’', () => {
    const others = [Uint8Array.of(192, 0, 2, 9), new Uint8Array(16).fill(0x20)];
    const one = new RelayIndex(RelayIndex.create(relays, others));
    for (const host of others) expect(one.listsAddress(host)).toBe(true);
    expect(index.listsAddress(others[0]!)).toBe(false);
    for (const { ipv4, ipv6 } of relays) {
      if (ipv4 !== null) expect(one.listsAddress(ipv4.host)).toBe(true);
      if (ipv6 !== null) expect(one.listsAddress(ipv6.host)).toBe(true);
    }
    for (let i = 0; i < 1000; i += 5)
      expect(one.listsAddress(Uint8Array.of(10, 0, i >> 8, i & 255))).toBe(false);
    expect(one.listsAddress(new Uint8Array(16).fill(1))).toBe(false);
    expect(one.count).toBe(1000);
  });

  test('tells at which address and port a relay is', () => {
    for (const { ipv4, ipv6 } of relays.slice(0, 20)) {
      for (const endpoint of [ipv4, ipv6]) {
        if (endpoint === null) continue;
        expect(index.listsEndpoint(endpoint.host, endpoint.port)).toBe(true);
        expect(index.listsEndpoint(endpoint.host, endpoint.port ^ 1)).toBe(false);
      }
    }
    expect(index.listsEndpoint(Uint8Array.of(192, 0, 2, 9), 9001)).toBe(false);
  });

  test('a foreign block is a bug', () => {
    const sab = RelayIndex.create(relays.slice(0, 2));
    const cut = new SharedArrayBuffer(sab.byteLength - 1);
    new Uint8Array(cut).set(new Uint8Array(sab).subarray(0, sab.byteLength - 1));
    expect(() => new RelayIndex(cut)).toThrow('relay index');
  });
});
