/**
 * Every option of C tor 0.4.9.11: name, type, defaults, whether it may change while running, what it does here.
 *
 * This table is the only place that knows options by name as data: parsing, defaults, `--list-torrc-options`,
 * the man page and the sample torrc are all driven by it. The rows are written as text in `options-relay.ts`,
 * `options-client.ts` and `options-authority.ts`; a row that does not read is a bug of ours.
 *
 * @source C tor's manual page; names as printed by `tor --list-torrc-options`
 */

import { assert } from '../fault.ts';
import { AUTHORITY_OPTIONS } from './options-authority.ts';
import { CLIENT_OPTIONS } from './options-client.ts';
import { RELAY_OPTIONS } from './options-relay.ts';

const OPTION_TYPES = [
  'boolean',
  'auto-boolean',
  'integer',
  'count',
  'count64',
  'memory',
  'interval',
  'msec-interval',
  'interval-list',
  'number',
  'text',
  'path',
  'list',
  'routers',
  'lines',
  'port-lines',
  'service-lines',
] as const;

/** How a value is written; the three `lines` kinds may stand on several lines. */
export type OptionType = (typeof OPTION_TYPES)[number];

const OPTION_EFFECTS = ['acts', 'later', 'client', 'authority'] as const;

/**
 * What an option does here: `acts` now; `later`: a relay's option without effect yet, noted when set;
 * `client` and `authority`: accepted quietly, no business of a relay.
 */
export type OptionEffect = (typeof OPTION_EFFECTS)[number];

/** One option. */
export interface OptionSpec {
  readonly name: string;
  readonly type: OptionType;
  /** Default as torrc text; null when unset. */
  readonly default: string | null;
  /** Default under TestingTorNetwork, as torrc text; null when unset. */
  readonly testingDefault: string | null;
  /** Whether HUP may change it, or only a restart. */
  readonly reload: 'live' | 'restart';
  readonly effect: OptionEffect;
  /** One sentence for man page, help and sample torrc. */
  readonly text: string;
}

/** All options, ordered by name without regard to case. */
export const OPTIONS: readonly OptionSpec[] = [
  ...readRows(RELAY_OPTIONS),
  ...readRows(CLIENT_OPTIONS),
  ...readRows(AUTHORITY_OPTIONS),
].sort((a, b) => compareNames(a.name, b.name));

/** Options that C tor once had: skipped with a warning. */
export const OBSOLETE_OPTIONS: readonly string[] = `
  __UseFilteringSSLBufferevents AllowDotExit AllowInvalidNodes AllowSingleHopCircuits AllowSingleHopExits
  AlternateHSAuthority AndroidIdentityTag AuthDirBadDir AuthDirBadDirCCs AuthDirListBadDirs
  AuthDirMaxServersPerAuthAddr AuthDirRejectUnlisted CircuitIdleTimeout ClientAutoIPv6ORPort
  ClientBootstrapConsensusAuthorityOnlyMaxDownloadTries ClientBootstrapConsensusMaxDownloadTries
  CloseHSClientCircuitsImmediatelyOnTimeout CloseHSServiceRendCircuitsImmediatelyOnTimeout
  ControlListenAddress DirListenAddress DisableIOCP DisableV2DirectoryInfo_ DNSListenAddress
  DynamicDHGroups ExcludeSingleHopRelays FallbackNetworkstatusFile FastFirstHopPK FetchV2Networkstatus
  Group HiddenServiceAuthorizeClient HidServAuth HidServDirectoryV2 MaxOnionsPending
  NamingAuthoritativeDirectory NATDListenAddress OptimisticData ORListenAddress PathBiasDisableRate
  PathBiasMultFactor PathBiasScaleFactor PathBiasUseCloseCounts PortForwarding PortForwardingHelper
  PredictedPortsRelevanceTime PreferTunneledDirConns RecommendedPackages RunTesting
  SchedulerHighWaterMark__ SchedulerLowWaterMark__ SchedulerMaxFlushCells__ SocksListenAddress
  StrictEntryNodes StrictExitNodes Support022HiddenServices TestingCertMaxDownloadTries
  TestingConsensusMaxDownloadTries TestingDescriptorMaxDownloadTries TestingEnableTbEmptyEvent
  TestingEstimatedDescriptorPropagationTime TestingMicrodescMaxDownloadTries TLSECGroup Tor2webMode
  Tor2webRendezvousPoints TransListenAddress TunnelDirConns UseEntryGuardsAsDirGuards
  UseFilteringSSLBufferevents UseNTorHandshake UserspaceIOCPBuffers V1AuthoritativeDirectory
  V2AuthoritativeDirectory VoteOnHidServDirectoriesV2 WarnUnsafeSocks
`
  .trim()
  .split(/\s+/);

