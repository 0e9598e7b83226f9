/**
 * Where log records end up: the targets of torrc's Log lines, in C tor's line format.
 *
 * Lives on the main thread; workers letter their records here. Files are opened for appending, 0640 at most, and
 * opened anew on HUP, so that logrotate works. A file that cannot be written is reported once on stderr and left.
 * Syslog is reached through its unix datagram socket.
 */
import { closeSync, fchmodSync, openSync, writeSync } from 'node:fs';
import { EXIT_CONFIG, OperatorError } from '../fault.ts';
import { isFault, sendDatagramUnix } from '../libc.ts';
import {
  type Domain,
  type LogRecord,
  SEVERITIES,
  type Severity,
  setLogSink,
  setLogThreshold,
} from '../log.ts';
import { defaultLogRule, type LogRule } from '../torrc/log-line.ts';

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const SYSLOG_SOCKET = '/dev/log';
const SYSLOG_DAEMON = 3 << 3;
const SYSLOG_LEVEL: Record<Severity, number> = { err: 3, warn: 4, notice: 5, info: 6, debug: 7 };

/** How records are written. */
export interface LogFormat {
  readonly granularityMs: number;
  readonly withDomains: boolean;
  readonly truncate: boolean;
  readonly syslogTag: string | null;
}

interface Output {
  readonly rule: LogRule;
  fd: number;
  broken: boolean;
}

/** What `--quiet` and `--hush` leave when torrc has no Log line. */
export function rulesFor(rules: readonly LogRule[], quiet: 'normal' | 'hush' | 'quiet'): readonly LogRule[] {
  if (rules.length > 0) return rules;
  if (quiet === 'quiet') return [];
  return [defaultLogRule(quiet === 'hush' ? 'warn' : 'notice')];
}

/** Writes records. One per process. */
export class LogWriter {
  private outputs: Output[] = [];
  private format: LogFormat = { granularityMs: 1, withDomains: false, truncate: false, syslogTag: null };
  private readonly wanted = new Set<string>();
  /** The lowest severity that any target takes; workers letter nothing below it. */
  lowest: Severity = 'err';

  /**
   * Write to these targets from now on; old ones are closed.
   * @throws OperatorError naming the Log line whose file cannot be opened; the old targets stay then.
   */
  use(rules: readonly LogRule[], format: LogFormat): void {
    const fresh: Output[] = [];
    try {
      for (const rule of rules) fresh.push({ rule, fd: openTarget(rule, format), broken: false });
    } catch (error) {
      for (const output of fresh) closeTarget(output);
      throw error;
    }
    for (const output of this.outputs) closeTarget(output);
    this.outputs = fresh;
    this.format = format;
    this.wanted.clear();
    this.lowest = 'err';
    for (const { rule } of fresh) {
      for (const severity of SEVERITIES) {
        for (const domain of rule.domains[severity]) this.wanted.add(`${severity} ${domain}`);
        if (rule.domains[severity].length > 0 && rank(severity) < rank(this.lowest)) this.lowest = severity;
      }
    }
    setLogSink((record) => this.write(record));
    setLogThreshold((severity, domain) => this.wanted.has(`${severity} ${domain}`));
  }

  /** Log everything, debug included, to every target (USR2); `use` ends it. */
  debugAll(): void {
    const all = Object.fromEntries(
      SEVERITIES.map((severity) => [severity, allDomainsOf(this.outputs)]),
    ) as Record<Severity, readonly Domain[]>;
    this.outputs = this.outputs.map((output) => ({ ...output, rule: { ...output.rule, domains: all } }));
    this.lowest = 'debug';
    setLogThreshold(() => true);
  }

  /** Write one record, also one that a worker lettered. */
  write(record: LogRecord): void {
    for (const output of this.outputs) {
      if (output.broken || !output.rule.domains[record.severity].includes(record.domain)) continue;
      if (output.rule.target.kind === 'syslog') this.writeSyslog(record);
      else this.writeLine(output, record);
    }
  }

  private writeLine(output: Output, record: LogRecord): void {
    try {
      writeSync(output.fd, formatRecord(record, this.format));
    } catch (error) {
      output.broken = true;
      process.stderr.write(`onionrelay: ${output.rule.where}: log cannot be written: ${String(error)}\n`);
    }
  }

  private writeSyslog(record: LogRecord): void {
    const tag = this.format.syslogTag === null ? 'Tor' : `Tor-${this.format.syslogTag}`;
    const text = `<${SYSLOG_DAEMON | SYSLOG_LEVEL[record.severity]}>${tag}[${process.pid}]: ${record.text}`;
    sendDatagramUnix(SYSLOG_SOCKET, text.slice(0, 2048));
  }

  /** Close all targets. */
  close(): void {
    for (const output of this.outputs) closeTarget(output);
    this.outputs = [];
    setLogSink(null);
    setLogThreshold(null);
  }
}

function rank(severity: Severity): number {
  return SEVERITIES.indexOf(severity);
}

function allDomainsOf(outputs: readonly Output[]): readonly Domain[] {
  const all = new Set<Domain>();
  for (const { rule } of outputs)
    for (const severity of SEVERITIES) for (const d of rule.domains[severity]) all.add(d);
  return [...all];
}

function openTarget(rule: LogRule, format: LogFormat): number {
  const { target } = rule;
  if (target.kind === 'stdout') return 1;
  if (target.kind === 'stderr') return 2;
  if (target.kind !== 'file') {
    const fault = sendDatagramUnix(SYSLOG_SOCKET, `<${SYSLOG_DAEMON | 6}>Tor[${process.pid}]: log opened`);
    if (isFault(fault)) {
      throw new OperatorError(
        `syslog cannot be reached (${fault.text})`,
        rule.where,
        'write Log notice stdout, or start a syslog daemon',
        EXIT_CONFIG,
      );
    }
    return -1;
  }
  try {
    const fd = openSync(target.path, format.truncate ? 'w' : 'a', 0o640);
    fchmodSync(fd, 0o640);
    return fd;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new OperatorError(
      `cannot open the log file ${target.path} (${why})`,
      rule.where,
      'make its folder writable for this user, or log to stdout',
      EXIT_CONFIG,
    );
  }
}

function closeTarget(output: Output): void {
  if (output.rule.target.kind === 'file' && output.fd > 2) closeSync(output.fd);
}

/** Print a record as C tor does: `Nov 22 16:37:01.000 [notice] text`. */
export function formatRecord(record: LogRecord, format: LogFormat): string {
  const step = Math.max(1, format.granularityMs);
  const at = new Date(Math.floor(record.wallMs / step) * step);
  const two = (n: number): string => String(n).padStart(2, '0');
  const date = `${MONTHS[at.getMonth()]} ${two(at.getDate())}`;
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  const ms = String(at.getMilliseconds()).padStart(3, '0');
  const domain = format.withDomains ? `{${record.domain.toUpperCase()}} ` : '';
  return `${date} ${time}.${ms} [${record.severity}] ${domain}${record.text}\n`;
}
