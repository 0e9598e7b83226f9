/** Fuzzes what exits are configured and described by: policy entries, port summaries, resolver configurations. */
import { deepStrictEqual } from 'node:assert';
import { parseResolvConf } from '../../src/dns/resolv-conf.ts';
import { Malformed } from '../../src/fault.ts';
import { type PolicyPlace, parsePolicyEntry, printRule } from '../../src/netdoc/exit-policy.ts';
import { parseSummary, printSummary } from '../../src/netdoc/port-summary.ts';
import { readOutcomes } from '../vectors/read.ts';
import { fuzz } from './fuzz.ts';

const VECTORS = 'netdoc/c-tor-exit-policies.txt';
const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'));
const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const words = ['accept', 'reject6', 'private:', '*4', '*6', '[::1]', '/255.255.0.0', '-', '65535'].map(
  bytesOf,
);

for (const place of ['torrc', 'descriptor'] as const satisfies readonly PolicyPlace[]) {
  fuzz(`policy-entry-${place}`, {
    corpus: [
      'accept *:80',
      'reject6 [fc00::]/7:*',
      'accept 192.0.2.0/255.255.255.0:1-1024',
      'reject private:*',
      'accept6 2001:db8::/32',
    ].map(bytesOf),
    dictionary: words,
    run: (bytes) => {
      const entry = parsePolicyEntry(textOf(bytes), place);
      if (entry === null) throw new Malformed('policy entry', 'does not read');
      for (const rule of entry.rules) {
        const again = parsePolicyEntry(printRule(rule, place), place);
        // A range for every address prints as a wildcard.
        const plain = rule.bits === 0 ? { ...rule, host: new Uint8Array(rule.host.length) } : rule;
        deepStrictEqual(again?.rules, [plain]);
      }
    },
    cases: 5000,
  });
}

fuzz('port-summary', {
  corpus: readOutcomes(VECTORS, 'short')
    .filter(([, outcome]) => outcome !== 'bad')
    .map(([text]) => bytesOf(text!)),
  dictionary: words,
  run: (bytes) => {
    const summary = parseSummary(textOf(bytes));
    deepStrictEqual(parseSummary(printSummary(summary)), summary);
  },
  cases: 5000,
});

fuzz('resolv-conf', {
  corpus: [
    'nameserver 192.0.2.1\nnameserver [2001:db8::1]:5353\nsearch a.example b.example\noptions ndots:2',
  ].map(bytesOf),
  dictionary: ['nameserver ', 'domain ', 'search ', 'options ndots:', ':53'].map(bytesOf),
  run: (bytes) => {
    const { nameservers, search, ndots } = parseResolvConf(textOf(bytes));
    const isGood = nameservers.every(
      ({ host, port }) => (host.length === 4 || host.length === 16) && port > 0,
    );
    if (!isGood || nameservers.length > 8 || search.length > 16 || ndots > 15)
      throw new Error('out of bounds');
  },
});
