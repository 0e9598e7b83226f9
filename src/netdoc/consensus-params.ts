/**
 * The consensus parameters that a relay obeys: their defaults and the range each value is clamped to.
 *
 * A consensus carries what the authorities voted for; a value out of range is moved to the nearest legal one,
 * never refused. A limit that is the name of another parameter takes that parameter's value. Numbers are those
 * of C tor 0.4.9.11; parameters that only clients and authorities read are not here.
 *
 * @source param-spec "Network parameters"
 */
import { assert } from '../fault.ts';

const INT32_MAX = 2147483647;

/** Default and legal range of one parameter. A string names the parameter whose value counts. */
export interface ParamRule {
  readonly default: number | string;
  readonly min: number | string;
  readonly max: number | string;
}

function rule(standard: number | string, min: number | string, max: number | string): ParamRule {
  return { default: standard, min, max };
}

const FLAG_OFF = rule(0, 0, 1);
const FLAG_ON = rule(1, 0, 1);

const CIRCUITS = {
  circwindow: rule(1000, 100, 1000),
  sendme_emit_min_version: rule(1, 0, 255),
  sendme_accept_min_version: rule(0, 0, 255),
  AllowNonearlyExtend: FLAG_OFF,
  ExtendByEd25519ID: FLAG_OFF,
  CircuitPriorityHalflifeMsec: rule(30000, 1, INT32_MAX),
  CircuitPriorityTickSecs: rule(10, 1, 600),
  KISTSchedRunInterval: rule(2, 2, 100),
  orconn_high: rule(32768, 509, INT32_MAX),
  orconn_low: rule(16384, 509, INT32_MAX),
  cellq_high: rule(256, 1, 1000),
  cellq_low: rule(10, 1, 1000),
  circ_max_cell_queue_size: rule(2500, 50, INT32_MAX),
  circ_max_cell_queue_size_out: rule('circ_max_cell_queue_size', 50, INT32_MAX),
  max_pending_tasks_per_cpu: rule(64, 1, INT32_MAX),
  MaxOnionQueueDelay: rule(1750, 1, INT32_MAX),
  onion_queue_wait_cutoff: rule(5, 1, INT32_MAX),
  overload_onionskin_ntor_scale_percent: rule(1000, 0, 100000),
  overload_onionskin_ntor_period_secs: rule(21600, 0, INT32_MAX),
  perconnbwrate: rule(INT32_MAX, 1, INT32_MAX),
  perconnbwburst: rule(INT32_MAX, 1, INT32_MAX),
} as const satisfies Record<string, ParamRule>;

const CONGESTION = {
  cc_alg: rule(2, 0, 3),
  cc_sendme_inc: rule(31, 1, 254),
  cc_cwnd_init: rule(124, 31, 10000),
  cc_cwnd_min: rule(124, 31, 1000),
  cc_cwnd_max: rule(INT32_MAX, 500, INT32_MAX),
  cc_cwnd_inc: rule(1, 1, 1000),
  cc_cwnd_inc_rate: rule(31, 1, 250),
  cc_cwnd_inc_pct_ss: rule(100, 1, 500),
  cc_cwnd_full_gap: rule(4, 0, 32767),
  cc_cwnd_full_minpct: rule(25, 0, 100),
  cc_cwnd_full_per_cwnd: rule(1, 0, 1),
  cc_ss_max: rule(5000, 500, INT32_MAX),
  cc_ewma_cwnd_pct: rule(50, 1, 255),
  cc_ewma_max: rule(10, 2, INT32_MAX),
  cc_ewma_ss: rule(2, 2, INT32_MAX),
  cc_rtt_reset_pct: rule(100, 0, 100),
  cc_bwe_min: rule(5, 2, 20),
  cc_vegas_alpha_exit: rule(186, 0, 1000),
  cc_vegas_beta_exit: rule(248, 0, 1000),
  cc_vegas_gamma_exit: rule(186, 0, 1000),
  cc_vegas_delta_exit: rule(310, 0, INT32_MAX),
  cc_sscap_exit: rule(600, 100, INT32_MAX),
  cc_vegas_alpha_onion: rule(186, 0, 1000),
  cc_vegas_beta_onion: rule(372, 0, 1000),
  cc_vegas_gamma_onion: rule(248, 0, 1000),
  cc_vegas_delta_onion: rule(434, 0, INT32_MAX),
  cc_sscap_onion: rule(475, 100, INT32_MAX),
  cc_xoff_client: rule(500, 1, 10000),
  cc_xoff_exit: rule(500, 1, 10000),
  cc_xon_rate: rule(500, 1, 5000),
  cc_xon_change_pct: rule(25, 1, 99),
  cc_xon_ewma_cnt: rule(2, 2, 100),
  cfx_enabled: FLAG_ON,
  cfx_max_linked_set: rule(10, 0, 255),
  cfx_max_prebuilt_set: rule(3, 0, 255),
  cfx_max_unlinked_leg_retry: rule(3, 0, 255),
  cfx_num_legs_set: rule(2, 0, 255),
  cfx_max_legs_set: rule(8, 3, 255),
  cfx_send_pct: rule(100, 0, 255),
  cfx_drain_pct: rule(0, 0, 255),
  cfx_low_exit_threshold: rule(6000, 0, 10000),
  cfx_max_oooq_bytes: rule(INT32_MAX, 0, INT32_MAX),
} as const satisfies Record<string, ParamRule>;

