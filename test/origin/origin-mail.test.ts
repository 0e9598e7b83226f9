/** Main's orders: circuits by number, a directory stream with its answer, DROP cells, and news of every end. */
import { expect, test } from 'bun:test';
import { DestroyReason, EndReason } from '../../src/cell/reason.ts';
import { RELAY_DATA_MAX, RelayCommand } from '../../src/cell/relay-message.ts';
import type { OriginOrder } from '../../src/shm/origin-letter.ts';
import { OriginRig } from './rig.ts';

const REQUEST = new TextEncoder().encode('GET / HTTP/1.0\r\n\r\n');

function makeRig() {
  const rig = new OriginRig();
  const { data } = rig.ours.workers[0]!;
  const take = (order: OriginOrder): void => {
    data.originMail.take(order);
    rig.settle();
  };
  return { rig, take, news: rig.ours.originNews };
}

function openedRig() {
  const made = makeRig();
  made.take({
    kind: 'open',
    circuit: 5,
    path: [made.rig.middleHop(), made.rig.endHop()],
    timeoutMs: 60_000,
  });
  expect(made.news.splice(0)).toEqual([{ kind: 'opened', circuit: 5 }]);
  return { ...made, far: made.rig.end.last };
}

test('a directory stream: the request goes out at once, the answer comes in letters, in order', () => {
  const { rig, take, news, far } = openedRig();
  take({ kind: 'ask', circuit: 5, stream: 1, request: REQUEST });
  expect(far.heard).toEqual([
    { command: RelayCommand.BEGIN_DIR, data: new Uint8Array(0) },
    { command: RelayCommand.DATA, data: REQUEST },
  ]);
  const id = far.streamIds.at(-1)!;
  far.say(RelayCommand.CONNECTED, id);
  const sent = new Uint8Array(RELAY_DATA_MAX * 90).map((_, i) => i * 7);
  for (let at = 0; at < sent.length; at += RELAY_DATA_MAX) {
    far.say(RelayCommand.DATA, id, sent.subarray(at, at + RELAY_DATA_MAX));
  }
  far.say(RelayCommand.END, id, Uint8Array.of(EndReason.DONE));
  rig.settle();
  const bytes: number[] = [];
  for (const letter of news.slice(0, -1)) {
    expect(letter).toMatchObject({ kind: 'bytes', circuit: 5, stream: 1 });
    if (letter.kind === 'bytes') bytes.push(...letter.bytes);
  }
  expect(Uint8Array.from(bytes)).toEqual(sent);
  expect(news.at(-1)).toEqual({ kind: 'ended', circuit: 5, stream: 1, reason: EndReason.DONE });
});

test('a request longer than the windows goes out as they open', () => {
  const { rig, take, far } = openedRig();
  const request = new Uint8Array(RELAY_DATA_MAX * 520).fill(1);
  take({ kind: 'ask', circuit: 5, stream: 1, request });
  const id = far.streamIds.at(-1)!;
  far.say(RelayCommand.CONNECTED, id);
  rig.settle();
  expect(far.heard.length).toBe(501);
  far.say(RelayCommand.SENDME, id);
  rig.settle();
  expect(far.heard.length).toBe(521);
});

test('a stream that is ended early says no more', () => {
  const { rig, take, news, far } = openedRig();
  take({ kind: 'ask', circuit: 5, stream: 1, request: REQUEST });
  const id = far.streamIds.at(-1)!;
  take({ kind: 'end', circuit: 5, stream: 1 });
  expect(far.heard.at(-1)!.command).toBe(RelayCommand.END);
  far.say(RelayCommand.DATA, id, Uint8Array.of(1));
  rig.settle();
  expect(news).toEqual([]);
});

test('DROP cells', () => {
  const { take, far } = openedRig();
  take({ kind: 'drop', circuit: 5, cells: 300 });
  expect(far.heard.length).toBe(300);
  expect(far.heard.every(({ command }) => command === RelayCommand.DROP)).toBe(true);
});

test('a circuit that cannot be built, one that ends with its streams, one that is closed', () => {
  const { rig, take, news } = makeRig();
  take({ kind: 'open', circuit: 1, path: [rig.middleHop({ ipv4: null })], timeoutMs: 1000 });
  expect(news.splice(0)).toEqual([{ kind: 'closed', circuit: 1, reason: DestroyReason.INTERNAL, hops: 0 }]);
  take({ kind: 'open', circuit: 2, path: [rig.endHop()], timeoutMs: 1000 });
  take({ kind: 'ask', circuit: 2, stream: 4, request: REQUEST });
  rig.end.last.say(RelayCommand.TRUNCATED, 0, Uint8Array.of(DestroyReason.FINISHED));
  rig.settle();
  expect(news.splice(0)).toEqual([
    { kind: 'opened', circuit: 2 },
    { kind: 'ended', circuit: 2, stream: 4, reason: EndReason.DESTROY },
    { kind: 'closed', circuit: 2, reason: DestroyReason.FINISHED, hops: 1 },
  ]);
  take({ kind: 'open', circuit: 3, path: [rig.endHop()], timeoutMs: 1000 });
  take({ kind: 'ask', circuit: 3, stream: 1, request: REQUEST });
  take({ kind: 'close', circuit: 3 });
  // What is asked of circuits that are gone is passed over.
  take({ kind: 'ask', circuit: 3, stream: 2, request: REQUEST });
  take({ kind: 'close', circuit: 3 });
  expect(news).toEqual([
    { kind: 'opened', circuit: 3 },
    { kind: 'ended', circuit: 3, stream: 1, reason: EndReason.DESTROY },
  ]);
  rig.expectEmpty();
});

test('a stream on a circuit that is not open yet is refused', () => {
  const { rig, take, news } = makeRig();
  rig.end.holdCreates = true;
  take({ kind: 'open', circuit: 1, path: [rig.endHop()], timeoutMs: 1000 });
  take({ kind: 'ask', circuit: 1, stream: 1, request: REQUEST });
  expect(news).toEqual([{ kind: 'ended', circuit: 1, stream: 1, reason: EndReason.INTERNAL }]);
});
