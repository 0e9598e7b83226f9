/**
 * What workers act on, put together from torrc and the consensus. One place, so that a reload and a new consensus
 * take the same road.
 */
import { printIp } from '../bytes/address.ts';
import { SEVERITIES, type Severity } from '../log.ts';
import type { ParamName } from '../netdoc/consensus-params.ts';
import { rejectsAll } from '../netdoc/exit-policy.ts';
import type { ExitParams } from '../shm/exit-params.ts';
import type { DirectoryOptions, WorkerOptions } from '../shm/letter.ts';
import { Ring, slotsPerRing } from '../shm/ring.ts';
import type { RelayOptions } from '../torrc/relay-options.ts';
import { dosLimits } from './dos-limits.ts';
import { flowParams } from './flow-params.ts';

/** Handshakes under way that one address may have. */
const HALF_OPEN_PER_ADDRESS = 64;
/** In a test network every relay and client has the same address. */
const HALF_OPEN_PER_ADDRESS_TESTING = 1024;
const HALF_OPEN_MAX = 8192;
/** Most places are kept for links whose handshake is through, and for dials. */
const HALF_OPEN_SHARE = 1 / 4;
/** Files and sockets that are no links. */
const FILES_OF_MAIN = 128;
const FILES_OF_WORKER = 16;
/** Sockets on which an exit's worker asks nameservers. */
const FILES_OF_RESOLVER = 64;
const LINKS_LEAST = 16;
/** What one link's other end may ask for. Between busy relays it is tens of thousands, from a client a handful. */
const CIRCUITS_PER_RELAY = 32_768;
const CIRCUITS_PER_CLIENT = 8192;
const CIRCUITS_OF_WORKER = 500_000;
/** What MaxMemInQueues 0 takes, as C tor: 0.4 of a machine of 8 GB or more, else 0.75, within these bounds. */
const LARGE_MACHINE = 8 * 2 ** 30;
const LARGE_SHARE = 0.4;
const SMALL_SHARE = 0.75;
const QUEUES_LEAST = 2 ** 28;
const QUEUES_MOST = 8 * 2 ** 30;
/** What is left beside the rings for what waits, however little torrc allows. */
const BESIDE_RINGS = 32 * 2 ** 20;
/** Dials under way that the peer of one link may have asked for: anyone, and a relay that the consensus lists. */
const DIALS_PER_LINK = 16;
const DIALS_PER_RELAY = 128;
/** How long a link may take from TCP to NETINFO. */
const HANDSHAKE_TIMEOUT_MS = 60_000;
/** C tor's KeepalivePeriod. */
const KEEPALIVE_MS = 300_000;
/** C tor closes a client's idle link, or one that is not canonical, after three minutes to four and a half. */
const CLIENT_IDLE_MS = 180_000;
/** How long an extend may take; C tor gives up on a mute next hop after this. */
const EXTEND_TIMEOUT_MS = 60_000;

/** What the control plane knows that torrc does not say. */
export interface Surroundings {
  readonly generation: number;
  /** The lowest severity that any log wants. */
  readonly lowestSeverity: Severity;
  readonly param: (name: ParamName, fallback?: number) => number;
  /** Addresses that we publish or listen on. */
  readonly ownAddresses: readonly Uint8Array[];
  readonly publishedHosts: readonly Uint8Array[];
  readonly authorityIds: readonly Uint8Array[];
  readonly ipv6Extends: boolean;
  readonly exit: ExitParams;
  /** How many files and sockets the process may have open. */
  readonly files: number;
  readonly workers: number;
  /** Memory of the machine. */
  readonly machineBytes: number;
  readonly directory: DirectoryOptions;
}

/** How much what waits may fill: what torrc says, or what suits the machine when it says 0. */
export function queueMemory(configured: number, machineBytes: number, workers: number): number {
  const rings = workers * (workers - 1) * Ring.bytes(slotsPerRing(workers));
  return Math.max(configured > 0 ? configured : defaultQueueMemory(machineBytes), rings + BESIDE_RINGS);
}

/** What MaxMemInQueues 0 stands for on a machine. */
export function defaultQueueMemory(machineBytes: number): number {
  const share = machineBytes >= LARGE_MACHINE ? LARGE_SHARE : SMALL_SHARE;
  return Math.floor(Math.min(QUEUES_MOST, Math.max(QUEUES_LEAST, machineBytes * share)));
}

