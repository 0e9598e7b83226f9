import { describe, expect, test } from 'bun:test';
import { parseIp } from '../../src/bytes/address.ts';
import { buildCell, CELL_BYTES } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import { encodeNetinfo } from '../../src/cell/link-handshake.ts';
import { LinkHandshake } from '../../src/channel/handshake.ts';
import { Bug } from '../../src/fault.ts';
import { makeTestRelay } from './credentials.ts';
import {
  byteByByte,
  type Cut,
  INITIATOR_ADDRESS,
  initiatorConfig,
  join,
  makePair,
  NOW_SEC,
  RESPONDER_ADDRESS,
  responderConfig,
  shakeHands,
  whole,
} from './pair.ts';
import {
  certsCell,
  challengeCell,
  clientNetinfoCell,
  expectMalformed,
  expectViolation,
  relayNetinfoCell,
  responderFlight,
  versionsCell,
  vpaddingCell,
} from './script.ts';

const alice = makeTestRelay(NOW_SEC);
const bob = makeTestRelay(NOW_SEC);
const pairOptions = { initiator: alice.credentials, responder: bob.credentials };

function idsOf(relay: typeof alice) {
  return { rsaId: relay.credentials.rsaId, ed25519Id: relay.credentials.ed25519Id };
}

function startedInitiator(
  changes: Parameters<typeof initiatorConfig>[0]['forInitiator'] = {},
): LinkHandshake {
  const handshake = new LinkHandshake(initiatorConfig({ ...pairOptions, forInitiator: changes }));
  handshake.start();
  return handshake;
}

function newResponder(changes: Parameters<typeof responderConfig>[0]['forResponder'] = {}): LinkHandshake {
  const handshake = new LinkHandshake(responderConfig({ ...pairOptions, forResponder: changes }));
  expect(handshake.start()).toHaveLength(0);
  return handshake;
}

describe('two relays', () => {
  const thirds: Cut = (bytes) => {
    const chunks: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; at += 333) chunks.push(bytes.slice(at, at + 333));
    return chunks;
  };
  for (const [name, cut] of [
    ['in whole flights', whole],
    ['in chunks of 333 bytes', thirds],
    ['byte by byte', byteByByte],
  ] as const) {
    test(`prove themselves to each other ${name}`, () => {
      const { initiator, responder } = shakeHands(makePair(pairOptions), cut);
      expect(initiator).toEqual({
        linkProtocol: 5,
        peer: idsOf(bob),
        weAuthenticated: true,
        peerAddresses: [RESPONDER_ADDRESS],
        ourAddressSeen: INITIATOR_ADDRESS,
        clockSkewSec: 0,
      });
      expect(responder).toEqual({
        linkProtocol: 5,
        peer: idsOf(alice),
        weAuthenticated: true,
        peerAddresses: [INITIATOR_ADDRESS],
        ourAddressSeen: RESPONDER_ADDRESS,
        clockSkewSec: 0,
      });
    });
  }

  test('agree on link protocol 4 when one speaks no other', () => {
    for (const side of ['forInitiator', 'forResponder'] as const) {
      const outcome = shakeHands(makePair({ ...pairOptions, [side]: { linkProtocols: [4] } }));
      expect([outcome.initiator.linkProtocol, outcome.responder.linkProtocol]).toEqual([4, 4]);
    }
  });

  test('accept the identities that were expected, with and without Ed25519', () => {
    for (const ed25519Id of [bob.credentials.ed25519Id, null]) {
      const expected = { rsaId: bob.credentials.rsaId, ed25519Id };
      const outcome = shakeHands(makePair({ ...pairOptions, forInitiator: { expected } }));
      expect(outcome.initiator.peer).toEqual(idsOf(bob));
    }
  });

  test('send nothing but VERSIONS until the responder is proven, then everything at once', () => {
    const initiator = new LinkHandshake(initiatorConfig(pairOptions));
    expect(initiator.start()).toEqual(versionsCell([4, 5]));
    expect(initiator.receive(versionsCell()).write).toHaveLength(0);
    expect(initiator.receive(certsCell(bob.credentials.responderCerts)).write).toHaveLength(0);
    const { write, outcome } = initiator.receive(challengeCell());
    expect(outcome).toBeNull();
    const certs = certsCell(alice.credentials.initiatorCerts);
    expect(write.subarray(0, certs.length)).toEqual(certs);
    expect(write.subarray(certs.length, certs.length + 7)).toEqual(Uint8Array.of(0, 0, 0, 0, 131, 1, 100));
    expect(write.subarray(write.length - CELL_BYTES)[4]).toBe(Command.NETINFO);
    expect(write).toHaveLength(certs.length + 7 + 356 + CELL_BYTES);
  });

  test('keep IPv6 addresses, and name an IPv4-mapped peer by its IPv4 address', () => {
    const v6 = parseIp('2001:db8::7')!;
    const outcome = shakeHands(
      makePair({
        ...pairOptions,
        forInitiator: { ownAddresses: [INITIATOR_ADDRESS, v6], peerAddress: parseIp('2001:db8::9')! },
        forResponder: { peerAddress: parseIp('::ffff:192.0.2.7')! },
      }),
    );
    expect(outcome.responder.peerAddresses).toEqual([INITIATOR_ADDRESS, v6]);
    expect(outcome.responder.ourAddressSeen).toEqual(parseIp('2001:db8::9'));
    expect(outcome.initiator.ourAddressSeen).toEqual(INITIATOR_ADDRESS);
  });

  test('measure how far their clocks are apart', () => {
    const ahead = makePair({ ...pairOptions, forInitiator: { nowSec: () => NOW_SEC + 50 } });
    const outcome = shakeHands(ahead);
    expect([outcome.initiator.clockSkewSec, outcome.responder.clockSkewSec]).toEqual([50, -50]);
  });

  test('do not measure clocks by a NETINFO that took minutes', () => {
    let now = NOW_SEC;
    const initiator = startedInitiator({ nowSec: () => now });
    now += 180;
    expect(initiator.receive(responderFlight(bob)).outcome?.clockSkewSec).toBeNull();
  });

  test('finish a handshake that began before the link key was rotated', () => {
    const rotated = makeTestRelay(NOW_SEC, { rsa: bob.rsa, identity: bob.identity, generation: 2 });
    expect(rotated.tlsCertDer).not.toEqual(bob.tlsCertDer);
    const old = makePair(pairOptions);
    const flight = old.responder.receive(old.initiator.start()).write;
    const young = makePair({ ...pairOptions, responder: rotated.credentials });
    expect(shakeHands(young).initiator.peer).toEqual(idsOf(bob));
    const answer = old.initiator.receive(flight);
    expect(answer.outcome?.peer).toEqual(idsOf(bob));
    expect(old.responder.receive(answer.write).outcome?.peer).toEqual(idsOf(alice));
  });
});

