import { afterEach, beforeEach, expect, test } from 'bun:test';
import { Network } from '../../src/directory/network.ts';
import { type LogRecord, setLogSink, setLogThreshold } from '../../src/log.ts';
import { makeAuthority, type PaperConsensus, printCertificate, printConsensus } from './paper-network.ts';
import { VirtualTime } from './virtual-time.ts';

const T0 = Date.UTC(2026, 10, 22, 12) / 1000;
const OWN_ID = new Uint8Array(20).fill(77);
const PAPERS = [makeAuthority('a', 1), makeAuthority('b', 2), makeAuthority('c', 3)];
const DAY = 86400;

let records: LogRecord[] = [];

beforeEach(() => {
  records = [];
  setLogThreshold((severity) => severity === 'notice' || severity === 'warn');
  setLogSink((record) => records.push(record));
});

afterEach(() => {
  setLogSink(null);
  setLogThreshold(null);
});

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function makeNetwork(startSec = T0): { network: Network; time: VirtualTime } {
  const time = new VirtualTime(startSec);
  const network = new Network({
    authorities: PAPERS.map((paper) => paper.authority),
    ownRsaId: OWN_ID,
    ownProtocols: 'Link=4-5 Relay=2-4',
    timing: time,
  });
  return { network, time };
}

function withCertificates(startSec = T0) {
  const made = makeNetwork(startSec);
  made.network.certificates.add(
    bytes(PAPERS.map((paper) => printCertificate(paper, T0 - DAY, T0 + 90 * DAY)).join('')),
  );
  return made;
}

function paper(more: Partial<PaperConsensus> = {}): PaperConsensus {
  return { flavour: 'microdesc', validAfterSec: T0, intervalSec: 3600, ...more };
}

test('a consensus counts with good signatures of more than half of the authorities', () => {
  for (const flavour of ['ns', 'microdesc'] as const) {
    const { network } = withCertificates();
    const one = network.offer(
      flavour,
      bytes(printConsensus(paper({ flavour }), PAPERS, PAPERS.slice(0, 1))),
      'test',
    );
    expect(one).toEqual({ kind: 'refused', why: 'only 1 good signatures of the 2 that it takes' });
    const two = network.offer(
      flavour,
      bytes(printConsensus(paper({ flavour }), PAPERS, PAPERS.slice(1))),
      'test',
    );
    expect(two.kind).toBe('accepted');
    expect(network.consensus(flavour)!.validAfterSec).toBe(T0);
  }
});

test('a changed byte, another flavour, and junk are refused', () => {
  const { network } = withCertificates();
  const text = printConsensus(paper({ params: 'circwindow=900' }), PAPERS);
  expect(network.offer('microdesc', bytes(text.replace('=900', '=901')), 'test').kind).toBe('refused');
  expect(network.offer('ns', bytes(text), 'test')).toMatchObject({
    kind: 'refused',
    why: 'is of flavour microdesc',
  });
  expect(network.offer('ns', bytes('junk\n'), 'test').kind).toBe('refused');
  expect(network.hasConsensus).toBe(false);
});

test('the same one again, and an older one, change nothing; a long expired one is refused', () => {
  const { network } = withCertificates();
  expect(network.offer('ns', bytes(printConsensus(paper({ flavour: 'ns' }), PAPERS)), 'test').kind).toBe(
    'accepted',
  );
  expect(network.offer('ns', bytes(printConsensus(paper({ flavour: 'ns' }), PAPERS)), 'test').kind).toBe(
    'not-newer',
  );
  const old = paper({ flavour: 'ns', validAfterSec: T0 - 3600 });
  expect(network.offer('ns', bytes(printConsensus(old, PAPERS)), 'test').kind).toBe('not-newer');
  const ancient = paper({ validAfterSec: T0 - 6 * DAY });
  expect(network.offer('microdesc', bytes(printConsensus(ancient, PAPERS)), 'test').kind).toBe('refused');
});

test('one that lacks certificates waits for them', () => {
  const { network } = makeNetwork();
  const verdict = network.offer('microdesc', bytes(printConsensus(paper(), PAPERS)), 'test');
  expect(verdict.kind).toBe('needs-certificates');
  expect(network.isWaiting('microdesc')).toBe(true);
  expect(network.neededCertificates().length).toBe(3);
  network.certificates.add(bytes(printCertificate(PAPERS[0]!, T0 - DAY, T0 + DAY)));
  expect(network.reviewWaiting()).toEqual([]);
  network.certificates.add(bytes(printCertificate(PAPERS[2]!, T0 - DAY, T0 + DAY)));
  expect(network.reviewWaiting()).toEqual(['microdesc']);
  expect(network.isWaiting('microdesc')).toBe(false);
});

