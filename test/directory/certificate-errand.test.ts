import { expect, test } from 'bun:test';
import { encodeHex } from '../../src/bytes/base.ts';
import { CertificateErrand } from '../../src/directory/certificate-errand.ts';
import { Network } from '../../src/directory/network.ts';
import { textOf } from '../netdoc/fixture.ts';
import { AUTHORITIES, CERTIFICATES, NOW_SEC } from './chutney.ts';
import { ErrandRig, type RigAnswer } from './errand-rig.ts';
import { settle, VirtualTime } from './virtual-time.ts';

function makeRig(answer: () => RigAnswer) {
  const time = new VirtualTime(NOW_SEC);
  const network = new Network({
    authorities: AUTHORITIES,
    ownRsaId: new Uint8Array(20),
    ownProtocols: '',
    timing: time,
  });
  const rig = new ErrandRig(network, time, AUTHORITIES, answer);
  let arrived = 0;
  const errand = new CertificateErrand(rig.tools, () => arrived++);
  return { time, network, rig, errand, arrived: () => arrived };
}

test('asks for what is missing, and then for nothing', async () => {
  const { time, rig, errand, network, arrived } = makeRig(() => ({ status: 200, body: CERTIFICATES }));
  errand.start(0);
  await settle();
  const ids = AUTHORITIES.map(({ v3Ident }) => encodeHex(v3Ident!)).sort();
  expect(rig.requests.map(({ path }) => path)).toEqual([`/tor/keys/fp/${ids.join('+')}`]);
  expect([arrived(), network.certificates.all().length]).toEqual([1, 4]);
  await time.pass(3_600_000);
  expect(rig.requests.length).toBe(1);
  errand.stop();
});

test('what one lacks is asked of another, later', async () => {
  const first = textOf(CERTIFICATES).split(/(?=dir-key-certificate-version)/)[0]!;
  const { time, rig, errand, network } = makeRig(() => ({ status: 200, body: first }));
  errand.start(0);
  await settle();
  expect([rig.requests.length, network.certificates.all().length]).toEqual([1, 1]);
  await time.pass(1_800_000);
  expect(rig.requests.length).toBeGreaterThan(2);
  expect(rig.requests[1]!.port).not.toBe(rig.requests[0]!.port);
  expect(rig.requests[1]!.path.split('+').length).toBe(3);
  rig.answer = () => ({ status: 200, body: CERTIFICATES });
  await time.pass(3_600_000);
  expect(network.certificates.missing(NOW_SEC)).toEqual([]);
  errand.stop();
});

test('refusals and nonsense are failures', async () => {
  const answers: RigAnswer[] = [
    { status: 404, body: '' },
    new Error('connection refused'),
    { status: 200, body: 'dir-key-certificate-version 3\nnonsense\n' },
    { status: 200, body: CERTIFICATES },
  ];
  const { time, errand, arrived, rig } = makeRig(() => answers.shift()!);
  errand.start(0);
  await settle();
  await time.pass(3 * 3_600_000);
  expect([arrived(), rig.requests.length]).toEqual([1, 4]);
  errand.stop();
});