const PADDING = {
  circpad_max_circ_queued_cells: rule(1000, 0, 50000),
  circpad_global_allowed_cells: rule(0, 0, 65534),
  circpad_global_max_padding_pct: rule(0, 0, 100),
  circpad_padding_disabled: FLAG_OFF,
  circpad_padding_reduced: FLAG_OFF,
  nf_ito_low: rule(1500, 0, 60000),
  nf_ito_high: rule(9500, 'nf_ito_low', 60000),
  nf_ito_low_reduced: rule(9000, 0, 60000),
  nf_ito_high_reduced: rule(14000, 'nf_ito_low_reduced', 60000),
  nf_pad_relays: FLAG_OFF,
  nf_pad_before_usage: FLAG_ON,
  nf_pad_single_onion: FLAG_ON,
  nf_conntimeout_relays: rule(3600, 60, 604800),
  nf_conntimeout_clients: rule(1800, 60, 86400),
} as const satisfies Record<string, ParamRule>;

const DEFENCES = {
  dos_num_circ_max_outq: rule(3, 0, INT32_MAX),
  DoSCircuitCreationEnabled: FLAG_OFF,
  DoSCircuitCreationMinConnections: rule(3, 1, INT32_MAX),
  DoSCircuitCreationRate: rule(3, 1, INT32_MAX),
  DoSCircuitCreationBurst: rule(90, 1, INT32_MAX),
  DoSCircuitCreationDefenseType: rule(2, 1, 2),
  DoSCircuitCreationDefenseTimePeriod: rule(3600, 0, INT32_MAX),
  DoSConnectionEnabled: FLAG_OFF,
  DoSConnectionMaxConcurrentCount: rule(100, 1, INT32_MAX),
  DoSConnectionDefenseType: rule(2, 1, 2),
  DoSConnectionConnectRate: rule(20, 1, INT32_MAX),
  DoSConnectionConnectBurst: rule(40, 1, INT32_MAX),
  DoSConnectionConnectDefenseTimePeriod: rule(86400, 10, INT32_MAX),
  DoSStreamCreationEnabled: FLAG_OFF,
  DoSStreamCreationRate: rule(100, 1, INT32_MAX),
  DoSStreamCreationBurst: rule(300, 1, INT32_MAX),
  DoSStreamCreationDefenseType: rule(2, 1, 3),
  DoSRefuseSingleHopClientRendezvous: FLAG_OFF,
  HiddenServiceEnableIntroDoSDefense: FLAG_OFF,
  HiddenServiceEnableIntroDoSRatePerSec: rule(25, 0, INT32_MAX),
  HiddenServiceEnableIntroDoSBurstPerSec: rule(200, 0, INT32_MAX),
} as const satisfies Record<string, ParamRule>;

const SERVICES = {
  HSV3MaxDescriptorSize: rule(50000, 1, INT32_MAX),
  hsdir_interval: rule(1440, 5, 14400),
  hsdir_n_replicas: rule(2, 1, 16),
  hsdir_spread_fetch: rule(3, 1, 128),
  hsdir_spread_store: rule(4, 1, 128),
  refuseunknownexits: FLAG_ON,
  'allow-network-reentry': FLAG_OFF,
  exit_dns_timeout: rule(1000, 1, 120000),
  exit_dns_num_attempts: rule(2, 0, 255),
  'assume-reachable': FLAG_OFF,
  'assume-reachable-ipv6': FLAG_OFF,
  'onion-key-rotation-days': rule(28, 1, 90),
  'onion-key-grace-period-days': rule(7, 1, 'onion-key-rotation-days'),
  'publish-dummy-tap-key': FLAG_ON,
  'publish-family-list': FLAG_ON,
  'use-family-lists': FLAG_ON,
  'use-family-ids': FLAG_ON,
  'max-consensus-age-to-cache-for-diff': rule(72, 0, 8192),
  'try-diff-for-consensus-newer-than': rule(72, 0, 8192),
  bwweightscale: rule(10000, 1, INT32_MAX),
} as const satisfies Record<string, ParamRule>;

/** Every parameter that this relay reads. */
export const PARAMETERS = { ...CIRCUITS, ...CONGESTION, ...PADDING, ...DEFENCES, ...SERVICES } as const;

/** Name of a parameter that this relay reads. */
export type ParamName = keyof typeof PARAMETERS;

/** Values by name as a consensus carries them; names that we don't know are kept too. */
export type ConsensusParams = ReadonlyMap<string, number>;

/** The parameters of a network whose consensus says nothing, or is not known yet. */
export const NO_PARAMS: ConsensusParams = new Map();

function resolve(params: ConsensusParams, value: number | string): number {
  if (typeof value === 'number') return value;
  assert(Object.hasOwn(PARAMETERS, value), `parameter table names ${value}`);
  return paramValue(params, value as ParamName);
}

/**
 * Give a parameter's value: the consensus' own, or the default, clamped to its range.
 *
 * @param fallback - the default where it depends on the configuration, as with `perconnbwrate`
 */
export function paramValue(params: ConsensusParams, name: ParamName, fallback?: number): number {
  const { default: standard, min, max }: ParamRule = PARAMETERS[name];
  const least = resolve(params, min);
  const most = resolve(params, max);
  const value = params.get(name) ?? fallback ?? resolve(params, standard);
  return Math.min(Math.max(value, least), most);
}
