/** The buckets of the process: levels, refills by several threads' views, limits that change, places in line. */
import { describe, expect, test } from 'bun:test';
import { Bandwidth, bytesBetween, READ, WRITE } from '../../src/shm/bandwidth.ts';

function make(rate: number, burst = rate, relayRate = 0, relayBurst = relayRate, nowMs = 0) {
  const sab = Bandwidth.create(3, nowMs);
  const bandwidth = new Bandwidth(sab);
  const limits = {
    bandwidthRate: rate,
    bandwidthBurst: burst,
    relayBandwidthRate: relayRate,
    relayBandwidthBurst: relayBurst,
  };
  bandwidth.setLimits(limits);
  return { sab, bandwidth, limits };
}

describe('buckets', () => {
  test('start full, are spent each way by itself, go into debt and repay it', () => {
    const { bandwidth } = make(1_000_000, 2_000_000);
    expect([bandwidth.level(READ), bandwidth.level(WRITE)]).toEqual([2_000_000, 2_000_000]);
    bandwidth.spend(READ, 2_500_000);
    expect([bandwidth.level(READ), bandwidth.level(WRITE)]).toEqual([-500_000, 2_000_000]);
    bandwidth.refill(400);
    expect([bandwidth.level(READ), bandwidth.level(WRITE)]).toEqual([-100_000, 2_000_000]);
    bandwidth.refill(10_000);
    expect(bandwidth.level(READ)).toBe(2_000_000);
  });

  test('are refilled once for each time, whoever comes', () => {
    const { sab, bandwidth } = make(1_000_000);
    const other = new Bandwidth(sab);
    bandwidth.spend(READ, 1_000_000);
    for (const view of [bandwidth, other, bandwidth]) view.refill(100);
    expect(other.level(READ)).toBe(100_000);
    // A thread whose clock reads a little less adds nothing and takes nothing.
    other.refill(98);
    other.refill(102);
    expect(other.level(READ)).toBe(100_000);
    other.refill(104);
    expect(other.level(READ)).toBe(104_000);
  });

  test('are exact over many refills of odd lengths, at slow rates and fast ones', () => {
    for (const rate of [76_800, 1_000_000, 100_000_000, 2_147_483_647]) {
      const { bandwidth } = make(rate);
      let spent = 0;
      for (let nowMs = 0; nowMs <= 60_000; nowMs += 3.7) {
        bandwidth.refill(nowMs);
        const level = bandwidth.level(READ);
        if (level <= 0) continue;
        bandwidth.spend(READ, level);
        spent += level;
      }
      expect(Math.abs(spent / (rate * 61) - 1)).toBeLessThan(0.01);
    }
  });

  test.each([
    [1.02, 2],
    [1.07, 6.5],
    [1.09, 5.5],
    [1.1, 5],
    [1.15, 2.5],
    [1.2, 0],
    [3, 0],
  ])(
    'a load of %p times the rate sheds the burst late: %p percent too much in seconds 5 to 15',
    (load, surplus) => {
      const rate = 100_000_000;
      const { bandwidth } = make(rate);
      const stepMs = 10;
      let moved = 0;
      let early = 0;
      for (let nowMs = stepMs; nowMs <= 15_000; nowMs += stepMs) {
        bandwidth.refill(nowMs);
        if (bandwidth.level(WRITE) > 0) {
          const bytes = (load * rate * stepMs) / 1000;
          bandwidth.spend(WRITE, bytes);
          moved += bytes;
        }
        if (nowMs === 5000) early = moved;
      }
      const found = ((moved - early) / (rate * 10) - 1) * 100;
      expect(found).toBeGreaterThan(surplus - 0.3);
      expect(found).toBeLessThan(surplus + 0.3);
    },
  );

  test('go on where the clock of milliseconds wraps', () => {
    const wrap = 2 ** 31;
    const { bandwidth } = make(1_000_000, 1_000_000, 0, 0, wrap - 50);
    bandwidth.spend(WRITE, 1_000_000);
    bandwidth.refill(wrap + 50);
    expect(bandwidth.level(WRITE)).toBe(100_000);
  });

  test('count relayed bytes in all, and other bytes not as relayed', () => {
    const { bandwidth } = make(2_000_000, 2_000_000, 1_000_000);
    bandwidth.spend(WRITE, 400_000);
    expect([bandwidth.level(WRITE), bandwidth.totalLevel(WRITE)]).toEqual([600_000, 1_600_000]);
    bandwidth.spendTotal(WRITE, 1_500_000);
    expect([bandwidth.level(WRITE), bandwidth.totalLevel(WRITE)]).toEqual([100_000, 100_000]);
    expect(bandwidth.rate).toBe(1_000_000);
  });

  test('never wrap, however much comes at once', () => {
    const { bandwidth } = make(80_000);
    for (let i = 0; i < 10_000; i++) bandwidth.spend(READ, 524_288);
    expect(bandwidth.level(READ)).toBeLessThan(-(2 ** 30));
    bandwidth.spend(WRITE, 3 * 2 ** 30);
    expect(bandwidth.level(WRITE)).toBeLessThan(-(2 ** 29));
  });
});

