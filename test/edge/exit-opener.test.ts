/** BEGIN: who may ask, what is looked up, what is connected to, and with which END it is refused. */
import { describe, expect, test } from 'bun:test';
import { parseIp } from '../../src/bytes/address.ts';
import type { AddressRule } from '../../src/bytes/address-rule.ts';
import { EndReason } from '../../src/cell/reason.ts';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import {
  BeginFlag,
  encodeBegin,
  encodeConnected,
  encodeEnd,
  encodePolicyEnd,
} from '../../src/cell/stream-message.ts';
import { CONNECT_TIMEOUT_MS } from '../../src/edge/exit-opener.ts';
import type { CounterName } from '../../src/shm/scoreboard.ts';
import { ACCEPT_ALL, ExitRig, PREV_HOST, PREV_PORT } from './exit-rig.ts';

const ip = (text: string): Uint8Array => parseIp(text)!;
const reject = (host: string, bits: number, portMin = 1, portMax = 65535): AddressRule => ({
  accept: false,
  host: ip(host),
  bits,
  portMin,
  portMax,
});

function expectRefused(rig: ExitRig, data: Uint8Array, reason: number, counter: CounterName): void {
  rig.say(RelayCommand.BEGIN, 7, data);
  rig.expect(RelayCommand.END, 7, encodeEnd(reason));
  expect(rig.count(counter)).toBe(1);
  expect(rig.count('streams_refused')).toBe(1);
  expect(rig.destinations.connections).toEqual([]);
  rig.expectNoStreams();
}

describe('who may ask', () => {
  test('not a client that is linked directly', () => {
    const rig = new ExitRig({ prev: 'client' });
    expectRefused(rig, encodeBegin('192.0.2.9:80'), EndReason.TORPROTOCOL, 'stream_first_hop_refused');
  });

  test('not over a relay that the consensus does not list, unless the options allow it', () => {
    const rig = new ExitRig({ prev: 'unlisted' });
    expectRefused(rig, encodeBegin('192.0.2.9:80'), EndReason.MISC, 'stream_unknown_hop_refused');
    new ExitRig({ prev: 'unlisted', exit: { refuseUnknown: false } }).stream(7);
  });

  test('nobody while we shut down', () => {
    const rig = new ExitRig();
    rig.plane.hibernating = true;
    expectRefused(rig, encodeBegin('192.0.2.9:80'), EndReason.HIBERNATING, 'stream_hibernating_refused');
    rig.edge.directory = () => {
      throw new Error('not asked');
    };
    rig.say(RelayCommand.BEGIN_DIR, 8);
    rig.expect(RelayCommand.END, 8, encodeEnd(EndReason.HIBERNATING));
  });

  test('nobody for what cannot be read', () => {
    const texts = ['192.0.2.9:80', '192.0.2.9\0', '192.0.2.9:0\0', ':80\0', '::1\0'];
    for (const text of texts) {
      const data = new TextEncoder().encode(text);
      expectRefused(new ExitRig(), data, EndReason.TORPROTOCOL, 'stream_begin_malformed');
    }
  });
});

