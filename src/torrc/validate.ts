/**
 * From torrc lines to `RelayOptions`: the one way in which a configuration becomes something that can run.
 *
 * Pure: reads no file, no clock and no environment (the home directory is an argument). All or nothing: the
 * first fault is thrown as an `OperatorError` and nothing is half-made.
 */

import { parseIp } from '../bytes/address.ts';
import { OperatorError } from '../fault.ts';
import { type Assignment, assignLayers, canonicalValue } from './assign.ts';
import { bandwidthFields } from './bandwidth-options.ts';
import { bindAddresses } from './bind-addresses.ts';
import { readCacheOptions } from './cache-options.ts';
import { readDirPortOptions } from './dir-port-options.ts';
import { readDosSettings } from './dos-options.ts';
import { readDnsOptions, readExitOptions } from './exit-options.ts';
import { type TorrcLine, whereOf } from './line.ts';
import { parseLogLine } from './log-line.ts';
import { OPTIONS, optionSpec } from './option-table.ts';
import { type OrPort, parseOrPorts } from './port.ts';
import type { RawLine, RelayOptions } from './relay-options.ts';
import { checkRules, QUEUE_MEMORY_LEAST, ruleWarnings } from './rules.ts';
import { Values } from './values.ts';

/** What a configuration is made from. */
export interface Configuration {
  /** Lines of torrc-defaults, torrc and command line, the weakest first. */
  readonly layers: readonly (readonly TorrcLine[])[];
  /** The torrc to name when something is missing; null when there is none. */
  readonly torrcName: string | null;
  /** The home directory, for `~` and the default DataDirectory; null when the user has none. */
  readonly home: string | null;
}

/** A configuration that can run, and what the operator should know about it. */
export interface BuiltOptions {
  readonly options: RelayOptions;
  /** For the log at notice. */
  readonly notes: readonly string[];
  /** For the log at warn. */
  readonly warnings: readonly string[];
  readonly assignment: Assignment;
}

const HEARTBEAT_LEAST_SEC = 30 * 60;

const LOCAL_RELAY = 'this is a local relay, which listens on loopback only and publishes nothing';
const JOINING = 'join the public network: "ORPort 9001" and "ContactInfo you@example.org"';

/**
 * Build the options of a relay.
 *
 * @throws {OperatorError} naming `file:line`, what is wrong and what to write instead
 */
export function buildOptions(configuration: Configuration): BuiltOptions {
  const assignment = assignLayers(configuration.layers);
  const values = new Values(assignment, configuration.torrcName ?? 'torrc');
  const warnings = [...assignment.warnings];
  const notes: string[] = [];
  checkRules(values);
  const orPortLines = [...values.lines('ORPort'), ...values.lines('__ORPort')];
  const isLocal = orPortLines.length === 0;
  const orPorts = isLocal ? [localOrPort()] : parseOrPorts(orPortLines, (text) => warnings.push(text));
  if (isLocal) notes.push(localNote(configuration.torrcName));
  if (orPorts.length === 0) {
    warnings.push(`${whereOf(orPortLines[0]!)}: ORPort 0: nobody can reach this relay: write ORPort 9001`);
    if (values.boolean('BridgeRelay')) {
      values.refuse('BridgeRelay 1 without an ORPort', 'write ORPort auto', 'BridgeRelay');
    }
  }
  const expand = (path: string, where: string) => expandPath(path, configuration.home, where);
  const bandwidth = bandwidthFields(values);
  const options: RelayOptions = {
    ...identityFields(values, notes),
    ...networkFields(values, orPorts, isLocal || orPorts.length === 0),
    ...directoryFields(values, expand),
    ...logFields(values, expand, warnings),
    ...processFields(values, expand, warnings),
    ...testingFields(values),
    ...bandwidth,
    cache: Object.freeze(readCacheOptions(values, bandwidth)),
    dirPort: readDirPortOptions(values, warnings, expand),
    dos: readDosSettings(values, warnings),
    exit: readExitOptions(values, warnings),
    dns: readDnsOptions(values, expand),
    places: Object.freeze(placesOf(assignment)),
    explicit: Object.freeze([...assignment.settings.keys()].sort()),
    values: Object.freeze(canonicalValues(assignment)),
  };
  checkRelativePaths(options, values, warnings);
  warnings.push(...ruleWarnings(values));
  notes.push(...withoutEffect(values));
  return { options: Object.freeze(options), notes, warnings, assignment };
}

