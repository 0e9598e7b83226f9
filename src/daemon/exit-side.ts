/**
 * The daemon's side of being an exit: the policy in force, and whom workers ask for names.
 *
 * The policy is torrc's, with our own addresses rejected. It rejects everything while names cannot be looked up at all:
 * no resolver configuration can be read, or nameservers make answers up (workers find that out and letter it). The
 * resolver configuration is read again when it changes, and at every reload.
 */
import { readFileSync, statSync } from 'node:fs';
import { hostname, networkInterfaces } from 'node:os';
import { type Endpoint, parseIp, printIp } from '../bytes/address.ts';
import type { AddressRule } from '../bytes/address-rule.ts';
import type { AddressChoice } from '../directory/published-address.ts';
import { parseResolvConf, type ResolvConf } from '../dns/resolv-conf.ts';
import { OperatorError } from '../fault.ts';
import { log } from '../log.ts';
import type { ParamName } from '../netdoc/consensus-params.ts';
import { composeExitPolicy, descriptorPolicy, REJECT_ALL, rejectsAll } from '../netdoc/exit-policy.ts';
import { isRejectSummary, printSummary, summarize } from '../netdoc/port-summary.ts';
import type { DnsParams, ExitParams } from '../shm/exit-params.ts';
import type { DnsReport } from '../shm/letter.ts';
import type { ExitOptions } from '../torrc/exit-options.ts';
import type { RelayOptions } from '../torrc/relay-options.ts';

const SYSTEM_RESOLV_CONF = '/etc/resolv.conf';
/** Asked when no nameserver is configured, as libevent does. */
const LOCAL_NAMESERVER: Endpoint = { host: Uint8Array.of(127, 0, 0, 1), port: 53 };
/** The configuration file is looked at this often. */
const LOOK_EVERY_MS = 5000;
/** C tor counts whole seconds, and at least one. */
const TIMEOUT_LEAST_MS = 1000;
/** Ports that we may listen on besides ORPorts. */
const PORT_OPTIONS = ['DirPort', 'ControlPort', 'MetricsPort', 'SocksPort', 'ExtORPort', 'DNSPort'];

/** What the exit side asks of the daemon. */
export interface ExitHost {
  /** The options in force. */
  readonly options: () => RelayOptions;
  /** Addresses that we publish. */
  readonly address: () => AddressChoice;
  /** Addresses that ORPorts listen on. */
  readonly listened: () => readonly Uint8Array[];
  /** Workers need new options; and a new descriptor is due, if a reason is given. */
  readonly onChange: (reason: string | null) => void;
  /** Addresses of this machine's interfaces; tests bring their own. */
  readonly interfaces?: () => readonly Uint8Array[];
}

/** The policy lines of a descriptor. */
export interface PublishedPolicy {
  readonly policy: readonly string[];
  /** Null when nothing is accepted. */
  readonly ipv6Policy: string | null;
}

/** The policy made last, and what it was made of. */
interface Composed {
  readonly exit: ExitOptions;
  readonly hosts: string;
  readonly rules: readonly AddressRule[];
}

/** What workers act on that let nobody out and have no nameserver to ask: C tor's defaults otherwise. */
export const NO_EXIT: ExitParams = Object.freeze({
  rules: REJECT_ALL,
  ipv6Exit: false,
  refuseUnknown: true,
  allowReentry: false,
  reevaluate: false,
  bindIpv4: null,
  bindIpv6: null,
  dns: Object.freeze({
    generation: 1,
    nameservers: [],
    search: [],
    ndots: 1,
    randomizeCase: true,
    allowNonRfc953: false,
    timeoutMs: 1000,
    attempts: 2,
    detectHijacking: false,
    testNames: [],
    hijackedHosts: [],
  }),
});

const NOTHING_LEARNT: DnsReport = { generation: 0, hijackedHosts: [], useless: false };

/** The exit side of the control plane. One per process. */
export class ExitSide {
  private readonly host: ExitHost;
  private resolvConf: ResolvConf = { nameservers: [LOCAL_NAMESERVER], search: [], ndots: 1 };
  /** The file as it was when it was read; null before. */
  private seen: string | null = null;
  private hasFailed = false;
  private generation = 0;
  private learnt: DnsReport = NOTHING_LEARNT;
  private nextLookMs = 0;
  private composed: Composed | null = null;

  constructor(host: ExitHost) {
    this.host = host;
  }

