import { afterEach, expect, test } from 'bun:test';
import {
  DOMAINS,
  isLogged,
  type LogRecord,
  log,
  RateLimit,
  SEVERITIES,
  scrub,
  setLogSink,
  setLogThreshold,
  setSafeLogging,
  warnRateLimited,
} from '../src/log.ts';

afterEach(() => {
  setLogSink(null);
  setLogThreshold(null);
  setSafeLogging('1');
});

function listen(): LogRecord[] {
  const heard: LogRecord[] = [];
  setLogSink((record) => heard.push(record));
  return heard;
}

test('each severity reaches the sink with its domain and a wall time', () => {
  const heard = listen();
  setLogThreshold(() => true);
  const before = Date.now();
  for (const severity of SEVERITIES) log[severity]('or', `said at ${severity}`);
  expect(heard.map((record) => record.severity)).toEqual([...SEVERITIES]);
  expect(heard.map((record) => record.text)).toEqual(SEVERITIES.map((name) => `said at ${name}`));
  for (const record of heard) {
    expect(record.domain).toBe('or');
    expect(record.wallMs).toBeGreaterThanOrEqual(before);
    expect(record.suppressed).toBeUndefined();
    expect(structuredClone(record)).toEqual(record);
  }
});

test('by default notice and above are wanted', () => {
  const heard = listen();
  for (const severity of SEVERITIES) log[severity]('general', severity);
  expect(heard.map((record) => record.text)).toEqual(['notice', 'warn', 'err']);
});

test('a message below the threshold is never put together', () => {
  const heard = listen();
  setLogThreshold((severity, domain) => domain === 'circ' && severity === 'debug');
  let made = 0;
  const make = () => `made ${++made}`;
  log.debug('channel', make);
  log.info('circ', make);
  log.debug('circ', make);
  expect(made).toBe(1);
  expect(heard.map((record) => record.text)).toEqual(['made 1']);
  expect(isLogged('debug', 'circ')).toBe(true);
  expect(isLogged('warn', 'circ')).toBe(false);
});

test('a rate limit withholds within its period and counts what it withheld', () => {
  const heard = listen();
  let nowMs = 5;
  const limit = new RateLimit(60_000, () => nowMs);
  const warn = () => warnRateLimited(limit, 'protocol', 'bad cell');
  warn();
  nowMs += 1_000;
  warn();
  warn();
  nowMs += 58_999;
  warn();
  expect(heard.map((record) => record.text)).toEqual(['bad cell']);
  nowMs += 1;
  warn();
  expect(heard[1]!.text).toBe('bad cell [3 similar message(s) suppressed in last 60 seconds]');
  expect(heard[1]!.suppressed).toBe(3);
  nowMs += 60_000;
  warn();
  expect(heard[2]!.text).toBe('bad cell');
  expect(heard.length).toBe(3);
});

test('a flood of withheld messages is counted only up to a bound', () => {
  const heard = listen();
  let nowMs = 0;
  const limit = new RateLimit(1_000, () => nowMs);
  for (let i = 0; i < 100_100; i++) warnRateLimited(limit, 'dos', 'flood');
  nowMs = 1_000;
  warnRateLimited(limit, 'dos', 'flood');
  expect(heard[1]!.text).toBe('flood [over 100000 similar message(s) suppressed in last 60 seconds]');
});

test('a message that is not wanted does not use up its rate limit', () => {
  const heard = listen();
  const limit = new RateLimit(60_000, () => 0);
  setLogThreshold(() => false);
  warnRateLimited(limit, 'or', 'unheard');
  setLogThreshold(null);
  warnRateLimited(limit, 'or', 'heard');
  expect(heard.map((record) => record.text)).toEqual(['heard']);
});

test('SafeLogging hides what a relay learns, unless it is 0', () => {
  expect(scrub('192.0.2.1')).toBe('[scrubbed]');
  setSafeLogging('relay');
  expect(scrub('192.0.2.1')).toBe('[scrubbed]');
  setSafeLogging('0');
  expect(scrub('192.0.2.1')).toBe('192.0.2.1');
});

test('the domains are the thirty names that C tor knows', () => {
  expect(DOMAINS.length).toBe(30);
  expect(new Set(DOMAINS).size).toBe(30);
});