/** With no torrc at all, or with one that says nothing of ORPort. */
function localNote(torrcName: string | null): string {
  return torrcName === null
    ? `No torrc: ${LOCAL_RELAY}. These two lines in a torrc ${JOINING}`
    : `${torrcName}: ORPort is not set: ${LOCAL_RELAY}. These two lines ${JOINING}`;
}

function localOrPort(): OrPort {
  return {
    host: Uint8Array.of(127, 0, 0, 1),
    port: 'auto',
    noAdvertise: false,
    noListen: false,
    ipv4Only: false,
    ipv6Only: false,
    where: 'default',
  };
}

function identityFields(values: Values, notes: string[]) {
  const nickname = values.text('Nickname') ?? 'Unnamed';
  if (!/^[A-Za-z0-9]{1,19}$/.test(nickname)) {
    values.refuse(
      `Nickname "${nickname}" is not allowed`,
      'write Nickname and 1 to 19 letters and digits',
      'Nickname',
    );
  }
  const contactInfo = values.text('ContactInfo');
  if (contactInfo?.includes('\ufffd')) {
    values.refuse('ContactInfo is not UTF-8', 'save the file as UTF-8', 'ContactInfo');
  }
  if (contactInfo !== null && /[\r\n]/.test(contactInfo)) {
    values.refuse(
      'ContactInfo has a line break, which a descriptor cannot hold',
      'write ContactInfo you@example.org, on one line',
      'ContactInfo',
    );
  }
  const addresses = values.lines('Address').map((line) => {
    if (parseIp(line.value) !== null || /^(?=.*[A-Za-z])[A-Za-z0-9._-]{1,253}$/.test(line.value))
      return line.value;
    throw new OperatorError(
      `Address "${line.value}" is neither an IP address nor a host name`,
      whereOf(line),
      'write Address 192.0.2.1, or remove the line',
    );
  });
  if (values.boolean('BridgeRelay')) {
    notes.push(
      `${values.where('BridgeRelay')}: BridgeRelay 1: a bridge is not published yet and serves only who knows its address`,
    );
  }
  return {
    nickname,
    contactInfo,
    addresses: Object.freeze(addresses),
    addressDisableIpv6: values.boolean('AddressDisableIPv6'),
    bridgeRelay: values.boolean('BridgeRelay'),
  };
}

function networkFields(values: Values, orPorts: readonly OrPort[], silent: boolean) {
  const assumeReachable = values.boolean('AssumeReachable');
  const assumeReachableIpv6 = values.autoBoolean('AssumeReachableIPv6');
  if (assumeReachable && assumeReachableIpv6 === false) {
    values.refuse(
      'AssumeReachable 1 beside AssumeReachableIPv6 0',
      'write AssumeReachableIPv6 1, or AssumeReachable 0',
      'AssumeReachableIPv6',
    );
  }
  const wanted = publishTarget(values);
  const publish = silent || values.boolean('DisableNetwork') ? 'none' : wanted;
  const delay = values.number('MaxOnionQueueDelay');
  const halfLifeSec = values.number('CircuitPriorityHalflife');
  const queues = values.number('MaxMemInQueues');
  return {
    orPorts: Object.freeze([...orPorts]),
    outboundBindAddress: Object.freeze({
      any: bindAddresses(values, 'OutboundBindAddress'),
      or: bindAddresses(values, 'OutboundBindAddressOR'),
      exit: bindAddresses(values, 'OutboundBindAddressExit'),
      pt: bindAddresses(values, 'OutboundBindAddressPT'),
    }),
    numCpus: cpuCount(values),
    maxOnionQueueDelayMs: delay === 0 ? null : delay,
    circuitPriorityHalfLifeMs: halfLifeSec < 0 ? null : Math.max(1, halfLifeSec * 1000),
    maxMemInQueues: queues === 0 ? 0 : Math.max(queues, QUEUE_MEMORY_LEAST),
    extendAllowPrivateAddresses: values.boolean('ExtendAllowPrivateAddresses'),
    dirAllowPrivateAddresses: values.boolean('DirAllowPrivateAddresses'),
    assumeReachable,
    assumeReachableIpv6: assumeReachableIpv6 === 'auto' ? assumeReachable : assumeReachableIpv6,
    publishServerDescriptor: publish,
    disableNetwork: values.boolean('DisableNetwork'),
  } as const;
}

