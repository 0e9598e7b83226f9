import { describe, expect, test } from 'bun:test';
import { parseTorrc } from '../../src/torrc/line.ts';
import { buildOptions } from '../../src/torrc/validate.ts';

const AUTHORITY = `DirAuthority a orport=1 v3ident=${'A'.repeat(40)} 127.0.0.1:2 ${'B'.repeat(40)}`;

function build(...lines: string[]) {
  const parsed = parseTorrc(lines.join('\n'), 'torrc', () => 'none');
  return buildOptions({ layers: [parsed], torrcName: 'torrc', home: '/home/relay/' }).options;
}

describe('buildOptions', () => {
  test('without torrc makes a local relay that publishes nothing', () => {
    const { options, notes, warnings } = buildOptions({ layers: [], torrcName: null, home: '/home/relay' });
    expect(warnings).toEqual([]);
    expect(notes).toHaveLength(1);
    expect(notes[0]).toContain('"ORPort 9001" and "ContactInfo you@example.org"');
    expect(options).toMatchObject({
      nickname: 'Unnamed',
      contactInfo: null,
      addresses: [],
      orPorts: [{ host: Uint8Array.of(127, 0, 0, 1), port: 'auto' }],
      publishServerDescriptor: 'none',
      assumeReachable: false,
      numCpus: 0,
      maxOnionQueueDelayMs: null,
      circuitPriorityHalfLifeMs: null,
      extendAllowPrivateAddresses: false,
      dataDirectory: '/home/relay/.tor',
      keyDirectory: '/home/relay/.tor/keys',
      dataDirectoryGroupReadable: false,
      logs: [],
      safeLogging: '1',
      heartbeatPeriodSec: 21600,
      shutdownWaitLengthSec: 30,
      pidFile: null,
      user: null,
      runAsDaemon: false,
      dirAuthorities: [],
      testingTorNetwork: false,
      bandwidthRate: 1073741824,
      bandwidthBurst: 1073741824,
      maxAdvertisedBandwidth: 1073741824,
      explicit: [],
    });
    expect(Object.isFrozen(options)).toBe(true);
    expect(structuredClone(options)).toEqual(options);
  });

  test('types what acts', () => {
    const options = build(
      'Nickname alice',
      'ORPort 9001',
      'Address 192.0.2.1',
      'Address relay.example.org',
      'OutboundBindAddress 192.0.2.3',
      'OutboundBindAddressOR [2001:db8::3]',
      'NumCPUs 4',
      'MaxOnionQueueDelay 2 seconds',
      'AssumeReachable 1',
      'DataDirectory ~/data/',
      'DataDirectoryGroupReadable 1',
      'SafeLogging relay',
      'User tor',
      'Log notice file ~/log',
      'CircuitPriorityHalflife 1.5',
    );
    expect(options).toMatchObject({
      nickname: 'alice',
      addresses: ['192.0.2.1', 'relay.example.org'],
      numCpus: 4,
      maxOnionQueueDelayMs: 2000,
      circuitPriorityHalfLifeMs: 1500,
      assumeReachable: true,
      assumeReachableIpv6: true,
      publishServerDescriptor: 'v3',
      dataDirectory: '/home/relay/data/',
      keyDirectory: '/home/relay/data/keys',
      keyDirectoryGroupReadable: false,
      cacheDirectory: '/home/relay/data/',
      cacheDirectoryGroupReadable: true,
      safeLogging: 'relay',
      user: 'tor',
    });
    expect(options.outboundBindAddress.any.ipv4).toEqual(Uint8Array.of(192, 0, 2, 3));
    expect(options.outboundBindAddress.or.ipv6?.length).toBe(16);
    expect(options.logs[0]).toMatchObject({
      target: { kind: 'file', path: '/home/relay/log' },
      where: 'torrc:14',
    });
    expect(options.logs[0]!.domains.info).toEqual([]);
    expect(options.logs[0]!.domains.notice).toContain('or');
  });

  test('takes the defaults of a test network, and lines over them', () => {
    const options = build(
      'TestingTorNetwork 1',
      AUTHORITY,
      'ORPort 127.0.0.1:9001',
      'TestingDirConnectionMaxStall 60',
    );
    expect(options).toMatchObject({
      testingTorNetwork: true,
      extendAllowPrivateAddresses: true,
      dirAllowPrivateAddresses: true,
      testing: {
        dirConnectionMaxStallSec: 60,
        minTimeToReportBandwidthSec: 0,
        linkCertLifetimeSec: 172800,
        signingKeySlopSec: 86400,
      },
    });
    expect(options.dirAuthorities[0]!.where).toBe('torrc:2');
  });

  test('never publishes a bridge to the public authorities', () => {
    expect(build('BridgeRelay 1', 'ORPort 9001').publishServerDescriptor).toBe('bridge');
    expect(build('ORPort 9001', 'DisableNetwork 1').publishServerDescriptor).toBe('none');
    expect(build('ORPort 0').publishServerDescriptor).toBe('none');
  });

  test('merges bandwidths as C tor does', () => {
    expect(build('RelayBandwidthBurst 2 GB')).toMatchObject({
      relayBandwidthRate: 2147483647,
      relayBandwidthBurst: 2147483647,
      bandwidthRate: 2147483647,
      bandwidthBurst: 2147483647,
    });
  });

  test('reads log domains', () => {
    const { domains, target } = build('Log [or,net]debug-info [~or]warn syslog').logs[0]!;
    expect(target).toEqual({ kind: 'syslog' });
    expect(domains.debug).toEqual(['net', 'or']);
    expect(domains.notice).toEqual([]);
    expect(domains.warn).not.toContain('or');
    expect(domains.err).toContain('net');
  });
});
