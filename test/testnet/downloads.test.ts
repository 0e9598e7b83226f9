/** Downloads one after the other. */
import { expect, test } from 'bun:test';
import type { Download } from '../../src/testnet/download.ts';
import { Downloads } from '../../src/testnet/downloads.ts';
import { settle } from '../directory/virtual-time.ts';

class FakeDownload {
  received = 0;
  readonly name: string;
  readonly over = Promise.withResolvers<string | null>();
  readonly ended = this.over.promise;
  constructor(name: string) {
    this.name = name;
  }
  abort(): void {
    this.over.resolve('given up');
  }
}

function stage(atATime: number) {
  const started: FakeDownload[] = [];
  let nowMs = 1000;
  const downloads = new Downloads({
    atATime,
    start: ({ name }) => {
      const download = new FakeDownload(name);
      started.push(download);
      return download as unknown as Download;
    },
    nowMs: () => nowMs,
  });
  return { started, downloads, pass: (ms: number) => (nowMs += ms) };
}

test('so many are under way, each under a name of its own', async () => {
  const { started, downloads, pass } = stage(2);
  downloads.start();
  expect(started.map(({ name }) => name)).toEqual(['download-1', 'download-2']);
  started[0]!.received = 1000;
  started[0]!.over.resolve(null);
  await settle();
  expect(started.map(({ name }) => name)).toEqual(['download-1', 'download-2', 'download-3']);
  started[1]!.received = 500;
  pass(2000);
  expect(downloads.view(42)).toEqual({
    done: 1,
    failed: 0,
    lastFailure: null,
    bytes: 1500,
    rate: 42,
    meanRate: 750,
    running: 2,
  });
});

test('a failure is told of, and the next one waits', async () => {
  const { started, downloads } = stage(1);
  downloads.start();
  started[0]!.over.resolve('a wrong byte');
  await settle();
  expect(downloads.view(0)).toMatchObject({ done: 0, failed: 1, lastFailure: 'a wrong byte', running: 0 });
  expect(started.length).toBe(1);
  downloads.stop();
});

test('at the end those under way are neither whole nor failed', async () => {
  const { started, downloads, pass } = stage(2);
  downloads.start();
  started[0]!.received = 300;
  pass(1000);
  downloads.stop();
  pass(5000);
  await settle();
  expect(downloads.view(0)).toMatchObject({ done: 0, failed: 0, bytes: 300, meanRate: 300, running: 0 });
  expect(started.length).toBe(2);
});

test('none are asked for, none are made', () => {
  const { started, downloads } = stage(0);
  downloads.start();
  expect(started).toEqual([]);
  expect(downloads.view(0).meanRate).toBe(0);
});
