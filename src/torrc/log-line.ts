/**
 * `Log` lines: which severities of which domains go where.
 *
 * Pure. @source C tor's manual page, "Log"
 */

import { OperatorError } from '../fault.ts';
import { DOMAINS, type Domain, SEVERITIES, type Severity } from '../log.ts';
import { type TorrcLine, whereOf } from './line.ts';

/** Where records go. */
export type LogTarget =
  | { readonly kind: 'stdout' | 'stderr' | 'syslog' }
  | { readonly kind: 'file'; readonly path: string };

/** One Log line: the domains that each severity is logged for, and where to. */
export interface LogRule {
  readonly domains: Readonly<Record<Severity, readonly Domain[]>>;
  readonly target: LogTarget;
  readonly where: string;
}

const HINT = 'write for example Log notice stdout, or Log [or,channel]debug notice file /var/log/tor/log';

/**
 * Parse one Log line. `~` in a file's path must have been expanded by the caller through `expandPath`.
 *
 * @throws {OperatorError} on an unknown severity, domain or target
 */
export function parseLogLine(line: TorrcLine, expandPath: (path: string) => string): LogRule {
  const where = whereOf(line);
  const masks: Record<Severity, Set<Domain>> = {
    debug: new Set(),
    info: new Set(),
    notice: new Set(),
    warn: new Set(),
    err: new Set(),
  };
  let rest = line.value.trimStart();
  let ranges = 0;
  let unqualified = 0;
  while (rest !== '') {
    let domains: readonly Domain[] = DOMAINS;
    if (rest.startsWith('[')) {
      const end = rest.indexOf(']');
      if (end < 0) throw new OperatorError('Log has a [ without a ]', where, HINT);
      domains = parseDomains(rest.slice(1, end), where);
      rest = rest.slice(end + 1).trimStart();
    } else if (!startsWithTarget(rest)) {
      unqualified++;
    }
    if (startsWithTarget(rest)) break;
    if (unqualified > 1) throw new OperatorError('Log has two ranges without domains', where, HINT);
    const word = rest.split(/[ \t]/, 1)[0]!;
    const [low, high] = parseRange(word, where);
    for (const severity of SEVERITIES.slice(low, high + 1)) {
      for (const domain of domains) masks[severity].add(domain);
    }
    ranges++;
    rest = rest.slice(word.length).trimStart();
  }
  if (ranges === 0) throw new OperatorError('Log has no severity', where, HINT);
  const list = (severity: Severity) => DOMAINS.filter((domain) => masks[severity].has(domain));
  return {
    domains: {
      debug: list('debug'),
      info: list('info'),
      notice: list('notice'),
      warn: list('warn'),
      err: list('err'),
    },
    target: parseTarget(rest, where, expandPath),
    where,
  };
}

/** The rule that holds when torrc has no Log line: from `severity` up, to stdout. */
export function defaultLogRule(severity: Severity): LogRule {
  return parseLogLine(
    { key: 'Log', value: `${severity} stdout`, prefix: '', file: 'default', line: 0 },
    (path) => path,
  );
}

function startsWithTarget(text: string): boolean {
  return /^(file|stderr|stdout|syslog)/i.test(text);
}

function parseRange(word: string, where: string): [number, number] {
  const dash = word.indexOf('-');
  const low = severityIndex(dash < 0 ? word : word.slice(0, dash), where);
  const high = dash < 0 ? SEVERITIES.length - 1 : severityIndex(word.slice(dash + 1), where);
  return [low, high];
}

function severityIndex(word: string, where: string): number {
  const index = SEVERITIES.map(String).indexOf(word.toLowerCase());
  if (index >= 0) return index;
  throw new OperatorError(
    `Log has the unknown severity "${word}"`,
    where,
    `write one of ${SEVERITIES.join(', ')}`,
  );
}

function parseDomains(text: string, where: string): Domain[] {
  const chosen = new Set<Domain>();
  const excluded = new Set<Domain>();
  for (const word of text.split(',').map((each) => each.trim())) {
    if (word === '*') {
      for (const domain of DOMAINS) chosen.add(domain);
      continue;
    }
    const name = word.replace(/^~/, '').toLowerCase();
    const domain = DOMAINS.find((each) => each === name);
    if (domain === undefined) {
      throw new OperatorError(
        `Log has the unknown domain "${word}"`,
        where,
        `write some of ${DOMAINS.join(', ')}`,
      );
    }
    (word.startsWith('~') ? excluded : chosen).add(domain);
  }
  const base = chosen.size === 0 && excluded.size > 0 ? DOMAINS : [...chosen];
  return base.filter((domain) => !excluded.has(domain));
}

function parseTarget(text: string, where: string, expandPath: (path: string) => string): LogTarget {
  const word = text.split(/[ \t]/, 1)[0]!;
  const argument = text.slice(word.length).trim();
  const kind = word.toLowerCase();
  if (kind === '') return { kind: 'stdout' };
  if (kind === 'file' && argument !== '') return { kind: 'file', path: expandPath(argument) };
  if ((kind === 'stdout' || kind === 'stderr' || kind === 'syslog') && argument === '') return { kind };
  throw new OperatorError(
    `Log cannot write to "${text}"`,
    where,
    'write Log notice stdout, Log notice stderr, Log notice syslog or Log notice file PATH',
  );
}
