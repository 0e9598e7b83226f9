/** Windows and authenticated SENDMEs of one circuit end. */
import { describe, expect, test } from 'bun:test';
import { encodeSendme } from '../../src/cell/sendme.ts';
import { CircuitFlow } from '../../src/circuit/flow.ts';
import { Violation } from '../../src/fault.ts';
import { FLOW_DEFAULTS, type FlowParams } from '../../src/shm/flow-params.ts';

const NOTHING = new Uint8Array(0);

const make = (ccSendmeInc = 0, params: Partial<FlowParams> = {}): CircuitFlow =>
  new CircuitFlow({ ...FLOW_DEFAULTS, ...params }, ccSendmeInc);

/** The tag of the nth cell. */
const tagOf = (cell: number): Uint8Array => new Uint8Array(20).fill(cell & 0xff).fill(cell >> 8, 0, 4);

function send(flow: CircuitFlow, cells: number, from = 1): void {
  for (let cell = from; cell < from + cells; cell++) flow.onSent(tagOf(cell), cell);
}

function expectViolation(run: () => void, counter: string): void {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(Violation);
    expect(error).toMatchObject({ scope: 'circuit', reason: 1, counter });
    return;
  }
  throw new Error('nothing was thrown');
}

describe('windows of old', () => {
  test('1000 cells may go, a hundred more with each SENDME', () => {
    const flow = make();
    expect(flow.vegas).toBeNull();
    expect(flow.room).toBe(1000);
    send(flow, 1000);
    expect(flow.canSend()).toBe(false);
    expect(flow.expected).toBe(10);
    flow.onSendme(encodeSendme(tagOf(100)), 0, false);
    flow.onSendme(encodeSendme(tagOf(200)), 0, false);
    expect(flow.room).toBe(200);
    send(flow, 200, 1001);
    for (let cell = 300; cell <= 1200; cell += 100) flow.onSendme(encodeSendme(tagOf(cell)), 0, false);
    expect(flow.room).toBe(1000);
    expect(flow.expected).toBe(0);
  });

  test('circwindow makes the first one smaller', () => {
    const flow = make(0, { circuitWindow: 150 });
    expect(flow.room).toBe(150);
    send(flow, 150);
    expect(flow.room).toBe(0);
    flow.onSendme(encodeSendme(tagOf(100)), 0, false);
    expect(flow.room).toBe(100);
  });

  test('a SENDME without a cell to answer closes the circuit', () => {
    const flow = make();
    expectViolation(() => flow.onSendme(NOTHING, 0, false), 'circuit_unexpected_sendme');
    send(flow, 99);
    expectViolation(() => flow.onSendme(NOTHING, 0, false), 'circuit_unexpected_sendme');
  });

  test('every hundredth cell that comes asks for a SENDME', () => {
    const flow = make();
    const due: number[] = [];
    for (let cell = 1; cell <= 350; cell++) if (flow.onDelivered()) due.push(cell);
    expect(due).toEqual([100, 200, 300]);
  });
});

describe('congestion control', () => {
  test('the window is that of Vegas, a SENDME stands for the negotiated number of cells', () => {
    const flow = make(31);
    expect(flow.room).toBe(124);
    send(flow, 124);
    expect(flow.canSend()).toBe(false);
    for (const cell of [31, 62, 93, 124]) flow.onSendme(encodeSendme(tagOf(cell)), 1000, false);
    expect(flow.room).toBe(flow.vegas!.cwnd);
    expect(flow.vegas!.cwnd).toBeGreaterThan(124);
    const due: number[] = [];
    for (let cell = 1; cell <= 93; cell++) if (flow.onDelivered()) due.push(cell);
    expect(due).toEqual([31, 62, 93]);
  });

  test('a blocked queue is told to Vegas', () => {
    const flow = make(31);
    send(flow, 31);
    flow.onSendme(encodeSendme(tagOf(31)), 1000, true);
    expect(flow.vegas).toMatchObject({ blocked: true, inSlowStart: false });
  });
});

describe('tags', () => {
  test('a wrong one closes the circuit', () => {
    const flow = make();
    send(flow, 200);
    expectViolation(() => flow.onSendme(encodeSendme(tagOf(200)), 0, false), 'circuit_sendme_wrong_tag');
  });

  test('version 0 has none; it is taken until the consensus forbids it', () => {
    const flow = make();
    send(flow, 200);
    flow.onSendme(NOTHING, 0, false);
    // Its tag is used up, too.
    flow.onSendme(encodeSendme(tagOf(200)), 0, false);
    expect(flow.room).toBe(1000);

    const strict = make(0, { sendmeAcceptVersion: 1 });
    send(strict, 200);
    expectViolation(() => strict.onSendme(NOTHING, 0, false), 'circuit_sendme_old_version');
    strict.onSendme(NOTHING, 0, false, true);
    expect(strict.room).toBe(900);
  });

  test('what is no SENDME closes the circuit', () => {
    const flow = make();
    send(flow, 100);
    for (const bytes of [Uint8Array.of(2, 0, 0), Uint8Array.of(1, 0, 4, 1, 2, 3, 4), Uint8Array.of(1)]) {
      expectViolation(() => flow.onSendme(bytes, 0, false), 'circuit_sendme_malformed');
    }
  });

  test('ours carry the tag when the consensus wants that', () => {
    expect(make().sendmeFor(tagOf(5))).toEqual(encodeSendme(tagOf(5)));
    expect(make(0, { sendmeEmitVersion: 0 }).sendmeFor(tagOf(5))).toEqual(NOTHING);
  });
});
