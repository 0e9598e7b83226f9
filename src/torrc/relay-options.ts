/**
 * The options of a running relay, parsed and typed: what the control plane reads instead of torrc text.
 *
 * A plain frozen object of plain values, so that it can be compared and lettered. Made only by `validate.ts`.
 */

import type { CacheOptions } from './cache-options.ts';
import type { DirPortOptions } from './dir-port-options.ts';
import type { DosSettings } from './dos-options.ts';
import type { DnsOptions, ExitOptions } from './exit-options.ts';
import type { LogRule } from './log-line.ts';
import type { OrPort } from './port.ts';

/** A line that another room parses further. */
export interface RawLine {
  readonly text: string;
  readonly where: string;
}

/** Source addresses to dial from; null lets the kernel choose. */
export interface BindAddresses {
  /** 4 bytes. */
  readonly ipv4: Uint8Array | null;
  /** 16 bytes. */
  readonly ipv6: Uint8Array | null;
}

/** Intervals that only a test network may change, in seconds. */
export interface TestingIntervals {
  readonly linkCertLifetimeSec: number;
  readonly authKeyLifetimeSec: number;
  readonly linkKeySlopSec: number;
  readonly authKeySlopSec: number;
  readonly signingKeySlopSec: number;
  readonly minTimeToReportBandwidthSec: number;
  readonly serverConsensusDownloadInitialDelaySec: number;
  readonly serverDownloadInitialDelaySec: number;
  readonly dirConnectionMaxStallSec: number;
}

/** Everything that acts, typed. */
export interface RelayOptions {
  readonly nickname: string;
  readonly contactInfo: string | null;
  /** Address lines as written: IP literals or host names. */
  readonly addresses: readonly string[];
  readonly addressDisableIpv6: boolean;
  /** ORPort lines; `orPortEndpoints` of `port.ts` resolves them by family. Empty after `ORPort 0`. */
  readonly orPorts: readonly OrPort[];
  /** By what is dialled; `any` for what has none of its own. */
  readonly outboundBindAddress: Readonly<Record<'exit' | 'or' | 'pt' | 'any', BindAddresses>>;
  /** Worker threads; 0 means one per usable core. */
  readonly numCpus: number;
  /** Null follows the consensus. */
  readonly maxOnionQueueDelayMs: number | null;
  /** Null follows the consensus. */
  readonly circuitPriorityHalfLifeMs: number | null;
  /** Bytes; 0 means what suits the machine. */
  readonly maxMemInQueues: number;
  readonly extendAllowPrivateAddresses: boolean;
  readonly dirAllowPrivateAddresses: boolean;
  readonly assumeReachable: boolean;
  readonly assumeReachableIpv6: boolean;
  /** Who is sent the descriptor. A bridge never gives it to the public authorities. */
  readonly publishServerDescriptor: 'v3' | 'bridge' | 'none';
  readonly bridgeRelay: boolean;
  readonly disableNetwork: boolean;

  readonly dataDirectory: string;
  readonly dataDirectoryGroupReadable: boolean;
  readonly keyDirectory: string;
  readonly keyDirectoryGroupReadable: boolean;
  readonly cacheDirectory: string;
  readonly cacheDirectoryGroupReadable: boolean;
  readonly offlineMasterKey: boolean;
  readonly signingKeyLifetimeSec: number;

  /** Log lines; empty when torrc has none: then the command line's quiet level decides. */
  readonly logs: readonly LogRule[];
  readonly logMessageDomains: boolean;
  readonly logTimeGranularityMs: number;
  readonly truncateLogFile: boolean;
  readonly syslogIdentityTag: string | null;
  readonly safeLogging: '0' | '1' | 'relay';
  /** Protocol breaches are logged at warn instead of info. */
  readonly protocolWarnings: boolean;
  /** 0 turns heartbeats off. */
  readonly heartbeatPeriodSec: number;

  readonly shutdownWaitLengthSec: number;
  readonly pidFile: string | null;
  readonly user: string | null;
  readonly runAsDaemon: boolean;
  readonly reloadTorrcOnHup: boolean;

  /** DirAuthority lines; empty means the built-in list. */
  readonly dirAuthorities: readonly RawLine[];
  readonly testingTorNetwork: boolean;
  readonly testing: TestingIntervals;

  /** Average and burst in bytes per second, after the relay's own limits were merged in. */
  readonly bandwidthRate: number;
  readonly bandwidthBurst: number;
  /** 0 means no limit of its own. */
  readonly relayBandwidthRate: number;
  readonly relayBandwidthBurst: number;
  readonly maxAdvertisedBandwidth: number;
  /** Per link whose peer is no relay of the consensus; 0 leaves it to the consensus. */
  readonly perConnBwRate: number;
  readonly perConnBwBurst: number;
  readonly countPrivateBandwidth: boolean;

  /** Directory documents that are kept for others. */
  readonly cache: CacheOptions;
  /** Directory requests without a circuit, and what a cache keeps for diffs. */
  readonly dirPort: DirPortOptions;

  /** Defences against clients that ask for too much. */
  readonly dos: DosSettings;

  /** Connections that we make for others. */
  readonly exit: ExitOptions;
  /** How names are looked up for them. */
  readonly dns: DnsOptions;

  /** `file:line` of the last line of each option that was set, by canonical name. */
  readonly places: Readonly<Record<string, string>>;
  /** Canonical names of the options that were set. */
  readonly explicit: readonly string[];
  /** Their values in canonical form, line by line. */
  readonly values: Readonly<Record<string, readonly string[]>>;
}

/** `file:line` that sets an option; its name where none does. */
export function placeOf(options: RelayOptions, name: string): string {
  return options.places[name] ?? name;
}
