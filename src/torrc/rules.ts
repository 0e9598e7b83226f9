/**
 * What contradicts what: the rules between options that C tor has, for a relay.
 *
 * Rules about options that act stand in `validate.ts` beside the field they fill. Here are those that keep a
 * torrc which C tor refuses from loading, so that a mistake shows now and not when the option begins to act.
 *
 * @source C tor's manual page; limits of C tor 0.4.9.11
 */

import { parseIp } from '../bytes/address.ts';
import type { TorrcLine } from './line.ts';
import { parsePolicyLine } from './policy-line.ts';
import { checkPortLine } from './port.ts';
import type { Values } from './values.ts';

const PORT_OPTIONS = ['Control', 'Dir', 'DNS', 'ExtOR', 'HTTPTunnel', 'Metrics', 'NATD', 'Socks', 'Trans'];
const POLICY_OPTIONS = ['DirPolicy', 'SocksPolicy', 'MetricsPortPolicy'];
const PORT_LISTS = ['FirewallPorts', 'LongLivedPorts', 'RejectPlaintextPorts', 'WarnPlaintextPorts'];
const DAY_SEC = 86400;

/** Options that may differ from their default only in a test network. */
const TESTING_ONLY = [
  'TestingV3AuthInitialVotingInterval',
  'TestingV3AuthInitialVoteDelay',
  'TestingV3AuthInitialDistDelay',
  'TestingV3AuthVotingStartOffset',
  'TestingAuthDirTimeToLearnReachability',
  'TestingServerDownloadInitialDelay',
  'TestingClientDownloadInitialDelay',
  'TestingServerConsensusDownloadInitialDelay',
  'TestingClientConsensusDownloadInitialDelay',
  'TestingBridgeDownloadInitialDelay',
  'TestingBridgeBootstrapDownloadInitialDelay',
  'TestingClientMaxIntervalWithoutRequest',
  'TestingDirConnectionMaxStall',
  'TestingAuthKeyLifetime',
  'TestingLinkCertLifetime',
  'TestingSigningKeySlop',
  'TestingAuthKeySlop',
  'TestingLinkKeySlop',
  'TestingMinTimeToReportBandwidth',
] as const;

/**
 * Check all rules between options.
 *
 * @throws {OperatorError} on the first that is broken
 */
export function checkRules(values: Values): void {
  for (const name of POLICY_OPTIONS) for (const line of values.lines(name)) parsePolicyLine(name, line);
  checkRoles(values);
  checkTesting(values);
  checkPorts(values);
  checkRelayLimits(values);
  checkClientLimits(values);
  checkProxies(values);
  checkFamilies(values);
}

function checkRoles(values: Values): void {
  for (const name of ['AuthoritativeDirectory', 'V3AuthoritativeDirectory', 'BridgeAuthoritativeDir']) {
    if (values.boolean(name)) {
      values.refuse(`${name} 1, but onionrelay is no directory authority`, 'run C tor for that', name);
    }
  }
  if (values.boolean('ClientOnly')) {
    values.refuse('ClientOnly 1, but onionrelay is only a relay', 'remove ClientOnly', 'ClientOnly');
  }
  for (const name of [
    'ReachableAddresses',
    'ReachableORAddresses',
    'ReachableDirAddresses',
    'FascistFirewall',
  ]) {
    if (values.isSet(name) && values.text(name) !== '0') {
      values.refuse(`${name} is for clients: a relay must reach every other relay`, `remove ${name}`, name);
    }
  }
  if (!values.boolean('ClientUseIPv4')) {
    values.refuse(
      'ClientUseIPv4 0: a relay must reach every other relay',
      'write ClientUseIPv4 1',
      'ClientUseIPv4',
    );
  }
  if (values.boolean('UseBridges')) {
    values.refuse('UseBridges 1: a relay must reach every other relay', 'remove UseBridges', 'UseBridges');
  }
  if (values.boolean('BridgeRelay') && !values.boolean('DirCache')) {
    values.refuse('BridgeRelay needs DirCache 1', 'write DirCache 1', 'DirCache');
  }
  if (values.isSet('BridgeDistribution')) {
    if (!values.boolean('BridgeRelay')) {
      values.refuse(
        'BridgeDistribution without BridgeRelay 1',
        'remove BridgeDistribution',
        'BridgeDistribution',
      );
    }
    if (!/^[A-Za-z0-9_-]*$/.test(values.text('BridgeDistribution')!)) {
      values.refuse(
        'BridgeDistribution is no method',
        'write BridgeDistribution none, any, https, email or settings',
        'BridgeDistribution',
      );
    }
  }
}