test('a responder cannot be set up with another certificate than TLS served', () => {
  const rotated = makeTestRelay(NOW_SEC, { rsa: bob.rsa, identity: bob.identity });
  expect(() => newResponder({ credentials: rotated.credentials })).toThrow(Bug);
});

describe('a client', () => {
  test('is let in without CERTS, and stays unknown', () => {
    const responder = newResponder();
    const first = responder.receive(versionsCell([3, 4, 5]));
    expect(first.outcome).toBeNull();
    const { outcome, write } = responder.receive(clientNetinfoCell());
    expect(write).toHaveLength(0);
    expect(outcome).toEqual({
      linkProtocol: 5,
      peer: null,
      weAuthenticated: true,
      peerAddresses: [],
      ourAddressSeen: RESPONDER_ADDRESS,
      clockSkewSec: null,
    });
  });

  test('stays unknown too when it shows certificates but proves nothing', () => {
    const responder = newResponder();
    responder.receive(versionsCell());
    responder.receive(certsCell(alice.credentials.initiatorCerts));
    expect(responder.receive(clientNetinfoCell()).outcome?.peer).toBeNull();
  });

  test('is answered with VERSIONS, CERTS, AUTH_CHALLENGE and NETINFO in one flight', () => {
    const { write } = newResponder().receive(versionsCell());
    let at = 0;
    const versions = versionsCell([4, 5]);
    expect(write.subarray(at, (at += versions.length))).toEqual(versions);
    const certs = certsCell(bob.credentials.responderCerts);
    expect(write.subarray(at, (at += certs.length))).toEqual(certs);
    expect(write.subarray(at, (at += 7))).toEqual(Uint8Array.of(0, 0, 0, 0, 130, 0, 36));
    expect(write.subarray(at + 32, (at += 36))).toEqual(Uint8Array.of(0, 1, 0, 3));
    expect(write.subarray(at, at + 5)).toEqual(Uint8Array.of(0, 0, 0, 0, 8));
    expect(write).toHaveLength(at + CELL_BYTES);
  });

  test('gets another challenge each time', () => {
    const random = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes));
    const answers = [0, 1].map(() => newResponder({ random }).receive(versionsCell()).write);
    expect(answers[0]).not.toEqual(answers[1]);
  });
});

describe('an initiator that is not asked to authenticate', () => {
  test('sends NETINFO alone when AUTH_CHALLENGE names no method 3', () => {
    const initiator = startedInitiator();
    const { write, outcome } = initiator.receive(responderFlight(bob, { challenge: challengeCell([1, 2]) }));
    expect(write).toHaveLength(CELL_BYTES);
    expect(outcome?.peer).toEqual(idsOf(bob));
    expect(outcome?.weAuthenticated).toBe(false);
  });

  test('sends NETINFO alone when there was no AUTH_CHALLENGE', () => {
    const initiator = startedInitiator();
    const { write, outcome } = initiator.receive(responderFlight(bob, { challenge: new Uint8Array(0) }));
    expect(write).toHaveLength(CELL_BYTES);
    expect(outcome?.weAuthenticated).toBe(false);
  });

  test('stays a client on request, whatever it is asked', () => {
    const pair = makePair({ ...pairOptions, forInitiator: { anonymous: true } });
    const { initiator, responder } = shakeHands(pair);
    expect(initiator.weAuthenticated).toBe(false);
    expect(initiator.peer).toEqual(idsOf(bob));
    expect(responder.peer).toBeNull();
  });

  test('takes method 3 from among others', () => {
    const initiator = startedInitiator();
    const step = initiator.receive(responderFlight(bob, { challenge: challengeCell([1, 3, 255]) }));
    expect(step.outcome?.weAuthenticated).toBe(true);
  });
});