/** Put the workers' options together. */
export function workerOptions(options: RelayOptions, around: Surroundings): WorkerOptions {
  const { param } = around;
  const ownFiles = FILES_OF_WORKER + (rejectsAll(around.exit.rules) ? 0 : FILES_OF_RESOLVER);
  const links = linksMax(around.files, around.workers, ownFiles);
  const bind = options.outboundBindAddress;
  const ipv4 = bind.or.ipv4 ?? bind.any.ipv4;
  const ipv6 = bind.or.ipv6 ?? bind.any.ipv6;
  return Object.freeze({
    generation: around.generation,
    logThreshold: SEVERITIES.indexOf(around.lowestSeverity),
    safeLogging: options.safeLogging,
    protocolWarnings: options.protocolWarnings,
    extendAllowPrivateAddresses: options.extendAllowPrivateAddresses,
    allowNonearlyExtend: param('AllowNonearlyExtend') === 1,
    testingTorNetwork: options.testingTorNetwork,
    bindIpv4: ipv4 === null ? null : printIp(ipv4),
    bindIpv6: ipv6 === null ? null : printIp(ipv6),
    ownAddresses: around.ownAddresses,
    publishedHosts: around.publishedHosts,
    authorityIds: around.authorityIds,
    ipv6Extends: around.ipv6Extends,
    maxOnionQueueDelayMs: options.maxOnionQueueDelayMs ?? param('MaxOnionQueueDelay'),
    onionQueueCutoffMs: param('onion_queue_wait_cutoff') * 1000,
    circQueueCellsMax: param('circ_max_cell_queue_size'),
    circuitPriorityHalfLifeMs: options.circuitPriorityHalfLifeMs ?? param('CircuitPriorityHalflifeMsec'),
    circQueueCellsMaxOut: param('circ_max_cell_queue_size_out'),
    dos: dosLimits(options.dos, param),
    circuitsPerRelayMax: CIRCUITS_PER_RELAY,
    circuitsPerClientMax: CIRCUITS_PER_CLIENT,
    circuitsMax: CIRCUITS_OF_WORKER,
    maxMemInQueues: queueMemory(options.maxMemInQueues, around.machineBytes, around.workers),
    ccSendmeInc: param('cc_alg') === 0 ? 0 : param('cc_sendme_inc'),
    flow: flowParams(param),
    confluxEnabled: confluxEnabled(options, param),
    confluxLegsMax: param('cfx_max_legs_set'),
    confluxHeldBytesMax: param('cfx_max_oooq_bytes'),
    paddingEnabled: options.values['ConnectionPadding']?.[0] !== '0',
    padRelays: param('nf_pad_relays') === 1,
    padBeforeUsage: param('nf_pad_before_usage') === 1,
    paddingLowMs: param('nf_ito_low'),
    paddingHighMs: param('nf_ito_high'),
    idleRelayTimeoutMs: param('nf_conntimeout_relays') * 1000,
    idleClientTimeoutMs: CLIENT_IDLE_MS,
    halfOpenPerAddressMax: options.testingTorNetwork ? HALF_OPEN_PER_ADDRESS_TESTING : HALF_OPEN_PER_ADDRESS,
    halfOpenMax: Math.min(HALF_OPEN_MAX, Math.floor(around.workers * links * HALF_OPEN_SHARE)),
    linksMax: links,
    dialsPerLinkMax: DIALS_PER_LINK,
    dialsPerRelayMax: DIALS_PER_RELAY,
    handshakeTimeoutMs: HANDSHAKE_TIMEOUT_MS,
    keepaliveMs: KEEPALIVE_MS,
    extendTimeoutMs: EXTEND_TIMEOUT_MS,
    bandwidthRate: options.bandwidthRate,
    bandwidthBurst: options.bandwidthBurst,
    relayBandwidthRate: options.relayBandwidthRate,
    relayBandwidthBurst: options.relayBandwidthBurst,
    perConnBwRate: options.perConnBwRate || param('perconnbwrate', options.bandwidthRate),
    perConnBwBurst: options.perConnBwBurst || param('perconnbwburst', options.bandwidthBurst),
    countPrivateBandwidth: options.countPrivateBandwidth,
    directory: around.directory,
    exit: around.exit,
  });
}

/** Whether circuits may be joined: as torrc says, else as the consensus does. */
function confluxEnabled(options: RelayOptions, param: Surroundings['param']): boolean {
  const wish = options.values['ConfluxEnabled']?.[0] ?? 'auto';
  return wish === 'auto' ? param('cfx_enabled') === 1 : wish === '1';
}

/** What is left for links of one worker. Without descriptors to accept with, a worker would spin. */
function linksMax(files: number, workers: number, ownFiles: number): number {
  return Math.max(LINKS_LEAST, Math.floor((files - FILES_OF_MAIN) / workers) - ownFiles);
}
