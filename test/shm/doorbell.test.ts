import { expect, test } from 'bun:test';
import { Doorbell } from '../../src/shm/doorbell.ts';
import type { BellTask } from './doorbell-worker.ts';
import { Thread } from './thread.ts';

/** Let everything that is due on the event loop run. */
async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** Wait until something holds; the test's own time limit ends a wait in vain. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 1));
}

test('only an armed bell can be rung, once', async () => {
  const sab = Doorbell.create(3);
  const owner = new Doorbell(sab, 1);
  const other = new Doorbell(sab, 1);
  let wakes = 0;
  expect(other.ring()).toBe(false);
  owner.arm(() => wakes++);
  await settle();
  expect(wakes).toBe(0);
  expect(other.ring()).toBe(true);
  expect(other.ring()).toBe(false);
  await until(() => wakes === 1);
  await settle();
  expect(wakes).toBe(1);
  expect(other.ring()).toBe(false);
});

test('the bells of two workers are apart', async () => {
  const sab = Doorbell.create(2);
  let wakes = 0;
  new Doorbell(sab, 0).arm(() => wakes++);
  expect(new Doorbell(sab, 1).ring()).toBe(false);
  await settle();
  expect(wakes).toBe(0);
  expect(new Doorbell(sab, 0).ring()).toBe(true);
  await until(() => wakes === 1);
});

test('a bell that was disarmed and armed again many times still rings, once per arming at most', async () => {
  const sab = Doorbell.create(1);
  const owner = new Doorbell(sab, 0);
  let wakes = 0;
  for (let i = 0; i < 1_000; i++) {
    owner.arm(() => wakes++);
    owner.disarm();
  }
  owner.arm(() => wakes++);
  expect(new Doorbell(sab, 0).ring()).toBe(true);
  await until(() => wakes > 0);
  await settle();
  expect(wakes).toBe(1);
});

test('a ring that comes between two armings, before the first wake-up has run, is not lost', async () => {
  const sab = Doorbell.create(1);
  const owner = new Doorbell(sab, 0);
  const other = new Doorbell(sab, 0);
  let news = 0;
  let seen = 0;
  const look = () => {
    seen = news;
    owner.arm(look);
  };
  owner.arm(look);
  news = 1;
  other.ring();
  owner.arm(look);
  news = 2;
  other.ring();
  await until(() => seen === 2);
  for (let i = 3; i < 200; i++) {
    news = i;
    other.ring();
    await until(() => seen === i);
  }
  owner.close();
});

test('a closed bell calls nobody', async () => {
  const sab = Doorbell.create(1);
  const owner = new Doorbell(sab, 0);
  let wakes = 0;
  owner.arm(() => wakes++);
  owner.close();
  expect(new Doorbell(sab, 0).ring()).toBe(false);
  await settle();
  expect(wakes).toBe(0);
});

test('300,000 rings from two threads: the owner sees the last one', async () => {
  const each = 150_000;
  const bells = Doorbell.create(2);
  const news = new SharedArrayBuffer(64);
  const owner = new Thread('./doorbell-worker.ts');
  const ringers = [new Thread('./doorbell-worker.ts'), new Thread('./doorbell-worker.ts')];
  try {
    const ask: BellTask = { role: 'owner', bells, news, count: 2 * each };
    expect(await owner.ask<string>(ask)).toBe('ready');
    const rung = await Promise.all(
      ringers.map((one) => one.ask<{ rung: number }>({ ...ask, role: 'ringer', count: each })),
    );
    const report = await owner.answer<{ wakes: number; seen: number }>();
    expect(report.seen).toBe(2 * each);
    expect(report.wakes).toBeGreaterThan(0);
    expect(rung[0]!.rung + rung[1]!.rung).toBeGreaterThan(0);
  } finally {
    await Promise.all([owner, ...ringers].map((thread) => thread.kill()));
  }
}, 60_000);

test('the wait of a killed worker does not swallow its successor’s wake-up', async () => {
  const bells = Doorbell.create(2);
  const news = new SharedArrayBuffer(64);
  const ask: BellTask = { role: 'owner', bells, news, count: 1 };
  for (let life = 0; life < 5; life++) {
    const doomed = new Thread('./doorbell-worker.ts');
    expect(await doomed.ask<string>(ask)).toBe('ready');
    await until(() => new Int32Array(bells)[16] === 1);
    await doomed.kill();
  }
  const heir = new Thread('./doorbell-worker.ts');
  try {
    expect(await heir.ask<string>(ask)).toBe('ready');
    // The word says asleep since the first life: wait until the heir itself is idle.
    await new Promise((resolve) => setTimeout(resolve, 50));
    Atomics.add(new Int32Array(news), 0, 1);
    new Doorbell(bells, 1).ring();
    expect(await heir.answer<{ seen: number }>()).toMatchObject({ seen: 1 });
  } finally {
    await heir.kill();
  }
}, 60_000);