  /**
   * Read the resolver's configuration, if we are an exit.
   * @throws OperatorError when it cannot be read and torrc wants it to be (ServerDNSAllowBrokenConfig 0)
   */
  start(): void {
    const { exit, dns, explicit, bridgeRelay, orPorts } = this.host.options();
    const isLocal = orPorts.every(({ where }) => where === 'default');
    if (!exit.isExit && !explicit.includes('ExitRelay') && !bridgeRelay && !isLocal) {
      log.notice(
        'config',
        'This relay is no exit, as by default. Write ExitRelay 1 into torrc to make it one, or ExitRelay 0 to silence this.',
      );
    }
    if (!this.isExit) return;
    this.read();
    if (!this.hasFailed || dns.allowBroken) return;
    throw new OperatorError(
      'the resolver configuration cannot be read, and ServerDNSAllowBrokenConfig is 0',
      this.path,
      'make it readable, or write ServerDNSAllowBrokenConfig 1 to start without',
    );
  }

  /** torrc was read again. */
  reload(): void {
    if (this.isExit) this.readAgain();
  }

  /** Once a second: look at the configuration file now and then. */
  tick(nowMs: number): void {
    if (!this.isExit || nowMs < this.nextLookMs) return;
    this.nextLookMs = nowMs + LOOK_EVERY_MS;
    if (this.hasFailed || this.stamp() !== this.seen) this.readAgain();
  }

  /** Read the file, and tell what came of it. */
  private readAgain(): void {
    const { generation, looksNothingUp: before } = this;
    this.read();
    if (this.looksNothingUp !== before) {
      this.host.onChange(this.looksNothingUp ? 'dns resolvers failed' : 'dns resolvers back');
    } else if (this.generation !== generation) {
      this.host.onChange(null);
    }
  }

  /** A worker tells what it learnt of the nameservers. */
  onReport(report: DnsReport): void {
    if (report.generation !== this.generation) return;
    const before = this.learnt;
    this.learnt = report;
    if (report.useless === before.useless) {
      if (hostsKey(report.hijackedHosts) !== hostsKey(before.hijackedHosts)) this.host.onChange(null);
      return;
    }
    this.host.onChange(report.useless ? 'dns hijacking confirmed' : 'dns resolvers back');
  }

  /** The policy in force. */
  get rules(): readonly AddressRule[] {
    return this.looksNothingUp ? REJECT_ALL : this.wanted;
  }

  /** No name can be looked up: there is nobody to ask, or no use in asking. */
  private get looksNothingUp(): boolean {
    return this.hasFailed || this.learnt.useless;
  }

  /** The policy that torrc wants. */
  private get wanted(): readonly AddressRule[] {
    const { exit } = this.host.options();
    if (!exit.isExit) return REJECT_ALL;
    const rejectHosts = this.ownHosts();
    const hosts = hostsKey(rejectHosts);
    if (this.composed?.exit !== exit || this.composed.hosts !== hosts) {
      const rules = composeExitPolicy({
        rules: exit.rules,
        ipv6Exit: exit.ipv6Exit,
        rejectPrivate: exit.rejectPrivate,
        rejectHosts,
        end: exit.end,
      });
      this.composed = { exit, hosts, rules: Object.freeze(rules) };
    }
    return this.composed.rules;
  }

  /** What the descriptor says. */
  published(): PublishedPolicy {
    const { rules } = this;
    const summary = this.host.options().exit.ipv6Exit ? summarize(rules, 16) : null;
    return {
      policy: descriptorPolicy(rules),
      ipv6Policy: summary === null || isRejectSummary(summary) ? null : printSummary(summary),
    };
  }

  /** What workers act on. */
  params(param: (name: ParamName) => number): ExitParams {
    const { exit, outboundBindAddress } = this.host.options();
    const ipv4 = outboundBindAddress.exit.ipv4 ?? outboundBindAddress.any.ipv4;
    const ipv6 = outboundBindAddress.exit.ipv6 ?? outboundBindAddress.any.ipv6;
    return Object.freeze({
      rules: this.rules,
      ipv6Exit: exit.ipv6Exit,
      refuseUnknown: refusesUnknown(exit, param),
      allowReentry: param('allow-network-reentry') === 1,
      reevaluate: exit.reevaluate,
      bindIpv4: ipv4 === null ? null : printIp(ipv4),
      bindIpv6: ipv6 === null ? null : printIp(ipv6),
      dns: this.dnsParams(param),
    });
  }