/** Old or short names and what they stand for. The third column: only on the command line, or with a warning. */
const ALIASES: readonly (readonly [string, string, ('command-line' | 'warn')?])[] = [
  ['l', 'Log', 'command-line'],
  ['AuthDirBadDirCC', 'AuthDirBadDirCCs'],
  ['AuthDirBadExitCC', 'AuthDirBadExitCCs'],
  ['AuthDirInvalidCC', 'AuthDirInvalidCCs'],
  ['AuthDirMiddleOnlyCC', 'AuthDirMiddleOnlyCCs'],
  ['AuthDirRejectCC', 'AuthDirRejectCCs'],
  ['EntryNode', 'EntryNodes'],
  ['ExcludeNode', 'ExcludeNodes'],
  ['FirewallPort', 'FirewallPorts'],
  ['LongLivedPort', 'LongLivedPorts'],
  ['NumCPU', 'NumCPUs'],
  ['RecommendedPackage', 'RecommendedPackages'],
  ['StrictEntryNode', 'StrictEntryNodes'],
  ['StrictExitNode', 'StrictExitNodes'],
  ['StrictNode', 'StrictNodes'],
  ['AllowUnverifiedNodes', 'AllowInvalidNodes'],
  ['AutomapHostSuffixes', 'AutomapHostsSuffixes'],
  ['AutomapHostOnResolve', 'AutomapHostsOnResolve'],
  ['BandwidthRateBytes', 'BandwidthRate'],
  ['BandwidthBurstBytes', 'BandwidthBurst'],
  ['DirServer', 'DirAuthority'],
  ['MaxConn', 'ConnLimit', 'warn'],
  ['MaxMemInCellQueues', 'MaxMemInQueues'],
  ['ORBindAddress', 'ORListenAddress'],
  ['DirBindAddress', 'DirListenAddress'],
  ['SocksBindAddress', 'SocksListenAddress'],
  ['UseHelperNodes', 'UseEntryGuards'],
  ['NumHelperNodes', 'NumEntryGuards'],
  ['UseEntryNodes', 'UseEntryGuards'],
  ['NumEntryNodes', 'NumEntryGuards'],
  ['ResolvConf', 'ServerDNSResolvConfFile', 'warn'],
  ['SearchDomains', 'ServerDNSSearchDomains', 'warn'],
  ['ServerDNSAllowBrokenResolvConf', 'ServerDNSAllowBrokenConfig'],
  ['PreferTunnelledDirConns', 'PreferTunneledDirConns'],
  ['BridgeAuthoritativeDirectory', 'BridgeAuthoritativeDir'],
  ['HashedControlPassword', '__HashedControlSessionPassword', 'command-line'],
  ['VirtualAddrNetwork', 'VirtualAddrNetworkIPv4'],
  ['SocksSocketsGroupWritable', 'UnixSocksGroupWritable', 'warn'],
  ['_HSLayer2Nodes', 'HSLayer2Nodes', 'warn'],
  ['_HSLayer3Nodes', 'HSLayer3Nodes', 'warn'],
  ...[
    'ClientBootstrapConsensusAuthority',
    'ClientBootstrapConsensusAuthorityOnly',
    'ClientBootstrapConsensusFallback',
    'TestingBridge',
    'TestingBridgeBootstrap',
    'TestingClient',
    'TestingClientConsensus',
    'TestingServer',
    'TestingServerConsensus',
  ].map((stem) => [`${stem}DownloadSchedule`, `${stem}DownloadInitialDelay`, 'warn'] as const),
];

const DEPRECATED = new Set([
  'HTTPProxy',
  'HTTPProxyAuthenticator',
  'ReachableDirAddresses',
  'ClientPreferIPv6DirPort',
]);

const byLowerName = new Map(OPTIONS.map((spec) => [spec.name.toLowerCase(), spec]));
const obsoleteByLowerName = new Map(OBSOLETE_OPTIONS.map((name) => [name.toLowerCase(), name]));
const aliasByLowerName = new Map(ALIASES.map((alias) => [alias[0].toLowerCase(), alias]));

