/**
 * Flow control as workers get it, out of the consensus parameters. Circuits that end here end at an exit, so the exit
 * variants of the Vegas parameters count.
 */
import type { ParamName } from '../netdoc/consensus-params.ts';
import type { FlowParams } from '../shm/flow-params.ts';

/** C tor counts XOFF and XON thresholds in cells of so many bytes. */
const THRESHOLD_CELL_BYTES = 488;

/** Put the parameters together. */
export function flowParams(param: (name: ParamName) => number): FlowParams {
  return Object.freeze({
    circuitWindow: param('circwindow'),
    sendmeEmitVersion: param('sendme_emit_min_version'),
    sendmeAcceptVersion: param('sendme_accept_min_version'),
    vegas: Object.freeze({
      cwndInit: param('cc_cwnd_init'),
      cwndMin: param('cc_cwnd_min'),
      cwndMax: param('cc_cwnd_max'),
      cwndInc: param('cc_cwnd_inc'),
      cwndIncRate: param('cc_cwnd_inc_rate'),
      cwndIncPctSs: param('cc_cwnd_inc_pct_ss'),
      cwndFullGap: param('cc_cwnd_full_gap'),
      cwndFullMinPct: param('cc_cwnd_full_minpct'),
      cwndFullPerCwnd: param('cc_cwnd_full_per_cwnd') === 1,
      ssMax: param('cc_ss_max'),
      ssCap: param('cc_sscap_exit'),
      ewmaCwndPct: param('cc_ewma_cwnd_pct'),
      ewmaMax: param('cc_ewma_max'),
      ewmaSs: param('cc_ewma_ss'),
      rttResetPct: param('cc_rtt_reset_pct'),
      alpha: param('cc_vegas_alpha_exit'),
      beta: param('cc_vegas_beta_exit'),
      gamma: param('cc_vegas_gamma_exit'),
      delta: param('cc_vegas_delta_exit'),
    }),
    cellqHigh: param('cellq_high'),
    cellqLow: param('cellq_low'),
    xoffBytes: param('cc_xoff_exit') * THRESHOLD_CELL_BYTES,
    xonRateBytes: param('cc_xon_rate') * THRESHOLD_CELL_BYTES,
    xonChangePct: param('cc_xon_change_pct'),
    xonEwmaCount: param('cc_xon_ewma_cnt'),
  });
}