function checkTesting(values: Values): void {
  const authorities =
    values.isSet('DirAuthority') ||
    (values.isSet('AlternateDirAuthority') && values.isSet('AlternateBridgeAuthority'));
  if (values.testing && !authorities) {
    values.refuse(
      'TestingTorNetwork without authorities of its own',
      "write the test network's DirAuthority NICKNAME orport=PORT v3ident=HEX ADDRESS:DIRPORT FINGERPRINT",
      'TestingTorNetwork',
    );
  }
  if (!values.boolean('ClientDNSRejectInternalAddresses') && !authorities) {
    values.refuse(
      'ClientDNSRejectInternalAddresses 0 in the public network',
      'write ClientDNSRejectInternalAddresses 1',
      'ClientDNSRejectInternalAddresses',
    );
  }
  if (!values.testing) {
    for (const name of TESTING_ONLY) {
      if (values.isSet(name) && !values.isDefault(name)) {
        values.refuse(
          `${name} may be changed only in a test network`,
          `remove ${name}, or write TestingTorNetwork 1`,
          name,
        );
      }
    }
    for (const name of ['TestingEnableConnBwEvent', 'TestingEnableCellStatsEvent']) {
      if (values.boolean(name)) {
        values.refuse(
          `${name} may be set only in a test network`,
          `remove ${name}, or write TestingTorNetwork 1`,
          name,
        );
      }
    }
  }
  least(values, 'TestingClientMaxIntervalWithoutRequest', 1, 'second');
  least(values, 'TestingDirConnectionMaxStall', 5, 'seconds');
  least(values, 'ClientBootstrapConsensusMaxInProgressTries', 1, '');
  const lifetimes = [
    ['SigningKeyLifetime', 'TestingSigningKeySlop'],
    ['TestingLinkCertLifetime', 'TestingAuthKeySlop'],
    ['TestingAuthKeyLifetime', 'TestingLinkKeySlop'],
  ] as const;
  for (const [lifetime, slop] of lifetimes) {
    if (values.number(lifetime) < 2 * values.number(slop)) {
      values.refuse(
        `${lifetime} is shorter than twice ${slop}`,
        `write ${lifetime} ${2 * values.number(slop)} seconds, or more`,
        lifetime,
        slop,
      );
    }
  }
}

function least(values: Values, name: string, most: number, unit: string): void {
  if (values.number(name) < most) {
    values.refuse(`${name} is too small`, `write ${`${name} ${most} ${unit}`.trimEnd()}, or more`, name);
  }
}