/** What a key of a torrc line means. */
export type FoundOption =
  | { readonly kind: 'option'; readonly spec: OptionSpec; readonly warning: string | null }
  | { readonly kind: 'obsolete'; readonly name: string }
  | { readonly kind: 'ambiguous'; readonly candidates: readonly string[] }
  | { readonly kind: 'unknown'; readonly nearest: string | null };

/** Look an option up whose name is in the table. Anything else is a bug. */
export function optionSpec(name: string): OptionSpec {
  const spec = byLowerName.get(name.toLowerCase());
  assert(spec !== undefined, `${name} is in the option table`);
  return spec;
}

/**
 * Find what a key means: a name in any case, an alias, or the beginning of exactly one name. (C tor takes the
 * first of several candidates of a beginning, in an order that nobody can know; here that is refused.)
 */
export function findOption(key: string, commandLine = false): FoundOption {
  const alias = aliasByLowerName.get(key.toLowerCase());
  const useAlias = alias !== undefined && (alias[2] !== 'command-line' || commandLine);
  const name = useAlias ? alias[1] : key;
  const lower = name.toLowerCase();
  const obsolete = obsoleteByLowerName.get(lower);
  if (obsolete !== undefined) return { kind: 'obsolete', name: obsolete };
  const exact = byLowerName.get(lower);
  if (exact !== undefined) {
    let warning: string | null = null;
    if (useAlias && alias[2] === 'warn') warning = `${alias[0]} is an old name: write ${exact.name}`;
    else if (DEPRECATED.has(exact.name)) warning = `${exact.name} is deprecated and has no effect: remove it`;
    return { kind: 'option', spec: exact, warning };
  }
  const candidates = lower === '' ? [] : OPTIONS.filter((spec) => spec.name.toLowerCase().startsWith(lower));
  if (candidates.length === 1) {
    const spec = candidates[0]!;
    return { kind: 'option', spec, warning: `${key} is short for ${spec.name}: write the whole name` };
  }
  if (candidates.length > 1) return { kind: 'ambiguous', candidates: candidates.map((spec) => spec.name) };
  return { kind: 'unknown', nearest: nearestName(lower) };
}

/** Compare option names as C tor lists them: by byte, without regard to case. */
export function compareNames(a: string, b: string): number {
  const left = a.toLowerCase();
  const right = b.toLowerCase();
  return left < right ? -1 : left > right ? 1 : 0;
}

/** The known name that is at most a third of its letters away from `lower`, or null. */
function nearestName(lower: string): string | null {
  if (lower.length < 3 || lower.length > 60) return null;
  let best: string | null = null;
  let bestDistance = Math.floor(lower.length / 3) + 1;
  for (const spec of OPTIONS) {
    if (spec.name.startsWith('_')) continue;
    const distance = editDistance(lower, spec.name.toLowerCase(), bestDistance);
    if (distance < bestDistance) {
      best = spec.name;
      bestDistance = distance;
    }
  }
  return best;
}

/** Levenshtein distance, or `bound` when it is at least that. */
function editDistance(a: string, b: string, bound: number): number {
  if (Math.abs(a.length - b.length) >= bound) return bound;
  let above = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(swap, above[j]! + 1, row[j - 1]! + 1));
    }
    above = row;
  }
  return Math.min(bound, above[b.length]!);
}

function readRows(table: string): OptionSpec[] {
  const lines = table.trim().split('\n');
  const rows: OptionSpec[] = [];
  for (let i = 0; i < lines.length; i += 2) rows.push(readRow(lines[i]!, lines[i + 1] ?? ''));
  return rows;
}

function readRow(head: string, text: string): OptionSpec {
  const [name, type, written, flags, testing] = head.split('|').map((column) => column.trim());
  assert(name !== undefined && written !== undefined && text.startsWith('  '), `option row reads: ${head}`);
  const knownType = OPTION_TYPES.find((each) => each === type);
  const [effect, restart] = (flags ?? '').split(' ');
  const knownEffect = OPTION_EFFECTS.find((each) => each === effect);
  assert(knownType !== undefined && knownEffect !== undefined, `option row has type and effect: ${head}`);
  assert(restart === undefined || restart === 'restart', `option row has a reload rule: ${head}`);
  const usual = written === '-' ? null : written;
  return {
    name,
    type: knownType,
    default: usual,
    testingDefault: testing ?? usual,
    reload: restart === 'restart' ? 'restart' : 'live',
    effect: knownEffect,
    text: text.trim(),
  };
}