describe('bytes behind NETINFO', () => {
  const behind = Uint8Array.from({ length: 700 }, (_, i) => i & 255);

  test('are given back when they came in the same chunk', () => {
    const responder = newResponder();
    const step = responder.receive(join([versionsCell(), clientNetinfoCell(), behind]));
    expect(step.outcome).not.toBeNull();
    expect(step.rest).toEqual(behind);
  });

  test('are given back when the handshake came in pieces', () => {
    const initiator = startedInitiator();
    const bytes = join([responderFlight(bob), behind]);
    expect(initiator.receive(bytes.subarray(0, 900)).rest).toHaveLength(0);
    const step = initiator.receive(bytes.subarray(900));
    expect(step.outcome).not.toBeNull();
    expect(step.rest).toEqual(behind);
  });

  test('are none when the last byte of NETINFO came alone', () => {
    const responder = newResponder();
    const bytes = join([versionsCell(), clientNetinfoCell()]);
    responder.receive(bytes.subarray(0, bytes.length - 1));
    const step = responder.receive(bytes.subarray(bytes.length - 1));
    expect(step.outcome).not.toBeNull();
    expect(step.rest).toHaveLength(0);
  });
});

test('a chunk may be overwritten as soon as it was taken in', () => {
  const responder = newResponder();
  const bytes = join([versionsCell(), certsCell(alice.credentials.initiatorCerts), clientNetinfoCell()]);
  const chunk = new Uint8Array(100);
  let opened = false;
  for (let at = 0; at < bytes.length; at += 100) {
    const length = Math.min(100, bytes.length - at);
    chunk.set(bytes.subarray(at, at + length));
    opened = responder.receive(chunk.subarray(0, length)).outcome !== null;
    chunk.fill(0xee);
  }
  expect(opened).toBe(true);
});

describe('VERSIONS', () => {
  test('without a protocol in common ends the link', () => {
    for (const versions of [[], [3], [1, 2, 3, 6], [0x1234, 0xffff]]) {
      const action = () => newResponder().receive(versionsCell(versions));
      expectViolation(action, 'link_handshake_no_common_version', /no link protocol in common/);
      const dialling = () => startedInitiator().receive(versionsCell(versions));
      expectViolation(dialling, 'link_handshake_no_common_version', /no link protocol in common/);
    }
  });

  test('may name a protocol twice, and in any order', () => {
    const responder = newResponder();
    responder.receive(versionsCell([9, 5, 4, 5, 3]));
    expect(responder.receive(clientNetinfoCell()).outcome?.linkProtocol).toBe(5);
  });

  test('of odd length is malformed', () => {
    expectMalformed(() => newResponder().receive(Uint8Array.of(0, 0, 7, 0, 3, 0, 4, 0)), /VERSIONS/);
  });
});

describe('NETINFO', () => {
  const netinfo = (body: Uint8Array) => () => {
    const responder = newResponder();
    responder.receive(versionsCell());
    return responder.receive(buildCell(0, Command.NETINFO, body)).outcome;
  };

  test('whose peer address has no readable type or length is malformed', () => {
    expectMalformed(netinfo(new Uint8Array(509)), /NETINFO/);
    expectMalformed(netinfo(Uint8Array.of(0, 0, 0, 0, 4, 5, 1, 2, 3, 4, 5, 0)), /NETINFO/);
    expectMalformed(netinfo(Uint8Array.of(0, 0, 0, 0, 6, 4, 1, 2, 3, 4, 0)), /NETINFO/);
  });

  test('that lists more than it holds is malformed', () => {
    expectMalformed(netinfo(Uint8Array.of(0, 0, 0, 0, 4, 255)), /NETINFO/);
  });

  test('may list own addresses of an unknown type', () => {
    const body = Uint8Array.of(0, 0, 0, 0, 4, 4, 198, 51, 100, 9, 2, 9, 3, 1, 2, 3, 4, 4, 192, 0, 2, 7);
    expect(netinfo(body)()?.peerAddresses).toEqual([INITIATOR_ADDRESS]);
  });

  test('tells where the peer sees us, unless it says nowhere', () => {
    const body = encodeNetinfo({ timestampSec: 0, otherAddress: null, myAddresses: [] });
    expect(netinfo(body)()?.ourAddressSeen).toBeNull();
  });
});

test('a finished handshake takes no more', () => {
  const responder = newResponder();
  responder.receive(join([versionsCell(), clientNetinfoCell()]));
  expect(() => responder.receive(vpaddingCell())).toThrow(Bug);
});

test('a broken handshake takes no more', () => {
  const responder = newResponder();
  expect(() => responder.receive(relayNetinfoCell())).toThrow('before VERSIONS');
  expect(() => responder.receive(versionsCell())).toThrow(Bug);
});
