/**
 * Where log records end up: the targets of torrc's Log lines, in C tor's line format.
 *
 * Lives on the main thread; workers letter their records here. Files are opened for appending, 0640 at most, and
 * opened anew on HUP, so that logrotate works. A file that cannot be written is reported once on stderr and tried
 * again with every record; what was lost meanwhile is counted into the log. Syslog is reached through its unix
 * datagram socket.
 */
import { closeSync, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { fileErrorCode } from '../atomic-file.ts';
import { EXIT_CONFIG, OperatorError } from '../fault.ts';
import { isFault, sendDatagramUnix } from '../libc.ts';
import { DOMAINS, type LogRecord, SEVERITIES, type Severity, setLogSink, setLogThreshold } from '../log.ts';
import { defaultLogRule, type LogRule } from '../torrc/log-line.ts';
import type { RelayOptions } from '../torrc/relay-options.ts';

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const SYSLOG_SOCKET = '/dev/log';
const SYSLOG_DAEMON = 3 << 3;
const SYSLOG_CHARS_MAX = 2048;
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
  readonly fd: number;
  /** Records that could not be written since the last one that was. */
  lost: number;
}

/** New targets that are open, but not written to yet. */
export interface PreparedLogs {
  /** Write to them from now on, and close the old ones. */
  commit(): void;
  /** Close them; the old ones stay. */
  abort(): void;
}

/**
 * What is logged where: torrc's rules; without any, what `--quiet` and `--hush` leave for the terminal. A daemon
 * has no terminal, so its rules for one are left out.
 */
export function rulesFor(
  rules: readonly LogRule[],
  quiet: 'normal' | 'hush' | 'quiet',
  isDaemon = false,
): readonly LogRule[] {
  const onTerminal = ({ target }: LogRule): boolean => target.kind === 'stdout' || target.kind === 'stderr';
  if (isDaemon) return rules.filter((rule) => !onTerminal(rule));
  if (rules.length > 0) return rules;
  if (quiet === 'quiet') return [];
  return [defaultLogRule(quiet === 'hush' ? 'warn' : 'notice')];
}

/** How torrc wants records written. */
export function logFormat(options: RelayOptions): LogFormat {
  return {
    granularityMs: options.logTimeGranularityMs,
    withDomains: options.logMessageDomains,
    truncate: options.truncateLogFile,
    syslogTag: options.syslogIdentityTag,
  };
}

/** Writes records. One per process. */
export class LogWriter {
  private outputs: Output[] = [];
  private format: LogFormat = { granularityMs: 1, withDomains: false, truncate: false, syslogTag: null };
  private readonly wanted = new Set<string>();
  private readonly name: string;
  private readonly syslogSocket: string;
  /** The lowest severity that any target takes; workers letter nothing below it. */
  lowest: Severity = 'err';

  /**
   * @param name what the first line of a log file calls this program
   * @param syslogSocket path of the system log's datagram socket
   */
  constructor(name: string, syslogSocket = SYSLOG_SOCKET) {
    this.name = name;
    this.syslogSocket = syslogSocket;
  }

  /** Whether records go anywhere that outlives the terminal. */
  get isLasting(): boolean {
    return this.outputs.some(({ rule }) => rule.target.kind === 'file' || rule.target.kind === 'syslog');
  }

  /**
   * Write to these targets from now on; old ones are closed.
   * @throws OperatorError naming the Log line whose file cannot be opened; the old targets stay then.
   */
  use(rules: readonly LogRule[], format: LogFormat): void {
    this.prepare(rules, format).commit();
  }

  /**
   * Open targets without using them yet.
   * @throws OperatorError naming the Log line whose file cannot be opened
   */
  prepare(rules: readonly LogRule[], format: LogFormat): PreparedLogs {
    const fresh: Output[] = [];
    const abort = (): void => {
      for (const output of fresh) closeTarget(output);
    };
    try {
      for (const rule of rules) fresh.push({ rule, fd: this.openTarget(rule, format), lost: 0 });
    } catch (error) {
      abort();
      throw error;
    }
    return { abort, commit: () => this.commit(fresh, format) };
  }

