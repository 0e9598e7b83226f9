/**
 * The consensus parameters of flow control, as workers get them: SENDME windows and versions, congestion control of
 * circuits that end at an exit, XON and XOFF. Plain numbers, named as the specification names them.
 * @source proposal 324 "Consensus parameters"; param-spec
 */

/** How Vegas moves the congestion window of one circuit. Windows and queues are in cells. */
export interface VegasParams {
  readonly cwndInit: number;
  readonly cwndMin: number;
  readonly cwndMax: number;
  readonly cwndInc: number;
  readonly cwndIncRate: number;
  readonly cwndIncPctSs: number;
  readonly cwndFullGap: number;
  readonly cwndFullMinPct: number;
  readonly cwndFullPerCwnd: boolean;
  readonly ssMax: number;
  readonly ssCap: number;
  readonly ewmaCwndPct: number;
  readonly ewmaMax: number;
  readonly ewmaSs: number;
  readonly rttResetPct: number;
  readonly alpha: number;
  readonly beta: number;
  readonly gamma: number;
  readonly delta: number;
}

/** Everything that flow control takes from the consensus. */
export interface FlowParams {
  /** The SENDME window of a circuit without congestion control (circwindow). */
  readonly circuitWindow: number;
  readonly sendmeEmitVersion: number;
  readonly sendmeAcceptVersion: number;
  readonly vegas: VegasParams;
  /** Streams stop being read at so many cells in their circuit's queue, and go on at so few. */
  readonly cellqHigh: number;
  readonly cellqLow: number;
  /** Bytes that a stream may hold before its client is told to stop. */
  readonly xoffBytes: number;
  /** Bytes that pass before a rate is told anew, and by how many percent it must have changed. */
  readonly xonRateBytes: number;
  readonly xonChangePct: number;
  readonly xonEwmaCount: number;
}

/** What holds where the consensus says nothing. */
export const FLOW_DEFAULTS: FlowParams = Object.freeze({
  circuitWindow: 1000,
  sendmeEmitVersion: 1,
  sendmeAcceptVersion: 0,
  vegas: Object.freeze({
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
  }),
  cellqHigh: 256,
  cellqLow: 10,
  xoffBytes: 244_000,
  xonRateBytes: 244_000,
  xonChangePct: 25,
  xonEwmaCount: 2,
});