describe('policy', () => {
  const rules = [reject('192.0.2.0', 24, 1, 100), ...ACCEPT_ALL];

  test('refuses an address with that address', () => {
    const rig = new ExitRig({ exit: { rules } });
    rig.say(RelayCommand.BEGIN, 7, encodeBegin('192.0.2.9:80'));
    rig.expect(RelayCommand.END, 7, encodePolicyEnd(ip('192.0.2.9'), 1800));
    expect(rig.count('stream_policy_refused')).toBe(1);
    rig.stream(8, '192.0.2.9:101');
  });

  test('is asked about the address that a name has', () => {
    const rig = new ExitRig({ exit: { rules } });
    rig.destinations.known.set('bad.example', { ipv4: ip('192.0.2.77'), ttlSec: 333 });
    rig.say(RelayCommand.BEGIN, 7, encodeBegin('bad.example:80'));
    rig.expect(RelayCommand.END, 7, encodePolicyEnd(ip('192.0.2.77'), 333));
    expect(rig.destinations.connections).toEqual([]);
    rig.expectNoStreams();
  });

  test('that accepts nothing looks no names up', () => {
    const rig = new ExitRig({ exit: { rules: [reject('0.0.0.0', 0), reject('::', 0)] } });
    expectRefused(rig, encodeBegin('name.example:80'), EndReason.RESOLVEFAILED, 'stream_policy_refused');
    expect(rig.destinations.questions).toEqual([]);
  });

  test('without IPv6Exit there is no IPv6', () => {
    const rig = new ExitRig({ exit: { ipv6Exit: false } });
    rig.say(RelayCommand.BEGIN, 7, encodeBegin('[2001:db8::1]:80', BeginFlag.IPV6_OK));
    rig.expect(RelayCommand.END, 7, encodePolicyEnd(ip('2001:db8::1'), 1800));
    rig.say(RelayCommand.BEGIN, 8, encodeBegin('name.example:80', BeginFlag.IPV6_OK | BeginFlag.IPV4_NOT_OK));
    rig.expect(RelayCommand.END, 8, encodeEnd(EndReason.EXITPOLICY));
    rig.say(RelayCommand.BEGIN, 9, encodeBegin('name.example:80', BeginFlag.IPV6_OK));
    expect(rig.destinations.questions.map(({ want }) => want)).toEqual([{ ipv4: true, ipv6: false }]);
  });

  test('that becomes stricter ends streams, if it is to be held against them', () => {
    for (const reevaluate of [true, false]) {
      const rig = new ExitRig();
      rig.stream(7, '192.0.2.9:80');
      rig.stream(8, '198.51.100.200:80');
      rig.say(RelayCommand.BEGIN, 9, encodeBegin('slow.example:80'));
      const { exit } = rig.plane.options;
      rig.relay.reload({ exit: { ...exit, reevaluate, rules } });
      rig.settle();
      if (reevaluate) rig.expect(RelayCommand.END, 7, encodePolicyEnd(ip('192.0.2.9'), 1800));
      rig.expectSilence();
      expect(rig.count('stream_policy_closed')).toBe(reevaluate ? 1 : 0);
      // New ones are held to it either way.
      rig.destinations.questions[0]!.answer({ ipv4: ip('192.0.2.1') });
      rig.settle();
      rig.expect(RelayCommand.END, 9, encodePolicyEnd(ip('192.0.2.1'), 300));
    }
  });
});

describe('the network itself', () => {
  test('is not connected to, unless the consensus allows it', () => {
    const target = `${PREV_HOST.join('.')}:${PREV_PORT}`;
    expectRefused(new ExitRig(), encodeBegin(target), EndReason.CONNECTREFUSED, 'stream_reentry_refused');
    new ExitRig({ exit: { allowReentry: true } }).stream(7, target);
    // Another port of a relay's host is anyone's.
    new ExitRig().stream(7, `${PREV_HOST.join('.')}:80`);
  });
});

