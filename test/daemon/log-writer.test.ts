/** Where records go: severities, domains, files, the terminal, syslog, and what happens when one cannot be written. */

import { afterEach, expect, test } from 'bun:test';
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { formatRecord, type LogFormat, LogWriter, logFormat, rulesFor } from '../../src/daemon/log-writer.ts';
import { isLogged, type LogRecord, log } from '../../src/log.ts';
import { parseTorrc } from '../../src/torrc/line.ts';
import { parseLogLine } from '../../src/torrc/log-line.ts';
import { buildOptions } from '../../src/torrc/validate.ts';
import { refusal, scratch } from '../keys/scratch.ts';

const FORMAT: LogFormat = { granularityMs: 1000, withDomains: false, truncate: false, syslogTag: null };
const writers: LogWriter[] = [];
const children: Bun.Subprocess[] = [];

afterEach(() => {
  for (const writer of writers.splice(0)) writer.close();
  for (const child of children.splice(0)) child.kill();
});

function makeWriter(syslogSocket?: string): LogWriter {
  const writer = new LogWriter('relay 1', syslogSocket);
  writers.push(writer);
  return writer;
}

function rule(value: string, line = 1) {
  return parseLogLine({ key: 'Log', value, prefix: '', file: 'torrc', line }, (path) => path);
}

/** The texts in a log file, short of dates and of its first line. */
function textsIn(path: string): string[] {
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
  return lines.map((line) => line.slice(line.indexOf('['))).filter((line) => !line.includes('opening log'));
}

function sayAll(): void {
  log.debug('or', 'a');
  log.info('or', 'b');
  log.notice('net', 'c');
  log.warn('general', 'd');
  log.err('bug', 'e');
}

test('each file gets the severities and domains of its line', () => {
  const at = scratch();
  const writer = makeWriter();
  writer.use(
    [
      rule(`notice file ${at}/notice`),
      rule(`info-notice file ${at}/range`),
      rule(`[or]debug [~or]err file ${at}/domains`),
      rule(`[net,bug]debug file ${at}/two`),
    ],
    FORMAT,
  );
  sayAll();
  expect(textsIn(`${at}/notice`)).toEqual(['[notice] c', '[warn] d', '[err] e']);
  expect(textsIn(`${at}/range`)).toEqual(['[info] b', '[notice] c']);
  expect(textsIn(`${at}/domains`)).toEqual(['[debug] a', '[info] b', '[err] e']);
  expect(textsIn(`${at}/two`)).toEqual(['[notice] c', '[err] e']);
  expect(writer.lowest).toBe('debug');
  expect(isLogged('debug', 'or')).toBe(true);
  expect(isLogged('debug', 'general')).toBe(false);
  expect(statSync(`${at}/notice`).mode & 0o777).toBe(0o640 & ~process.umask());
});

test('USR2 sends everything everywhere, whatever the domains; new targets end that', () => {
  const at = scratch();
  const writer = makeWriter();
  const rules = [rule(`[net]err file ${at}/log`)];
  writer.use(rules, FORMAT);
  sayAll();
  writer.debugAll();
  sayAll();
  writer.use(rules, FORMAT);
  sayAll();
  expect(textsIn(`${at}/log`)).toEqual(['[debug] a', '[info] b', '[notice] c', '[warn] d', '[err] e']);
});

test('two lines may name one file; an old mode and a device stay as they are', () => {
  const at = scratch();
  writeFileSync(`${at}/log`, '', { mode: 0o600 });
  chmodSync(`${at}/log`, 0o604);
  const devNull = statSync('/dev/null').mode;
  const writer = makeWriter();
  const rules = [rule(`[net]notice file ${at}/log`), rule(`[or]info file ${at}/log`)];
  writer.use([...rules, rule('notice file /dev/null')], { ...FORMAT, truncate: true });
  sayAll();
  expect(textsIn(`${at}/log`)).toEqual(['[info] b', '[notice] c']);
  expect(statSync(`${at}/log`).mode & 0o777).toBe(0o604);
  expect(statSync('/dev/null').mode).toBe(devNull);
});

test('a line that cannot be had is named, and nothing changes: not even the old content is cut', () => {
  const at = scratch();
  writeFileSync(`${at}/new`, 'old\n');
  const writer = makeWriter();
  writer.use([rule(`notice file ${at}/log`)], FORMAT);
  const rules = [rule(`notice file ${at}/new`, 3), rule(`notice file ${at}/none/log`, 4)];
  expect(refusal(() => writer.use(rules, { ...FORMAT, truncate: true })).message).toStartWith(
    `torrc:4: cannot open the log file ${at}/none/log (ENOENT`,
  );
  expect(readFileSync(`${at}/new`, 'utf8')).toBe('old\n');
  log.notice('net', 'still here');
  expect(textsIn(`${at}/log`)).toEqual(['[notice] still here']);
});

