/** Flow control for workers, from consensus parameters. */
import { expect, test } from 'bun:test';
import { flowParams } from '../../src/daemon/flow-params.ts';
import { NO_PARAMS, paramValue } from '../../src/netdoc/consensus-params.ts';
import { FLOW_DEFAULTS } from '../../src/shm/flow-params.ts';

test('without a consensus it is as C tor has it', () => {
  const params = flowParams((name) => paramValue(NO_PARAMS, name));
  expect(params).toEqual(FLOW_DEFAULTS);
  expect(params).toMatchObject({ xoffBytes: 500 * 488, xonRateBytes: 500 * 488 });
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
