/** Flow control for workers, from consensus parameters. */
import { expect, test } from 'bun:test';
import { flowParams } from '../../src/daemon/flow-params.ts';
import { NO_PARAMS, paramValue } from '../../src/netdoc/consensus-params.ts';

test('without a consensus it is as C tor has it', () => {
  const params = flowParams((name) => paramValue(NO_PARAMS, name));
  expect(params).toMatchObject({
    circuitWindow: 1000,
    sendmeEmitVersion: 1,
    sendmeAcceptVersion: 0,
    cellqHigh: 256,
    cellqLow: 10,
    xoffBytes: 500 * 488,
    xonRateBytes: 500 * 488,
    xonChangePct: 25,
    xonEwmaCount: 2,
  });
  expect(params.vegas).toEqual({
    cwndInit: 124,
    cwndMin: 124,
    cwndMax: 2 ** 31 - 1,
    cwndInc: 1,
    cwndIncRate: 31,
    cwndIncPctSs: 100,
    cwndFullGap: 4,
    cwndFullMinPct: 25,
    cwndFullPerCwnd: true,
    ssMax: 5000,
    ssCap: 600,
    ewmaCwndPct: 50,
    ewmaMax: 10,
    ewmaSs: 2,
    rttResetPct: 100,
    alpha: 186,
    beta: 248,
    gamma: 186,
    delta: 310,
  });
  expect(Object.isFrozen(params)).toBe(true);
});

test('the consensus decides', () => {
  const given = new Map([
    ['cc_cwnd_init', 200],
    ['cc_vegas_alpha_exit', 77],
    ['cc_cwnd_full_per_cwnd', 0],
    ['cc_xoff_exit', 10],
    ['sendme_accept_min_version', 1],
  ]);
  const params = flowParams((name) => paramValue(given, name));
  expect(params).toMatchObject({ xoffBytes: 4880, sendmeAcceptVersion: 1 });
  expect(params.vegas).toMatchObject({ cwndInit: 200, alpha: 77, cwndFullPerCwnd: false });
});
