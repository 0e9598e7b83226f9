/** Exit policies from far: the summaries of C tor's authorities, and who is an exit. */
import { describe, expect, test } from 'bun:test';
import { encodeHex } from '../../src/bytes/base.ts';
import { Malformed } from '../../src/fault.ts';
import { parseServerDescriptor } from '../../src/netdoc/server-descriptor.ts';
import { viewPolicy } from '../../src/testnet/policy-view.ts';
import { readDocuments, textOf } from '../netdoc/fixture.ts';

describe('an exit policy from far', () => {
  test('looks as in a consensus of C tor', () => {
    const text = textOf(readDocuments('chutney-consensus-ns.txt', 'network-status-version')[0]!);
    const entries = text.split(/^r /m).slice(1);
    let compared = 0;
    for (const document of readDocuments('chutney-descriptors.txt', 'router')) {
      const descriptor = parseServerDescriptor(document);
      const id = Buffer.from(descriptor.rsaId).toString('base64').replace(/=+$/, '');
      const digest = Buffer.from(descriptor.digestSha1).toString('base64').replace(/=+$/, '');
      const entry = entries.find((one) => one.includes(` ${id} ${digest} `));
      if (entry === undefined) continue;
      const view = viewPolicy(descriptor.policy);
      expect(view.summary, encodeHex(descriptor.rsaId)).toBe(/^p (.*)$/m.exec(entry)![1]!);
      compared++;
    }
    expect(compared).toBeGreaterThan(5);
  });

  test.each([
    [['accept *:80', 'accept *:443', 'reject *:*'], true],
    [['accept *:80', 'reject *:*'], false],
    [['accept 127.0.0.0/8:*', 'reject *:*'], true],
    [['accept 127.0.0.0/9:*', 'reject *:*'], false],
    [['reject 127.0.0.1:80', 'accept 127.0.0.0/8:*', 'reject *:*'], false],
    [['reject 0.0.0.0/1:*', 'reject 128.0.0.0/1:443', 'accept *:*'], false],
    [['reject 0.0.0.0/1:*', 'accept *:*'], true],
    [['reject 10.0.0.0/8:*', 'accept *:*'], true],
    [['reject *:*'], false],
  ])('%j: exit %p', (lines, isExit) => expect(viewPolicy(lines).isExit).toBe(isExit));

  test('that does not read is malformed', () => {
    expect(() => viewPolicy(['accept *:80', 'accept nonsense'])).toThrow(Malformed);
  });
});