test('certificates: strangers, forgeries and repetitions are left out, superseded ones dropped', () => {
  const { network } = makeNetwork();
  const stranger = makeAuthority('x', 9);
  const good = printCertificate(PAPERS[0]!, T0 - 10 * DAY, T0 + 10 * DAY);
  const forged = printCertificate({ ...PAPERS[1]!, signing: PAPERS[1]!.signing }, T0 - DAY, T0 + DAY).replace(
    /dir-key-expires .*/,
    'dir-key-expires 2036-01-01 00:00:00',
  );
  const result = network.certificates.add(
    bytes(good + printCertificate(stranger, T0, T0 + DAY) + forged + good),
  );
  expect([result.added.length, result.unknown, result.problems.length]).toEqual([1, 1, 1]);
  expect(network.certificates.missing(T0).length).toBe(2);
  expect(network.certificates.missing(T0 + 11 * DAY).length).toBe(3);
  network.certificates.add(bytes(printCertificate(PAPERS[0]!, T0 - 3 * DAY, T0 + 20 * DAY)));
  expect(network.certificates.dropOld(T0)).toBe(true);
  expect(network.certificates.all().length).toBe(1);
  expect(new TextDecoder().decode(network.certificates.print())).toContain('dir-key-certification');
});

test('parameters are clamped and default', () => {
  const { network } = withCertificates();
  expect(network.param('circwindow')).toBe(1000);
  network.offer(
    'ns',
    bytes(printConsensus(paper({ flavour: 'ns', params: 'circwindow=5000 nf_pad_relays=1' }), PAPERS)),
    'test',
  );
  expect(network.param('circwindow')).toBe(1000);
  expect(network.param('nf_pad_relays')).toBe(1);
  const later = paper({ validAfterSec: T0 + 3600, params: 'assume-reachable=1 circwindow=200' });
  network.offer('microdesc', bytes(printConsensus(later, PAPERS)), 'test');
  expect(network.param('circwindow')).toBe(200);
  expect(network.param('assume-reachable')).toBe(1);
});

test('our flags and bandwidth are told on change only', () => {
  const { network } = withCertificates(T0 + 5 * 3600);
  const offer = (
    hour: number,
    flags: string | null,
    weight: string,
    flavour: 'ns' | 'microdesc' = 'microdesc',
  ) => {
    const relays = flags === null ? [] : [{ rsaId: OWN_ID, flags, weight }];
    const text = printConsensus(paper({ flavour, validAfterSec: T0 + hour * 3600, relays }), PAPERS);
    expect(network.offer(flavour, bytes(text), 'test').kind).toBe('accepted');
  };
  offer(0, null, '');
  expect(records).toEqual([]);
  offer(1, 'Running Valid', 'Bandwidth=20 Unmeasured=1');
  offer(1, 'Running Valid', 'Bandwidth=20 Unmeasured=1', 'ns');
  offer(2, 'Running Valid', 'Bandwidth=20 Unmeasured=1');
  offer(3, 'Fast Running Valid', 'Bandwidth=1234');
  offer(4, null, '');
  offer(5, null, '');
  expect(records.map((record) => record.text)).toEqual([
    'The consensus of 2026-11-22 13:00:00 lists this relay: flags Running Valid; bandwidth (not measured yet) 20 kB/s.',
    'The consensus of 2026-11-22 15:00:00 lists this relay: flags Fast Running Valid; measured bandwidth 1234 kB/s.',
    'The consensus of 2026-11-22 16:00:00 no longer lists this relay.',
  ]);
  expect(network.ownStatus).toBeNull();
});

test('how a live consensus lists us is what the publisher asks for', () => {
  const { network } = withCertificates();
  expect(network.ownListing(T0)).toBeNull();
  const relays = [{ rsaId: OWN_ID, flags: 'Running StaleDesc Valid', weight: 'Bandwidth=1' }];
  network.offer('ns', bytes(printConsensus(paper({ flavour: 'ns', relays }), PAPERS)), 'test');
  expect(network.ownListing(T0 + 1)).toEqual({ listed: true, stale: true, validAfterSec: T0 });
  expect(network.ownListing(T0 + 4 * 3600)).toBeNull();
});

test('required protocols that we lack are named for the publisher, recommended ones in the log', () => {
  const { network } = withCertificates();
  const consensus = paper({
    requiredRelayProtocols: 'HSDir=2 Link=4-5 Relay=2',
    recommendedRelayProtocols: 'Relay=2-6',
  });
  network.offer('microdesc', bytes(printConsensus(consensus, PAPERS)), 'test');
  expect(network.missingRequired).toBe('HSDir=2');
  expect(records.map((record) => record.text)).toEqual([
    'The consensus recommends relay protocols that this version lacks: Relay=5-6.',
  ]);
});

test('a clock that differs by over half an hour is warned of, once an hour', async () => {
  const { network, time } = makeNetwork();
  network.noteServerDate(new Date((T0 + 1700) * 1000).toUTCString(), T0, 'a');
  network.noteServerDate('not a date', T0, 'a');
  expect(records).toEqual([]);
  network.noteServerDate(new Date((T0 - 7500) * 1000).toUTCString(), T0, 'a');
  network.noteServerDate(new Date((T0 - 7500) * 1000).toUTCString(), T0, 'b');
  expect(records.length).toBe(1);
  expect(records[0]!.text).toContain('Our clock is 2 hours and 5 minutes ahead of that of authority a.');
  await time.pass(3_600_001);
  network.noteServerDate(new Date((T0 + 4 * DAY) * 1000).toUTCString(), T0, 'b');
  expect(records.at(-1)!.text).toContain('4 days behind');
});

test('a consensus from the future says that our clock is slow', () => {
  const { network } = withCertificates(T0 - 7200);
  network.offer('ns', bytes(printConsensus(paper({ flavour: 'ns' }), PAPERS)), 'test');
  expect(records[0]!.text).toContain('at least 2 hours and 0 minutes behind the consensus');
});