/** Each pair of workers shares two rings: with more of them than this, too little of 64 MB is left for each. */
const CPUS_MOST = 128;

function cpuCount(values: Values): number {
  const count = values.number('NumCPUs');
  if (count > CPUS_MOST)
    values.refuse(`NumCPUs ${count} is too many`, `write NumCPUs ${CPUS_MOST}, or less`, 'NumCPUs');
  return count;
}

function publishTarget(values: Values): 'v3' | 'bridge' | 'none' {
  const bridge = values.boolean('BridgeRelay');
  const targets = new Set<'v3' | 'bridge'>();
  for (const item of values.list('PublishServerDescriptor')) {
    if (item === '1') targets.add(bridge ? 'bridge' : 'v3');
    else if (/^v3$/i.test(item)) targets.add('v3');
    else if (/^bridge$/i.test(item)) targets.add('bridge');
    else if (!/^(0|v1|v2|hidserv)$/i.test(item)) {
      values.refuse(
        `PublishServerDescriptor "${item}" is unknown`,
        'write PublishServerDescriptor 1, 0, v3 or bridge',
        'PublishServerDescriptor',
      );
    }
  }
  if (targets.has('v3') && (bridge || targets.has('bridge'))) {
    values.refuse(
      'a bridge would be published to the public authorities',
      'write PublishServerDescriptor bridge, or PublishServerDescriptor 0',
      'PublishServerDescriptor',
    );
  }
  return targets.has('v3') ? 'v3' : targets.has('bridge') ? 'bridge' : 'none';
}

function directoryFields(values: Values, expand: ExpandPath) {
  const dataDirectory = expand(
    values.text('DataDirectory') ?? defaultDataDirectory(expand),
    values.where('DataDirectory'),
  );
  const groupReadable = values.boolean('DataDirectoryGroupReadable');
  const readable = (name: string, folder: string) => {
    const value = values.autoBoolean(name);
    return value === 'auto' ? groupReadable && folder === dataDirectory : value;
  };
  const keyText = values.text('KeyDirectory');
  const keyDirectory =
    keyText === null
      ? `${dataDirectory.replace(/\/+$/, '')}/keys`
      : expand(keyText, values.where('KeyDirectory'));
  const cacheText = values.text('CacheDirectory');
  const cacheDirectory =
    cacheText === null ? dataDirectory : expand(cacheText, values.where('CacheDirectory'));
  return {
    dataDirectory,
    dataDirectoryGroupReadable: groupReadable,
    keyDirectory,
    keyDirectoryGroupReadable: readable('KeyDirectoryGroupReadable', keyDirectory),
    cacheDirectory,
    cacheDirectoryGroupReadable: readable('CacheDirectoryGroupReadable', cacheDirectory),
    offlineMasterKey: values.boolean('OfflineMasterKey'),
    signingKeyLifetimeSec: values.number('SigningKeyLifetime'),
  };
}

/** Resolves `~` in a path that stands at `where`. */
type ExpandPath = (path: string, where: string) => string;