describe('names', () => {
  test('are looked up in the families that the client takes', () => {
    const rig = new ExitRig();
    for (const flags of [
      0,
      BeginFlag.IPV6_OK,
      BeginFlag.IPV6_OK | BeginFlag.IPV4_NOT_OK,
      BeginFlag.IPV4_NOT_OK,
    ]) {
      rig.say(RelayCommand.BEGIN, 10 + flags, encodeBegin('Name.Example:80', flags));
    }
    expect(rig.destinations.questions.map(({ name, want }) => [name, want])).toEqual([
      ['name.example', { ipv4: true, ipv6: false }],
      ['name.example', { ipv4: true, ipv6: true }],
      ['name.example', { ipv4: false, ipv6: true }],
      ['name.example', { ipv4: true, ipv6: false }],
    ]);
    // Nothing that this one may have was found.
    rig.destinations.questions[3]!.answer({ ipv4: ip('192.0.2.1') });
    rig.settle();
    rig.expect(RelayCommand.END, 12, encodeEnd(EndReason.RESOLVEFAILED));
  });

  const both = { ipv4: ip('192.0.2.1'), ipv6: ip('2001:db8::1'), ttlSec: 301 };

  test('with both addresses give the one that the client prefers, or the one that the policy allows', () => {
    const cases: [number, readonly AddressRule[], string][] = [
      [BeginFlag.IPV6_OK, ACCEPT_ALL, '192.0.2.1'],
      [BeginFlag.IPV6_OK | BeginFlag.IPV6_PREFERRED, ACCEPT_ALL, '2001:db8::1'],
      [BeginFlag.IPV6_OK | BeginFlag.IPV6_PREFERRED, [reject('2001:db8::', 32), ...ACCEPT_ALL], '192.0.2.1'],
      [BeginFlag.IPV6_OK, [reject('192.0.2.0', 24), ...ACCEPT_ALL], '2001:db8::1'],
      [BeginFlag.IPV6_OK | BeginFlag.IPV4_NOT_OK, ACCEPT_ALL, '2001:db8::1'],
    ];
    for (const [flags, rules, host] of cases) {
      const rig = new ExitRig({ exit: { rules } });
      rig.destinations.known.set('both.example', both);
      rig.say(RelayCommand.BEGIN, 7, encodeBegin('both.example:80', flags));
      expect(rig.destinations.last.request.host).toBe(host);
      rig.destinations.last.accept();
      rig.settle();
      rig.expect(RelayCommand.CONNECTED, 7, encodeConnected(ip(host), 301));
    }
  });

  test('that are not found end the stream', () => {
    for (const failure of ['not-found', 'transient'] as const) {
      const rig = new ExitRig();
      rig.destinations.known.set('gone.example', { failure });
      expectRefused(rig, encodeBegin('gone.example:80'), EndReason.RESOLVEFAILED, 'stream_resolve_failed');
    }
  });

  test('whose stream is gone are not waited for', () => {
    const rig = new ExitRig();
    rig.say(RelayCommand.BEGIN, 7, encodeBegin('slow.example:80'));
    rig.say(RelayCommand.DATA, 7, Uint8Array.of(1, 2, 3));
    rig.say(RelayCommand.END, 7, encodeEnd(EndReason.DONE));
    expect(rig.destinations.questions[0]!.cancelled).toBe(true);
    rig.expectNoStreams();
  });
});

describe('connecting', () => {
  test('leaves from the address that torrc binds to', () => {
    const rig = new ExitRig({ exit: { bindIpv4: '203.0.113.1', bindIpv6: '2001:db8::9' } });
    rig.stream(7, '192.0.2.9:80');
    expect(rig.destinations.last.request.bind).toBe('203.0.113.1');
    rig.stream(8, '[2001:db8::5]:80');
    expect(rig.destinations.last.request).toEqual({ host: '2001:db8::5', port: 80, bind: '2001:db8::9' });
  });

  test('that fails ends the stream with the reason', () => {
    for (const [code, reason] of [
      ['ECONNREFUSED', EndReason.CONNECTREFUSED],
      ['ENETUNREACH', EndReason.NOROUTE],
      ['ETIMEDOUT', EndReason.TIMEOUT],
      ['EADDRNOTAVAIL', EndReason.RESOURCELIMIT],
      ['ESTRANGE', EndReason.MISC],
    ] as const) {
      const rig = new ExitRig();
      rig.say(RelayCommand.BEGIN, 7, encodeBegin('192.0.2.9:80'));
      rig.say(RelayCommand.DATA, 7, Uint8Array.of(1, 2, 3));
      rig.destinations.last.fail(code);
      rig.settle();
      rig.expect(RelayCommand.END, 7, encodeEnd(reason));
      rig.expectNoStreams();
    }
  });

  test('takes a minute at most; what comes later is closed', () => {
    const rig = new ExitRig();
    rig.say(RelayCommand.BEGIN, 7, encodeBegin('192.0.2.9:80'));
    rig.stream(8);
    rig.pass(CONNECT_TIMEOUT_MS - 1000);
    rig.expectSilence();
    rig.pass(2000);
    rig.expect(RelayCommand.END, 7, encodeEnd(EndReason.TIMEOUT));
    rig.expectSilence();
    expect(rig.count('stream_connect_timeout')).toBe(1);
    expect(rig.edge.desk.sockets).toBe(2);
    expect(rig.destinations.connections[0]!.accept()).toBe(false);
    expect(rig.edge.desk.sockets).toBe(1);
  });

  test('is refused when no socket is left', () => {
    const rig = new ExitRig({ options: { linksMax: 2 } });
    rig.stream(7);
    rig.say(RelayCommand.BEGIN, 8, encodeBegin('192.0.2.9:80'));
    rig.expect(RelayCommand.END, 8, encodeEnd(EndReason.RESOURCELIMIT));
    expect(rig.count('stream_sockets_exhausted')).toBe(1);
  });
});