  private commit(fresh: Output[], format: LogFormat): void {
    const known = new Set(this.outputs.map(({ rule }) => pathOf(rule)));
    for (const output of this.outputs) closeTarget(output);
    this.outputs = fresh;
    this.format = format;
    this.wanted.clear();
    this.lowest = 'err';
    const greeted = new Set<string | null>([null]);
    for (const output of fresh) {
      const { rule } = output;
      const path = pathOf(rule);
      if (!greeted.has(path)) {
        // A file that this process has been writing is no old one.
        if (format.truncate && !known.has(path)) truncate(output.fd);
        this.greet(output);
        greeted.add(path);
      }
      for (const severity of SEVERITIES) {
        for (const domain of rule.domains[severity]) this.wanted.add(`${severity} ${domain}`);
        if (rule.domains[severity].length > 0 && rank(severity) < rank(this.lowest)) this.lowest = severity;
      }
    }
    setLogSink((record) => this.write(record));
    setLogThreshold((severity, domain) => this.wanted.has(`${severity} ${domain}`));
  }

  /** Begin a file, also one that logrotate just put there, with who writes it. */
  private greet(output: Output): void {
    const text = `${this.name} opening log file.`;
    this.writeLine(output, { wallMs: Date.now(), severity: 'notice', domain: 'general', text });
  }

  /** Log everything, debug included, to every target (USR2); `use` ends it. */
  debugAll(): void {
    const all = { debug: DOMAINS, info: DOMAINS, notice: DOMAINS, warn: DOMAINS, err: DOMAINS };
    this.outputs = this.outputs.map((output) => ({ ...output, rule: { ...output.rule, domains: all } }));
    this.lowest = 'debug';
    setLogThreshold(() => true);
  }

  /** Write one record, also one that a worker lettered. */
  write(record: LogRecord): void {
    for (const output of this.outputs) {
      if (!output.rule.domains[record.severity].includes(record.domain)) continue;
      if (output.rule.target.kind === 'syslog') this.writeSyslog(record);
      else this.writeLine(output, record);
    }
  }

  private writeLine(output: Output, record: LogRecord): void {
    const { lost } = output;
    const missed = lost === 0 ? '' : `[${lost} log record(s) before this one could not be written] `;
    try {
      writeSync(output.fd, formatRecord({ ...record, text: missed + record.text }, this.format));
      output.lost = 0;
    } catch (error) {
      output.lost++;
      // EAGAIN: the reader of a pipe is slow. Anything else is worth a word, once.
      if (lost === 0 && fileErrorCode(error) !== 'EAGAIN') complain(output.rule, error);
    }
  }

  private writeSyslog(record: LogRecord): void {
    sendDatagramUnix(this.syslogSocket, syslogLine(record.severity, record.text, this.format.syslogTag));
  }

  /** Close all targets. */
  close(): void {
    for (const output of this.outputs) closeTarget(output);
    this.outputs = [];
    setLogSink(null);
    setLogThreshold(null);
  }

  private openTarget(rule: LogRule, format: LogFormat): number {
    const { target } = rule;
    if (target.kind === 'stdout') return 1;
    if (target.kind === 'stderr') return 2;
    if (target.kind === 'file') return openLogFile(target.path, rule.where);
    const line = syslogLine('notice', `${this.name} opening log.`, format.syslogTag);
    const fault = sendDatagramUnix(this.syslogSocket, line);
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
}

function pathOf({ target }: LogRule): string | null {
  return target.kind === 'file' ? target.path : null;
}

function openLogFile(path: string, where: string): number {
  try {
    return openSync(path, 'a', 0o640);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new OperatorError(
      `cannot open the log file ${path} (${why})`,
      where,
      'make its folder writable for this user, or log to stdout',
      EXIT_CONFIG,
    );
  }
}

function truncate(fd: number): void {
  // Devices and pipes have no length to cut.
  if (fstatSync(fd).isFile()) ftruncateSync(fd, 0);
}

function complain(rule: LogRule, error: unknown): void {
  try {
    writeSync(2, `onionrelay: ${rule.where}: log cannot be written: ${String(error)}\n`);
  } catch {
    // Then nobody can be told.
  }
}

function syslogLine(severity: Severity, text: string, tag: string | null): string {
  const name = tag === null ? 'Tor' : `Tor-${tag}`;
  const line = `<${SYSLOG_DAEMON | SYSLOG_LEVEL[severity]}>${name}[${process.pid}]: ${text}`;
  return line.slice(0, SYSLOG_CHARS_MAX);
}

function rank(severity: Severity): number {
  return SEVERITIES.indexOf(severity);
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
