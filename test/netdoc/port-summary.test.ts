import { describe, expect, test } from 'bun:test';
import { Malformed } from '../../src/fault.ts';
import { composeExitPolicy, parsePolicyEntry } from '../../src/netdoc/exit-policy.ts';
import {
  isRejectSummary,
  parseSummary,
  printSummary,
  summarize,
  summaryAllows,
} from '../../src/netdoc/port-summary.ts';
import { readOutcomes } from '../vectors/read.ts';

const VECTORS = 'netdoc/c-tor-exit-policies.txt';

describe('summaries, as C tor makes them', () => {
  for (const [policy, ipv4, ipv6 = ipv4] of readOutcomes(VECTORS, 'summary')) {
    test(policy!.length > 80 ? `${policy!.slice(0, 80)}…` : policy!, () => {
      const rules = policy!.split(',').flatMap((entry) => [...parsePolicyEntry(entry)!.rules]);
      for (const rejectPrivate of [false, true]) {
        for (const end of ['reject', 'default', 'reduced'] as const) {
          const composed = composeExitPolicy({
            rules,
            rejectPrivate,
            end,
            ipv6Exit: true,
            rejectHosts: [],
          });
          expect(printSummary(summarize(composed, 4))).toBe(ipv4!);
          expect(printSummary(summarize(composed, 16))).toBe(ipv6!);
        }
      }
    });
  }
});

describe('parseSummary, as C tor reads', () => {
  for (const [text, outcome] of readOutcomes(VECTORS, 'short')) {
    test(`"${text}"`, () => {
      if (outcome === 'bad') expect(() => parseSummary(text!)).toThrow(Malformed);
      else expect(printSummary(parseSummary(text!))).toBe(outcome!);
    });
  }

  test('refuses more than a thousand ranges', () => {
    const ports = Array.from({ length: 1001 }, (_, i) => i + 1);
    expect(() => parseSummary(`accept ${ports.join(',')}`)).toThrow('too many');
    expect(parseSummary(`accept ${ports.slice(1).join(',')}`).ranges).toHaveLength(1000);
  });
});

test('a summary allows its ports, or all others', () => {
  const accepts = parseSummary('accept 80,100-200');
  expect([79, 80, 81, 99, 100, 200, 201].filter((port) => summaryAllows(accepts, port))).toEqual([
    80, 100, 200,
  ]);
  const rejects = parseSummary('reject 80,100-200');
  expect([79, 80, 100, 201].filter((port) => summaryAllows(rejects, port))).toEqual([79, 201]);
  expect(isRejectSummary(parseSummary('reject 1-65535'))).toBe(true);
  expect(isRejectSummary(parseSummary('accept 1-65535'))).toBe(false);
  expect(isRejectSummary(parseSummary('reject 2-65535'))).toBe(false);
});
