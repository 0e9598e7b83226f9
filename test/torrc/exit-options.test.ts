import { expect, test } from 'bun:test';
import { parseTorrc } from '../../src/torrc/line.ts';
import { buildOptions } from '../../src/torrc/validate.ts';

function build(...lines: string[]) {
  const parsed = parseTorrc(['ORPort 9001', ...lines].join('\n'), 'torrc', () => 'none');
  return buildOptions({ layers: [parsed], torrcName: 'torrc', home: '/home/relay' });
}

test('auto makes an exit of what asks for one', () => {
  const isExit = (...lines: string[]) => build(...lines).options.exit.isExit;
  expect(isExit()).toBe(false);
  expect(isExit('ExitRelay auto')).toBe(false);
  expect(isExit('ExitRelay 1')).toBe(true);
  expect(isExit('ExitPolicy reject *:*')).toBe(true);
  expect(isExit('ReducedExitPolicy 1')).toBe(true);
  expect(isExit('IPv6Exit 1')).toBe(true);
  expect(isExit('ExitPolicyRejectPrivate 0')).toBe(false);
  expect(isExit('ExitRelay 0', 'ExitPolicy accept *:*', 'IPv6Exit 1')).toBe(false);
});

test('what follows the lines', () => {
  const end = (...lines: string[]) => build(...lines).options.exit.end;
  expect(end('ExitRelay 1')).toBe('default');
  expect(end('ReducedExitPolicy 1')).toBe('reduced');
  expect(end('ReducedExitPolicy 1', 'BridgeRelay 1')).toBe('reject');
});

test('the switches', () => {
  expect(build().options.exit).toMatchObject({
    rejectPrivate: true,
    rejectLocalInterfaces: false,
    reevaluate: false,
    refuseUnknown: null,
    ipv6Exit: false,
  });
  const testing = [
    'TestingTorNetwork 1',
    `DirAuthority a orport=1 v3ident=${'1'.repeat(40)} 127.0.0.1:1 ${'2'.repeat(40)}`,
  ];
  expect(build(...testing).options.exit.rejectPrivate).toBe(false);
  expect(build('RefuseUnknownExits 0', 'ReevaluateExitPolicy 1').options.exit).toMatchObject({
    refuseUnknown: false,
    reevaluate: true,
  });
});

test('how names are looked up', () => {
  expect(build().options.dns).toEqual({
    resolvConfFile: null,
    searchDomains: false,
    randomizeCase: true,
    detectHijacking: true,
    testAddresses: ['www.google.com', 'www.mit.edu', 'www.yahoo.com', 'www.slashdot.org'],
    allowNonRfc953: false,
    allowBroken: true,
  });
  expect(
    build('ServerDNSResolvConfFile ~/resolv.conf', 'ServerDNSTestAddresses a.example, b.example').options.dns,
  ).toMatchObject({ resolvConfFile: '/home/relay/resolv.conf', testAddresses: ['a.example', 'b.example'] });
});