/** C tor's: ~/.tor, or /var/lib/tor for a user without a home. */
function defaultDataDirectory(expand: ExpandPath): string {
  const path = expand('~/.tor', 'DataDirectory');
  return path === '/.tor' ? '/var/lib/tor' : path;
}

function expandPath(path: string, home: string | null, where: string): string {
  if (path === '~' || path.startsWith('~/')) {
    const base = home === null || home === '' ? '' : home.replace(/\/+$/, '');
    return `${base}${path.slice(1)}` || '/';
  }
  if (path.startsWith('~')) {
    throw new OperatorError(`the path "${path}" is in another user's home`, where, 'write the whole path');
  }
  return path;
}

function logFields(values: Values, expand: ExpandPath, warnings: string[]) {
  const safeLogging = values.text('SafeLogging')!.toLowerCase();
  if (safeLogging !== '0' && safeLogging !== '1' && safeLogging !== 'relay') {
    values.refuse(
      `SafeLogging "${safeLogging}" is unknown`,
      'write SafeLogging 0, SafeLogging 1 or SafeLogging relay',
      'SafeLogging',
    );
  }
  let heartbeat = values.number('HeartbeatPeriod');
  if (heartbeat > 0 && heartbeat < HEARTBEAT_LEAST_SEC && !values.testing) {
    warnings.push(
      `${values.where('HeartbeatPeriod')}: HeartbeatPeriod is too short and counts as 30 minutes`,
    );
    heartbeat = HEARTBEAT_LEAST_SEC;
  }
  return {
    logs: Object.freeze(
      values.lines('Log').map((line) => parseLogLine(line, (path) => expand(path, whereOf(line)))),
    ),
    logMessageDomains: values.boolean('LogMessageDomains'),
    logTimeGranularityMs: logGranularity(values, warnings),
    truncateLogFile: values.boolean('TruncateLogFile'),
    syslogIdentityTag: values.text('SyslogIdentityTag'),
    safeLogging,
    protocolWarnings: values.boolean('ProtocolWarnings'),
    heartbeatPeriodSec: heartbeat,
  } as const;
}

/** Round the granularity up to a divisor of one second or to whole seconds, as C tor does. */
function logGranularity(values: Values, warnings: string[]): number {
  const wanted = values.number('LogTimeGranularity');
  if (wanted < 1) {
    values.refuse(
      'LogTimeGranularity must be positive',
      'write LogTimeGranularity 1 msec, or more',
      'LogTimeGranularity',
    );
  }
  let granularity = wanted;
  if (granularity > 1000) granularity = Math.ceil(granularity / 1000) * 1000;
  else while (1000 % granularity !== 0) granularity++;
  if (granularity !== wanted) {
    warnings.push(
      `${values.where('LogTimeGranularity')}: LogTimeGranularity ${wanted} counts as ${granularity} msec`,
    );
  }
  return granularity;
}

function processFields(values: Values, expand: ExpandPath, warnings: string[]) {
  const pidFile = values.text('PidFile');
  const runAsDaemon = values.boolean('RunAsDaemon');
  const toTerminal = values.lines('Log').find((line) => /(stdout|stderr)[ \t]*$/i.test(line.value));
  if (runAsDaemon && toTerminal !== undefined) {
    warnings.push(
      `${whereOf(toTerminal)}: Log to the terminal has no effect with RunAsDaemon 1: write file PATH`,
    );
  }
  return {
    shutdownWaitLengthSec: values.number('ShutdownWaitLength'),
    pidFile: pidFile === null ? null : expand(pidFile, values.where('PidFile')),
    user: values.text('User'),
    runAsDaemon,
    reloadTorrcOnHup: values.boolean('__ReloadTorrcOnSIGHUP'),
  };
}

