/** When a client is told to stop and to go on, and at which rate. */
import { describe, expect, test } from 'bun:test';
import { SAY_NOTHING, SAY_XOFF, SAY_XON, XonXoff } from '../../src/edge/xon-xoff.ts';
import { FLOW_DEFAULTS } from '../../src/shm/flow-params.ts';

const { xoffBytes, xonRateBytes } = FLOW_DEFAULTS;

describe('XOFF', () => {
  test('comes when too much is held for longer than the grace', () => {
    const flow = new XonXoff();
    expect(flow.onTaken(xoffBytes, 0, FLOW_DEFAULTS)).toBe(SAY_NOTHING);
    expect(flow.onTaken(xoffBytes + 1, 1, FLOW_DEFAULTS)).toBe(SAY_NOTHING);
    expect(flow.onTaken(xoffBytes + 1, 6, FLOW_DEFAULTS)).toBe(SAY_NOTHING);
    expect(flow.onTaken(xoffBytes + 1, 6.1, FLOW_DEFAULTS)).toBe(SAY_XOFF);
    expect(flow.stopped).toBe(true);
    expect(flow.onTaken(xoffBytes * 9, 50, FLOW_DEFAULTS)).toBe(SAY_NOTHING);
  });

  test('does not come when it was taken meanwhile', () => {
    const flow = new XonXoff();
    flow.onTaken(xoffBytes + 1, 0, FLOW_DEFAULTS);
    flow.onTaken(10, 4, FLOW_DEFAULTS);
    expect(flow.onTaken(xoffBytes + 1, 8, FLOW_DEFAULTS)).toBe(SAY_NOTHING);
    expect(flow.onTaken(xoffBytes + 1, 14, FLOW_DEFAULTS)).toBe(SAY_XOFF);
  });
});

describe('XON', () => {
  function stopped(): XonXoff {
    const flow = new XonXoff();
    flow.onTaken(xoffBytes + 1, 0, FLOW_DEFAULTS);
    expect(flow.onTaken(xoffBytes + 1, 6, FLOW_DEFAULTS)).toBe(SAY_XOFF);
    return flow;
  }

  test('comes when all is passed on', () => {
    const flow = stopped();
    expect(flow.onDrained(1000, 500, 10, FLOW_DEFAULTS)).toBe(SAY_NOTHING);
    expect(flow.onDrained(500, 0, 20, FLOW_DEFAULTS)).toBe(SAY_XON);
    expect(flow.stopped).toBe(false);
    // Too little was seen to tell a rate.
    expect(flow.rate).toBe(0);
    expect(flow.onDrained(0, 0, 30, FLOW_DEFAULTS)).toBe(SAY_NOTHING);
  });

  test('tells what drained: thousands of bytes per second', () => {
    const flow = stopped();
    flow.onDrained(0, xoffBytes, 10, FLOW_DEFAULTS);
    // A bit more than the bytes that make a measurement, in 100 ms.
    expect(flow.onDrained(xonRateBytes + 1, 0, 110, FLOW_DEFAULTS)).toBe(SAY_XON);
    expect(flow.rate).toBe(Math.floor((xonRateBytes + 1) / 100));
  });

  test('comes anew when the rate has changed by a quarter, and is doubled while nothing is held', () => {
    const flow = stopped();
    flow.onDrained(0, xoffBytes, 0, FLOW_DEFAULTS);
    flow.onDrained(xonRateBytes + 1, 0, 100, FLOW_DEFAULTS);
    const told = flow.rate;
    let nowMs = 100;
    const measure = (tookMs: number): number => {
      flow.onDrained(0, 100, nowMs, FLOW_DEFAULTS);
      nowMs += tookMs;
      return flow.onDrained(xonRateBytes + 1, 100, nowMs, FLOW_DEFAULTS);
    };
    expect(measure(100)).toBe(SAY_NOTHING);
    expect(measure(20)).toBe(SAY_XON);
    expect(flow.rate).toBeGreaterThan(told * 1.25);
    const before = flow.rate;
    // All is passed on at once now.
    flow.onDrained(100, 0, nowMs, FLOW_DEFAULTS);
    flow.onDrained(xonRateBytes, 0, nowMs + 10, FLOW_DEFAULTS);
    expect(flow.rate).toBe(before * 2);
    expect(flow.onDrained(0, 0, nowMs + 20, FLOW_DEFAULTS)).toBe(SAY_XON);
  });

  test('comes for a rate that fell, too', () => {
    const flow = stopped();
    flow.onDrained(0, xoffBytes, 0, FLOW_DEFAULTS);
    flow.onDrained(xonRateBytes + 1, 0, 100, FLOW_DEFAULTS);
    flow.onDrained(0, 100, 100, FLOW_DEFAULTS);
    expect(flow.onDrained(xonRateBytes + 1, 100, 2100, FLOW_DEFAULTS)).toBe(SAY_XON);
  });

  test('a clock that does not move measures nothing', () => {
    const flow = stopped();
    flow.onDrained(0, xoffBytes, 10, FLOW_DEFAULTS);
    flow.onDrained(xonRateBytes + 1, 10, 10, FLOW_DEFAULTS);
    expect(flow.rate).toBe(0);
  });

  test('streams that never held anything are told nothing', () => {
    const flow = new XonXoff();
    for (let i = 0; i < 100; i++) expect(flow.onDrained(100_000, 0, i, FLOW_DEFAULTS)).toBe(SAY_NOTHING);
  });
});
