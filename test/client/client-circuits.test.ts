/** Which streams share a circuit, what happens to circuits that are not built, and when circuits are given up. */
import { describe, expect, test } from 'bun:test';
import { type ClientCircuit, ClientCircuits, type StreamWish } from '../../src/client/client-circuits.ts';
import { FakeOrigins } from './fake-origins.ts';

const WISH: StreamWish = { port: 80, isIpv6: false, isolation: '' };

class Stage {
  readonly origins = new FakeOrigins();
  readonly asked: number[] = [];
  readonly got: (ClientCircuit | null)[] = [];
  nowMs = 0;
  readonly circuits = new ClientCircuits(
    this.origins.asOrigins,
    (circuit) => void this.asked.push(circuit),
    () => this.nowMs,
  );

  attach(changes: Partial<StreamWish> = {}): void {
    this.circuits.attach(
      { ...WISH, ...changes },
      { onCircuit: (circuit) => this.got.push(circuit), onNone: () => this.got.push(null) },
    );
  }
  /** Give a path to whom asked last, and let the circuit be built. */
  build(): void {
    this.circuits.takePath(this.asked.at(-1)!, []);
    this.origins.last.events.onOpen();
  }
  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 100) {
      this.nowMs += 100;
      this.circuits.tick();
    }
  }
}

describe('circuits', () => {
  test('are shared by alike streams, also while they are built', () => {
    const stage = new Stage();
    stage.attach();
    stage.attach();
    expect(stage.asked).toEqual([1]);
    stage.build();
    stage.attach();
    expect(stage.got.map((circuit) => circuit?.number)).toEqual([1, 1, 1]);
  });

  test('are not shared by others', () => {
    const stage = new Stage();
    stage.attach();
    stage.attach({ isolation: 'bob' });
    stage.attach({ port: 443 });
    stage.attach({ isIpv6: true });
    expect(stage.asked).toEqual([1, 2, 3, 4]);
  });

  test('that are not built are tried again along other paths, a few times', () => {
    const stage = new Stage();
    stage.attach();
    for (let i = 0; i < 4; i++) {
      expect(stage.got).toEqual([]);
      stage.circuits.takePath(stage.asked.at(-1)!, []);
      stage.origins.last.events.onClosed(1, 1);
    }
    expect(stage.asked).toEqual([1, 2, 3, 4]);
    expect(stage.got).toEqual([null]);
  });

  test('without a path ask again, and give up in the end', () => {
    const stage = new Stage();
    stage.attach();
    stage.circuits.takePath(1, null);
    stage.pass(600);
    expect(stage.asked).toEqual([1, 1]);
    for (let i = 0; i < 30 && stage.got.length === 0; i++) {
      stage.circuits.takePath(1, null);
      stage.pass(600);
    }
    expect(stage.got).toEqual([null]);
    // An answer that comes too late opens nothing.
    stage.circuits.takePath(1, []);
    expect(stage.origins.circuits).toEqual([]);
  });

  test('close when they are idle, not while they have streams', () => {
    const stage = new Stage();
    stage.attach();
    stage.build();
    stage.origins.last.streamCount = 1;
    stage.pass(60_000);
    expect(stage.origins.last.isClosed).toBe(false);
    stage.origins.last.streamCount = 0;
    stage.pass(6000);
    expect(stage.origins.last.isClosed).toBe(true);
    stage.attach();
    expect(stage.asked).toEqual([1, 2]);
  });

  test('take no new streams when they are old', () => {
    const stage = new Stage();
    stage.attach();
    stage.build();
    stage.origins.last.streamCount = 1;
    stage.pass(601_000);
    stage.attach();
    expect(stage.asked).toEqual([1, 2]);
    expect(stage.origins.circuits[0]!.isClosed).toBe(false);
  });

  test('are told of when they change, and once more at their end', () => {
    const stage = new Stage();
    stage.attach();
    expect(stage.circuits.takeReports()).toEqual([
      { circuit: 1, state: 'choosing', streams: 0, received: 0, sent: 0 },
    ]);
    stage.build();
    stage.got[0]!.count(100, 7);
    expect(stage.circuits.takeReports()).toEqual([
      { circuit: 1, state: 'open', streams: 0, received: 100, sent: 7 },
    ]);
    expect(stage.circuits.takeReports()).toEqual([]);
    stage.origins.last.events.onClosed(1, 3);
    expect(stage.circuits.takeReports().map(({ state }) => state)).toEqual(['closed']);
    expect(stage.circuits.takeReports()).toEqual([]);
  });
});