function testingFields(values: Values) {
  const raw = (line: TorrcLine): RawLine => Object.freeze({ text: line.value, where: whereOf(line) });
  for (const line of values.lines('DirAuthority')) checkAuthorityLine(line);
  return {
    dirAuthorities: Object.freeze(values.lines('DirAuthority').map(raw)),
    testingTorNetwork: values.testing,
    testing: Object.freeze({
      linkCertLifetimeSec: values.number('TestingLinkCertLifetime'),
      authKeyLifetimeSec: values.number('TestingAuthKeyLifetime'),
      linkKeySlopSec: values.number('TestingLinkKeySlop'),
      authKeySlopSec: values.number('TestingAuthKeySlop'),
      signingKeySlopSec: values.number('TestingSigningKeySlop'),
      minTimeToReportBandwidthSec: values.number('TestingMinTimeToReportBandwidth'),
      serverConsensusDownloadInitialDelaySec: values.number('TestingServerConsensusDownloadInitialDelay'),
      serverDownloadInitialDelaySec: values.number('TestingServerDownloadInitialDelay'),
      dirConnectionMaxStallSec: values.number('TestingDirConnectionMaxStall'),
    }),
  };
}

/** Refuse an authority line that lacks its address or its fingerprint; `directory/` reads the rest. */
function checkAuthorityLine(line: TorrcLine): void {
  const words = line.value.split(/[ \t]+/);
  const at = words.findIndex(
    (word, i) => /^[0-9]/.test(word) && (i > 0 || !/^[A-Za-z0-9]{1,19}$/.test(word)),
  );
  const colon = words[at]?.lastIndexOf(':') ?? -1;
  const host = parseIp(words[at]?.slice(0, Math.max(0, colon)) ?? '');
  const port = Number(words[at]?.slice(colon + 1));
  const fingerprint = words.slice(at + 1).join('');
  if (host?.length === 4 && port >= 1 && port <= 65535 && /^[0-9A-Fa-f]{40}$/.test(fingerprint)) return;
  throw new OperatorError(
    'DirAuthority has no address and fingerprint that read',
    whereOf(line),
    'write DirAuthority NICKNAME orport=PORT v3ident=HEX ADDRESS:DIRPORT FINGERPRINT',
  );
}

/** A daemon changes its folder, so that a relative path would mean another place after HUP. */
function checkRelativePaths(options: RelayOptions, values: Values, warnings: string[]): void {
  const files = options.logs.flatMap((log) => (log.target.kind === 'file' ? [log.target.path] : []));
  const paths: [string, string | null][] = [
    ['DataDirectory', options.dataDirectory],
    ['KeyDirectory', options.keyDirectory],
    ['CacheDirectory', options.cacheDirectory],
    ['PidFile', options.pidFile],
    ['ServerDNSResolvConfFile', options.dns.resolvConfFile],
    ...files.map((path): [string, string] => ['Log', path]),
  ];
  for (const [name, path] of paths) {
    if (path === null || path.startsWith('/') || !values.isSet(name)) continue;
    if (options.runAsDaemon) {
      values.refuse(
        `${name} "${path}" is relative, with RunAsDaemon 1`,
        'write the whole path, beginning with /',
        name,
      );
    }
    warnings.push(`${values.where(name)}: ${name} "${path}" is relative: write the whole path`);
  }
}

/** One note per relay option that was set, to other than its default, and has no effect yet. */
function withoutEffect(values: Values): string[] {
  return OPTIONS.filter((spec) => spec.effect === 'later' && values.isSet(spec.name))
    .filter((spec) => spec.name !== 'BridgeRelay' && !values.isDefault(spec.name))
    .map((spec) => `${values.where(spec.name)}: ${spec.name} has no effect yet`);
}

function placesOf({ settings }: Assignment): Record<string, string> {
  return Object.fromEntries([...settings].map(([name, lines]) => [name, whereOf(lines.at(-1)!)]));
}

function canonicalValues(assignment: Assignment): Record<string, readonly string[]> {
  const out: Record<string, readonly string[]> = {};
  for (const [name, lines] of assignment.settings) {
    const spec = optionSpec(name);
    out[name] = Object.freeze(lines.map((line) => canonicalValue(spec, line.value)));
  }
  return out;
}