function checkPorts(values: Values): void {
  for (const stem of PORT_OPTIONS) {
    for (const name of [`${stem}Port`, `__${stem}Port`]) {
      for (const line of values.lines(name)) checkPortLine(name, line);
    }
  }
  for (const name of PORT_LISTS) {
    for (const item of values.list(name)) {
      if (!/^[0-9]{1,5}$/.test(item) || Number(item) < 1 || Number(item) > 65535) {
        values.refuse(
          `${name} has the entry "${item}" that is no port`,
          `write ${name} and ports from 1 to 65535`,
          name,
        );
      }
    }
  }
  checkDirPorts(values);
  for (const line of values.lines('ServerTransportListenAddr')) {
    const [transport, address, more] = line.value.split(/[ \t]+/);
    const [, host, port] = /^(.+):([0-9]{1,5})$/.exec(address ?? '') ?? [];
    if (parseIp(host ?? '') === null || Number(port) > 65535 || more !== undefined) {
      values.refuse(
        `ServerTransportListenAddr of ${transport} names no address and port`,
        'write ServerTransportListenAddr TRANSPORT 0.0.0.0:443',
        'ServerTransportListenAddr',
      );
    }
  }
  if (values.boolean('ControlSocketsGroupWritable') && !values.isSet('ControlSocket')) {
    values.refuse(
      'ControlSocketsGroupWritable without a ControlSocket',
      'write ControlSocketsGroupWritable 0',
      'ControlSocketsGroupWritable',
    );
  }
  for (const name of ['HashedControlPassword', '__HashedControlSessionPassword']) {
    for (const line of values.lines(name)) {
      if (!/^16:[0-9A-Fa-f]{58}$/.test(line.value)) {
        values.refuse(
          `${name} is no hash of a password`,
          `write ${name} and what --hash-password PASSWORD prints`,
          name,
        );
      }
    }
  }
}

/** A DirPort listens on IPv4, is advertised at most once, and needs a directory cache behind it. */
function checkDirPorts(values: Values): void {
  const ports = values.lines('DirPort').filter((line) => !/^0+([ \t]|$)/.test(line.value));
  const has = (line: TorrcLine, flag: string) =>
    line.value
      .toLowerCase()
      .split(/[ \t]+/)
      .includes(flag);
  const advertised = ports.filter((line) => !has(line, 'noadvertise'));
  if (advertised.length > 1)
    values.refuse('DirPort is advertised twice', 'write NoAdvertise at the end of all but one', 'DirPort');
  const listens = ports.some((line) => !has(line, 'nolisten') && !line.value.startsWith('['));
  if (advertised.length > 0 && !listens) {
    values.refuse('DirPort is advertised but does not listen on IPv4', 'write DirPort 9030', 'DirPort');
  }
  if (ports.length > 0 && !values.boolean('DirCache')) {
    values.refuse('DirPort needs DirCache 1', 'write DirPort 0, or DirCache 1', 'DirPort');
  }
}

function checkRelayLimits(values: Values): void {
  if (values.autoBoolean('ConnectionPadding') !== 'auto') {
    values.refuse(
      'ConnectionPadding must be auto on a relay',
      'write ConnectionPadding auto',
      'ConnectionPadding',
    );
  }
  for (const [name, needed] of [
    ['ReducedConnectionPadding', false],
    ['CircuitPadding', true],
    ['ReducedCircuitPadding', false],
  ] as const) {
    if (values.boolean(name) !== needed) {
      values.refuse(`${name} must be ${needed ? 1 : 0} on a relay`, `write ${name} ${needed ? 1 : 0}`, name);
    }
  }
  const refill = values.number('TokenBucketRefillInterval');
  if (refill < 1 || refill > 1000) {
    values.refuse(
      'TokenBucketRefillInterval is out of range',
      'write TokenBucketRefillInterval 100 msec, or another from 1 to 1000 msec',
      'TokenBucketRefillInterval',
    );
  }
  least(values, 'ConnLimit', 1, '');
  least(values, 'KeepalivePeriod', 1, 'second');
  if (values.boolean('ConstrainedSockets')) {
    const size = values.number('ConstrainedSockSize');
    if (size < 2048 || size > 262144 || size % 1024 !== 0) {
      values.refuse(
        'ConstrainedSockSize is out of range',
        'write ConstrainedSockSize 8192, or another from 2048 to 262144 in steps of 1024',
        'ConstrainedSockSize',
      );
    }
  }
  if (!['sum', 'max', 'in', 'out'].includes(values.text('AccountingRule')!)) {
    values.refuse('AccountingRule is unknown', 'write AccountingRule max, sum, in or out', 'AccountingRule');
  }
  for (const name of values.list('Schedulers')) {
    if (!/^(kist|kistlite|vanilla)$/i.test(name)) {
      values.refuse(
        `Schedulers has the unknown entry "${name}"`,
        'write Schedulers KIST,KISTLite,Vanilla',
        'Schedulers',
      );
    }
  }
  if (values.boolean('FetchDirInfoExtraEarly') && !values.boolean('FetchDirInfoEarly')) {
    values.refuse(
      'FetchDirInfoExtraEarly needs FetchDirInfoEarly 1',
      'write FetchDirInfoEarly 1, or FetchDirInfoExtraEarly 0',
      'FetchDirInfoExtraEarly',
    );
  }
  checkAccountingStart(values);
}

