import { describe, expect, test } from 'bun:test';
import { DnsCache, Question } from '../../src/shm/dns-cache.ts';
import type { CacheTask } from './dns-cache-worker.ts';
import { Thread } from './thread.ts';

const { IPV4, IPV6, HOSTNAME } = Question;
const SMALL = { addresses: 64, names: 16 };
const KEY = new Uint8Array(16).fill(7);
const HOST = Uint8Array.of(192, 0, 2, 1);

function cache(size = SMALL): DnsCache {
  return new DnsCache(DnsCache.create(2, size, KEY), 0);
}

describe('DnsCache', () => {
  test('gives back what was put, until it ends', () => {
    const use = cache();
    use.put(IPV4, 'a.example', HOST, 60, 1000);
    use.put(IPV6, 'a.example', null, 30, 1000);
    use.put(HOSTNAME, 'a.example', Buffer.from('h'.repeat(255)), 90, 1000);
    expect(use.find(IPV4, 'a.example', 60_999)).toEqual({ value: HOST, ttlSec: 60 });
    expect(use.find(IPV4, 'a.example', 61_000)).toBeNull();
    expect(use.find(IPV6, 'a.example', 1000)).toEqual({ value: null, ttlSec: 30 });
    expect(use.find(HOSTNAME, 'a.example', 1000)?.value).toHaveLength(255);
    expect(use.find(IPV4, 'b.example', 1000)).toBeNull();
  });

  test('all threads see one cache; a newer answer takes the place of an older', () => {
    const sab = DnsCache.create(2, SMALL, KEY);
    const [zero, one] = [new DnsCache(sab, 0), new DnsCache(sab, 1)];
    zero.put(IPV4, 'a.example', HOST, 60, 1000);
    expect(one.find(IPV4, 'a.example', 1000)?.value).toEqual(HOST);
    one.put(IPV4, 'a.example', Uint8Array.of(1, 2, 3, 4), 60, 1000);
    expect(zero.find(IPV4, 'a.example', 1000)?.value).toEqual(Uint8Array.of(1, 2, 3, 4));
    expect([zero.heldBy(0), zero.heldBy(1)]).toEqual([0, 64]);
  });

  test('is bounded: a full bucket gives up what ends first', () => {
    const use = cache({ addresses: 8, names: 8 });
    for (let i = 0; i < 8; i++) use.put(IPV4, `w${i}.example`, HOST, 100 + i, 0);
    expect(use.heldBy(0)).toBe(8 * 64);
    use.put(IPV4, 'new.example', HOST, 50, 0);
    expect(use.heldBy(0)).toBe(8 * 64);
    const there = (name: string, nowMs = 0) => use.find(IPV4, name, nowMs) !== null;
    expect([there('w0.example'), there('w1.example'), there('new.example')]).toEqual([false, true, true]);
    // What has ended goes before what ends next.
    use.put(IPV4, 'newer.example', HOST, 500, 60_000);
    expect([there('new.example', 0), there('w1.example', 60_000)]).toEqual([false, true]);
  });

  test('holds no names, and other keys put them elsewhere', () => {
    const sab = DnsCache.create(1, SMALL, KEY);
    new DnsCache(sab, 0).put(HOSTNAME, 'secret.example', null, 60, 0);
    expect(Buffer.from(sab).includes('secret')).toBe(false);
    const digests = [KEY, new Uint8Array(16).fill(8)].map((key) => {
      const other = DnsCache.create(1, SMALL, key);
      new DnsCache(other, 0).put(IPV4, 'secret.example', null, 60, 0);
      return Buffer.from(other)
        .subarray(64 * 3)
        .toString('hex');
    });
    expect(digests[0]).not.toBe(digests[1]!);
  });

  test('is emptied at once, and counts what came free', () => {
    const sab = DnsCache.create(2, SMALL, KEY);
    const [zero, one] = [new DnsCache(sab, 0), new DnsCache(sab, 1)];
    zero.put(IPV4, 'a.example', HOST, 60, 0);
    one.put(HOSTNAME, 'b.example', HOST, 60, 0);
    expect(one.clear()).toBe(64 + 320);
    expect([one.heldBy(0), one.heldBy(1), zero.clear()]).toEqual([0, 0, 0]);
    expect(zero.find(IPV4, 'a.example', 0)).toBeNull();
  });

  test('one thread tells what all would tell, once in a while', () => {
    const sab = DnsCache.create(2, SMALL, KEY);
    const [zero, one] = [new DnsCache(sab, 0), new DnsCache(sab, 1)];
    expect([zero.mayTell(5000, 60_000), one.mayTell(5001, 60_000), zero.mayTell(64_000, 60_000)]).toEqual([
      true,
      false,
      false,
    ]);
    expect([one.mayTell(66_000, 60_000), zero.mayTell(66_000, 60_000)]).toEqual([true, false]);
  });

  test('the locks of a dead worker are freed', () => {
    const sab = DnsCache.create(2, { addresses: 8, names: 8 }, KEY);
    const words = new Int32Array(sab);
    const use = new DnsCache(sab, 1);
    // Head, three lines of threads, then a lock per bucket: one of each table.
    words[16 + 3 * 16] = 1;
    words[16 + 3 * 16 + 1] = 1;
    use.freeLocks(0);
    use.put(IPV4, 'a.example', HOST, 60, 0);
    use.put(HOSTNAME, 'a.example', HOST, 60, 0);
    expect(use.find(IPV4, 'a.example', 0)?.value).toEqual(HOST);
  });
});

test('three threads write and read the same entries, and none is torn', async () => {
  const sab = DnsCache.create(3, { addresses: 32, names: 8 }, KEY);
  const threads = [0, 1, 2].map(() => new Thread('./dns-cache-worker.ts'));
  try {
    const results = await Promise.all(
      threads.map((thread, worker) =>
        thread.ask<{ torn: number; found: number }>({ sab, worker, rounds: 5000 } satisfies CacheTask),
      ),
    );
    for (const { torn, found } of results) {
      expect(torn).toBe(0);
      expect(found).toBeGreaterThan(1000);
    }
    const use = new DnsCache(sab, 3);
    const held = use.heldBy(0) + use.heldBy(1) + use.heldBy(2);
    expect(held % 64).toBe(0);
    expect(use.clear()).toBe(held);
  } finally {
    await Promise.all(threads.map((thread) => thread.kill()));
  }
}, 60_000);
