import { describe, expect, test } from 'bun:test';
import { metered, untilArrived, untilTrue } from '../../src/load/progress.ts';

const STALL_MS = 30;
/** More than lies between two looks at a meter. */
const LOOK_MS = 150;

const nothing = (): void => {};
const fault = (count = 0): Error => new Error(`stands at ${count}`);

describe('what is asked until it is so', () => {
  test('is asked no more then', async () => {
    let asked = 0;
    await untilTrue(() => Promise.resolve(++asked === 3), fault, 1, STALL_MS);
    expect(asked).toBe(3);
  });

  test('is given up after a while', async () => {
    const never = (): Promise<boolean> => Promise.resolve(false);
    await expect(untilTrue(never, fault, 1, STALL_MS)).rejects.toThrow('stands at 0');
  });
});

describe('what arrives', () => {
  test('is looked at until the goal is reached, which may move', async () => {
    const counts = [0, 1, 1, 2, 6];
    const heard: number[] = [];
    let goal = 2;
    await untilArrived({
      count: () => counts.shift()!,
      goal: () => goal,
      onProgress: (left) => {
        heard.push(left);
        goal = 6;
      },
      fault: async (left) => fault(left),
    });
    expect(heard).toEqual([1, 4, 0]);
  });

  test('is not waited for where all is there', async () => {
    const arrival = { goal: () => 4, onProgress: fault, fault: async () => fault() };
    await untilArrived({ ...arrival, count: () => 4 });
  });

  test('is given up when no more comes; whoever knows is asked what is left', async () => {
    let asked = 0;
    const counts = [0, 2, 3];
    const arriving = untilArrived(
      {
        count: () => counts[Math.min(asked++, 2)]!,
        goal: () => 10,
        onProgress: nothing,
        fault: async (left) => fault(left),
      },
      STALL_MS,
    );
    await expect(arriving).rejects.toThrow('stands at 7');
    expect(asked).toBeGreaterThan(3);
  });
});

describe('a call with a meter', () => {
  const never = new Promise<string>(() => {});

  test('tells how far it is, and what came of it', async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const heard: number[] = [];
    const call = (meter: SharedArrayBuffer): Promise<string> => {
      new Uint32Array(meter)[0] = 5;
      return promise;
    };
    const came = await metered(call, (done) => {
      heard.push(done);
      resolve('all');
    });
    expect(came).toBe('all');
    await Bun.sleep(LOOK_MS);
    expect(heard).toEqual([5]);
  });

  test('that fails is heard no more', async () => {
    const heard: number[] = [];
    const call = (): Promise<never> => Promise.reject(fault(1));
    await expect(metered(call, (done) => heard.push(done))).rejects.toThrow('stands at 1');
    await Bun.sleep(LOOK_MS);
    expect(heard).toEqual([]);
  });

  test('that stands still is given up', async () => {
    const call = (meter: SharedArrayBuffer): Promise<string> => {
      new Uint32Array(meter)[0] = 2;
      return never;
    };
    await expect(metered(call, nothing, fault, STALL_MS)).rejects.toThrow('stands at 2');
  });

  test('that may stand still, or goes on however slowly, is not', async () => {
    for (const [step, standing] of [
      [0, undefined],
      [1, fault],
    ] as const) {
      const { promise, resolve } = Promise.withResolvers<string>();
      let meter: Uint32Array | null = null;
      let looks = 0;
      const call = (memory: SharedArrayBuffer): Promise<string> => {
        meter = new Uint32Array(memory).fill(1);
        return promise;
      };
      const onProgress = (done: number): void => {
        meter![0] = done + step;
        if (++looks === 4) resolve('late');
      };
      expect(await metered(call, onProgress, standing, 0)).toBe('late');
    }
  });
});