function checkAccountingStart(values: Values): void {
  const text = values.text('AccountingStart');
  if (text === null) return;
  const found = /^(?:month[ \t]+([0-9]{1,2})|week[ \t]+([0-9])|day)[ \t]+([0-9]{1,2}):([0-9]{2})$/i.exec(
    text,
  );
  const inRange = (digits: string | undefined, most: number) =>
    digits === undefined || (Number(digits) >= 1 && Number(digits) <= most);
  if (
    found === null ||
    !inRange(found[1], 28) ||
    !inRange(found[2], 7) ||
    Number(found[3]) > 23 ||
    Number(found[4]) > 59
  ) {
    values.refuse(
      `AccountingStart "${text}" does not read`,
      'write AccountingStart month 1 00:00, AccountingStart week 1 00:00 or AccountingStart day 00:00',
      'AccountingStart',
    );
  }
}

function checkClientLimits(values: Values): void {
  const pending = values.number('MaxClientCircuitsPending');
  if (pending < 1 || pending > 1024) {
    values.refuse(
      'MaxClientCircuitsPending is out of range',
      'write MaxClientCircuitsPending 32, or another from 1 to 1024',
      'MaxClientCircuitsPending',
    );
  }
  if (
    !['throughput', 'latency', 'throughput_lowmem', 'latency_lowmem'].includes(
      values.text('ConfluxClientUX')!,
    )
  ) {
    values.refuse(
      'ConfluxClientUX is unknown',
      'write ConfluxClientUX throughput, or latency',
      'ConfluxClientUX',
    );
  }
  if (values.number('CircuitsAvailableTimeout') > DAY_SEC) {
    values.refuse(
      'CircuitsAvailableTimeout is too long',
      'write CircuitsAvailableTimeout 24 hours, or less',
      'CircuitsAvailableTimeout',
    );
  }
  if (values.isSet('EntryNodes') && !values.boolean('UseEntryGuards')) {
    values.refuse('EntryNodes needs UseEntryGuards 1', 'write UseEntryGuards 1', 'EntryNodes');
  }
  const primary = values.number('NumPrimaryGuards');
  if (primary > 0 && values.number('NumEntryGuards') > primary) {
    values.refuse(
      'NumEntryGuards is above NumPrimaryGuards',
      `write NumEntryGuards ${primary}, or less`,
      'NumEntryGuards',
    );
  }
  if (values.number('DormantClientTimeout') < 600 && !values.testing) {
    values.refuse(
      'DormantClientTimeout is too short',
      'write DormantClientTimeout 10 minutes, or more',
      'DormantClientTimeout',
    );
  }
  for (const name of ['NoticeRate', 'WarnRate', 'ExtremeRate', 'NoticeUseRate', 'ExtremeUseRate']) {
    if (values.number(`PathBias${name}`) > 1) {
      values.refuse(
        `PathBias${name} is above 1`,
        `write PathBias${name} and a share from 0 to 1`,
        `PathBias${name}`,
      );
    }
  }
  const proxy = values.text('TransProxyType')!.toLowerCase();
  if (proxy !== 'default' && (proxy !== 'tproxy' || !values.isSet('TransPort'))) {
    values.refuse('TransProxyType cannot work', 'write TransProxyType default', 'TransProxyType');
  }
  for (const name of ['VirtualAddrNetworkIPv4', 'VirtualAddrNetworkIPv6']) {
    const text = values.text(name)!;
    const reads = name.endsWith('4') ? /^[0-9.]+\/([0-9]+)$/ : /^\[?[0-9A-Fa-f:]+\]?\/([0-9]+)$/;
    const bits = Number(reads.exec(text)?.[1] ?? Number.NaN);
    if (!(bits >= 0 && bits <= (name.endsWith('4') ? 16 : 104))) {
      const usual = name.endsWith('4') ? '127.192.0.0/10' : '[FE80::]/10';
      values.refuse(`${name} "${text}" is no range that is large enough`, `write ${name} ${usual}`, name);
    }
  }
}