  private dnsParams(param: (name: ParamName) => number): DnsParams {
    const { dns } = this.host.options();
    return Object.freeze({
      generation: this.generation,
      nameservers: this.resolvConf.nameservers,
      search: dns.searchDomains ? this.searchDomains() : [],
      ndots: this.resolvConf.ndots,
      randomizeCase: dns.randomizeCase,
      allowNonRfc953: dns.allowNonRfc953,
      timeoutMs: Math.max(TIMEOUT_LEAST_MS, param('exit_dns_timeout')),
      attempts: Math.max(1, param('exit_dns_num_attempts')),
      detectHijacking: dns.detectHijacking && !rejectsAll(this.wanted),
      testNames: dns.testAddresses,
      hijackedHosts: this.learnt.hijackedHosts,
    });
  }

  /** The file's domains, or that of our own name. */
  private searchDomains(): readonly string[] {
    if (this.resolvConf.search.length > 0) return this.resolvConf.search;
    const [, domain] = /^[^.]+\.(.+)$/.exec(hostname()) ?? [];
    return domain === undefined ? [] : [domain];
  }

  private get isExit(): boolean {
    return this.host.options().exit.isExit;
  }

  private get path(): string {
    return this.host.options().dns.resolvConfFile ?? SYSTEM_RESOLV_CONF;
  }

  /** Which file there is, to tell that it changed. */
  private stamp(): string {
    try {
      const { ino, size, mtimeMs } = statSync(this.path);
      return `${this.path} ${ino} ${size} ${mtimeMs}`;
    } catch (error) {
      return `${this.path} ${errorCode(error)}`;
    }
  }

  /** Read the file; complain once about each state of it. */
  private read(): void {
    const stamp = this.stamp();
    const isNews = stamp !== this.seen;
    this.seen = stamp;
    const before = JSON.stringify(this.resolvConf);
    const wasFailed = this.hasFailed;
    try {
      this.resolvConf = parseResolvConf(readFileSync(this.path, 'latin1'));
      this.hasFailed = false;
    } catch (error) {
      const isMissing = errorCode(error) === 'ENOENT';
      this.hasFailed = !isMissing;
      this.resolvConf = { nameservers: [], search: [], ndots: 1 };
      if (isNews) {
        const then = isMissing ? '' : ' This relay is no exit until it can be read.';
        log.warn(
          'net',
          `The resolver configuration ${this.path} cannot be read (${errorCode(error)}).${then}`,
        );
      }
    }
    if (this.resolvConf.nameservers.length === 0) {
      this.resolvConf = { ...this.resolvConf, nameservers: [LOCAL_NAMESERVER] };
      if (isNews && !this.hasFailed) {
        log.warn('net', `No nameserver is named in ${this.path}: 127.0.0.1 is asked for names. Check it.`);
      }
    }
    if (this.generation > 0 && wasFailed === this.hasFailed && JSON.stringify(this.resolvConf) === before)
      return;
    this.generation++;
    this.learnt = NOTHING_LEARNT;
  }

  /** Addresses that nobody shall reach from here, in C tor's order. */
  private ownHosts(): Uint8Array[] {
    const { exit, outboundBindAddress, values } = this.host.options();
    const hosts: (Uint8Array | null | undefined)[] = [];
    if (exit.rejectPrivate) {
      const { ipv4, ipv6 } = this.host.address();
      hosts.push(ipv4?.host, ipv6?.host);
    }
    if (exit.rejectLocalInterfaces) {
      for (const kind of ['exit', 'or', 'pt', 'any'] as const) {
        hosts.push(outboundBindAddress[kind].ipv4, outboundBindAddress[kind].ipv6);
      }
      hosts.push(...this.host.listened());
      for (const name of PORT_OPTIONS) hosts.push(...(values[name] ?? []).map(listenedHost));
      const interfaces = (this.host.interfaces ?? interfaceHosts)();
      hosts.push(...[...interfaces].sort((a, b) => a.length - b.length));
    }
    return hosts.filter((host) => host !== null && host !== undefined);
  }
}

/** Whether streams are taken from relays of the consensus alone. */
export function refusesUnknown(
  { refuseUnknown }: Pick<ExitOptions, 'refuseUnknown'>,
  param: (name: ParamName) => number,
): boolean {
  return refuseUnknown ?? param('refuseunknownexits') === 1;
}

function hostsKey(hosts: readonly Uint8Array[]): string {
  return hosts.map((host) => host.toHex()).join();
}

/** The address of a port line, if it names one. */
function listenedHost(line: string): Uint8Array | null {
  const found = /^(\[[^\]]+\]|[0-9.]+):[0-9a-z]+/i.exec(line);
  return found === null ? null : parseIp(found[1]!);
}

function interfaceHosts(): Uint8Array[] {
  return Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .map(({ address }) => parseIp(address))
    .filter((host) => host !== null);
}

function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