describe('other limits', () => {
  test('cut what is held to the burst, and what is owed to a second', () => {
    const { bandwidth, limits } = make(100_000_000);
    bandwidth.spend(READ, 130_000_000);
    bandwidth.setLimits({ ...limits, bandwidthRate: 1_000_000, bandwidthBurst: 2_000_000 });
    expect([bandwidth.level(READ), bandwidth.level(WRITE)]).toEqual([-1_000_000, 2_000_000]);
    bandwidth.setLimits(limits);
    expect([bandwidth.level(READ), bandwidth.level(WRITE)]).toEqual([-1_000_000, 2_000_000]);
  });

  test('a relayed limit that comes anew starts full, and one that goes is no limit', () => {
    const { bandwidth, limits } = make(2_000_000);
    bandwidth.setLimits({ ...limits, relayBandwidthRate: 500_000, relayBandwidthBurst: 600_000 });
    expect([bandwidth.level(READ), bandwidth.rate]).toEqual([600_000, 500_000]);
    bandwidth.spend(READ, 700_000);
    expect(bandwidth.level(READ)).toBe(-100_000);
    bandwidth.setLimits(limits);
    expect([bandwidth.level(READ), bandwidth.rate]).toEqual([1_300_000, 2_000_000]);
  });
});

describe('the line', () => {
  test('gives places in order, as far apart as the bytes that are wanted', () => {
    const { bandwidth } = make(1_000_000);
    const first = bandwidth.join(READ, 1024);
    const second = bandwidth.join(READ, 1);
    const third = bandwidth.join(READ, 1);
    expect([bytesBetween(first, second), bytesBetween(second, third), bytesBetween(third, first)]).toEqual([
      1024, 256, -1280,
    ]);
    expect(bandwidth.join(WRITE, 1)).toBe(0);
  });

  test('its front is the foremost place of all workers that are alive', () => {
    const { bandwidth } = make(1_000_000);
    expect(bandwidth.othersWaiting(READ, 0, 0)).toBe(0);
    bandwidth.show(READ, 1, 40, 3, 1000);
    bandwidth.show(READ, 2, -7, 2, 1000);
    expect(bandwidth.othersFront(READ, 0, 1010)).toBe(-7);
    expect(bandwidth.othersFront(READ, 2, 1010)).toBe(40);
    expect(bandwidth.othersWaiting(READ, 0, 1010)).toBe(5);
    expect(bandwidth.othersWaiting(WRITE, 0, 1010)).toBe(0);
    bandwidth.leave(READ, 2);
    expect(bandwidth.othersFront(READ, 0, 1010)).toBe(40);
    // One that has shown nothing for long is not waited for.
    expect(bandwidth.othersFront(READ, 0, 1200)).toBe(null);
    expect(bandwidth.othersWaiting(READ, 0, 1200)).toBe(0);
  });

  test('a dead worker has no place in it, also when the clock of milliseconds has wrapped', () => {
    const { bandwidth } = make(1_000_000);
    const wrapped = 1000 + 2 ** 31;
    bandwidth.show(READ, 1, 40, 3, 1000);
    bandwidth.show(WRITE, 1, 50, 1, 1000);
    bandwidth.dropWorker(1);
    for (const direction of [READ, WRITE]) {
      expect(bandwidth.othersFront(direction, 0, wrapped)).toBe(null);
      expect(bandwidth.othersWaiting(direction, 0, wrapped)).toBe(0);
    }
  });
});