function checkProxies(values: Values): void {
  const used = ['Socks4Proxy', 'Socks5Proxy', 'HTTPSProxy', 'TCPProxy'].filter((name) => values.isSet(name));
  if (used.length > 1)
    values.refuse(`${used[0]} beside ${used[1]}`, `remove ${used[0]} and ${used[1]}`, used[1]!, used[0]!);
  const user = values.text('Socks5ProxyUsername');
  const password = values.text('Socks5ProxyPassword');
  if ((user === null) !== (password === null)) {
    values.refuse(
      'Socks5ProxyUsername and Socks5ProxyPassword belong together',
      'remove Socks5ProxyUsername and Socks5ProxyPassword',
      'Socks5ProxyUsername',
      'Socks5ProxyPassword',
    );
  }
  for (const name of ['Socks5ProxyUsername', 'Socks5ProxyPassword']) {
    if ((values.text(name)?.length ?? 0) > 255) values.refuse(`${name} is too long`, `remove ${name}`, name);
  }
  for (const name of ['HTTPProxyAuthenticator', 'HTTPSProxyAuthenticator']) {
    if ((values.text(name)?.length ?? 0) >= 512) values.refuse(`${name} is too long`, `remove ${name}`, name);
  }
}

function checkFamilies(values: Values): void {
  for (const line of values.lines('MyFamily')) {
    for (const item of line.value.split(',').map((each) => each.trim())) {
      if (item === '' || /^\$?[0-9A-Fa-f]{40}([=~][A-Za-z0-9]{1,19})?$/.test(item)) continue;
      if (/^[A-Za-z0-9]{1,19}$/.test(item)) continue;
      values.refuse(
        `MyFamily has the entry "${item}" that names no relay`,
        'write MyFamily and fingerprints of 40 hex digits',
        'MyFamily',
      );
    }
  }
  for (const line of values.lines('FamilyId')) {
    if (line.value !== '*' && !/^[A-Za-z0-9+/]{43}=?$/.test(line.value)) {
      values.refuse(
        `FamilyId "${line.value}" is no key`,
        'write FamilyId and what is in the .public_family_id file, or FamilyId *',
        'FamilyId',
      );
    }
  }
}

/** Less than this for queues is raised to it; less than the other is warned of. As C tor. */
export const QUEUE_MEMORY_LEAST = 64 * 2 ** 20;
const QUEUE_MEMORY_WARNED = 256 * 2 ** 20;

/** Warnings about values that C tor would raise or lower. */
export function ruleWarnings(values: Values): string[] {
  const out: string[] = [];
  if (values.testing) {
    out.push(
      `${values.where('TestingTorNetwork')}: TestingTorNetwork 1: this relay is of no use to the public network`,
    );
  }
  if (!values.isSet('ContactInfo') && values.isSet('ORPort') && !values.testing) {
    out.push(
      `${values.fileName}: ContactInfo is not set: write how you can be reached if this relay misbehaves`,
    );
  }
  const queues = values.number('MaxMemInQueues');
  if (queues > 0 && queues < QUEUE_MEMORY_WARNED) {
    const raised = queues < QUEUE_MEMORY_LEAST ? '; 64 MB are used' : '';
    out.push(`${values.where('MaxMemInQueues')}: MaxMemInQueues is low${raised}: write at least 256 MB`);
  }
  return out;
}