test('a full disk is told once, and ends nothing', () => {
  const writer = makeWriter();
  writer.use([rule('notice file /dev/full')], FORMAT);
  for (let i = 0; i < 3; i++) log.notice('net', 'lost');
  expect(writer.isLasting).toBe(true);
});

test('a record prints as C tor prints it', () => {
  const record: LogRecord = {
    wallMs: new Date(2026, 10, 2, 3, 4, 5, 678).getTime(),
    severity: 'warn',
    domain: 'handshake',
    text: 'text',
  };
  expect(formatRecord(record, FORMAT)).toBe('Nov 02 03:04:05.000 [warn] text\n');
  expect(formatRecord(record, { ...FORMAT, granularityMs: 1 })).toBe('Nov 02 03:04:05.678 [warn] text\n');
  expect(formatRecord(record, { ...FORMAT, granularityMs: 250 })).toBe('Nov 02 03:04:05.500 [warn] text\n');
  expect(formatRecord(record, { ...FORMAT, granularityMs: 10_000, withDomains: true })).toBe(
    'Nov 02 03:04:00.000 [warn] {HANDSHAKE} text\n',
  );
});

test('without Log lines the terminal has what the command line leaves; a daemon has no terminal', () => {
  const shown = (rules: ReturnType<typeof rulesFor>) =>
    rules.map((each) => [each.target.kind, each.domains.notice.length > 0]);
  expect(shown(rulesFor([], 'normal'))).toEqual([['stdout', true]]);
  expect(shown(rulesFor([], 'hush'))).toEqual([['stdout', false]]);
  expect(rulesFor([], 'quiet')).toEqual([]);
  expect(rulesFor([], 'normal', true)).toEqual([]);
  const rules = [rule('notice stdout'), rule('notice stderr'), rule('notice file /x'), rule('err syslog')];
  expect(rulesFor(rules, 'quiet')).toBe(rules);
  expect(rulesFor(rules, 'normal', true)).toEqual(rules.slice(2));
});

const PYTHON = Bun.which('python3');

test.skipIf(PYTHON === null)('syslog gets level, name, tag and pid', async () => {
  const path = `${scratch()}/log`;
  const script = `import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print('bound', flush=True)
for i in range(4): print(s.recv(65536).decode(), flush=True)`;
  const child = Bun.spawn([PYTHON!, '-c', script, path], { stdout: 'pipe' });
  const reader = child.stdout.getReader();
  children.push(child);
  let out = '';
  while (!out.endsWith('bound\n')) out += Buffer.from((await reader.read()).value!).toString();
  const writer = makeWriter(path);
  writer.use([rule('notice syslog')], FORMAT);
  log.info('net', 'not wanted');
  log.warn('net', 'one');
  writer.use([rule('notice syslog')], { ...FORMAT, syslogTag: 'two' });
  log.err('net', 'x'.repeat(5000));
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
    out += Buffer.from(chunk.value).toString();
  }
  const lines = out.trimEnd().split('\n').slice(1);
  expect(lines.slice(0, 3)).toEqual([
    `<29>Tor[${process.pid}]: relay 1 opening log.`,
    `<28>Tor[${process.pid}]: one`,
    `<29>Tor-two[${process.pid}]: relay 1 opening log.`,
  ]);
  expect(lines[3]).toStartWith(`<27>Tor-two[${process.pid}]: xxx`);
  expect(lines[3]!.length).toBe(2048);
});

test('torrc says how records are written', () => {
  const lines = [
    'SyslogIdentityTag two',
    'LogMessageDomains 1',
    'LogTimeGranularity 1 msec',
    'TruncateLogFile 1',
  ];
  const parsed = parseTorrc(lines.join('\n'), 'torrc', () => 'none');
  const { options } = buildOptions({ layers: [parsed], torrcName: 'torrc', home: '/' });
  expect(logFormat(options)).toEqual({
    granularityMs: 1,
    withDomains: true,
    truncate: true,
    syslogTag: 'two',
  });
});

test('syslog that nobody serves is refused with its line', () => {
  const writer = makeWriter('/nonexistent/log');
  expect(refusal(() => writer.use([rule('notice syslog', 8)], FORMAT)).message).toStartWith(
    'torrc:8: syslog cannot be reached (ENOENT',
  );
});
