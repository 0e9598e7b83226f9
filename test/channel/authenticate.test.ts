import { describe, expect, test } from 'bun:test';
import {
  type AuthenticateContext,
  agreedBytes,
  checkAuthentication,
  HandshakeLog,
} from '../../src/channel/authenticate.ts';
import { LinkHandshake } from '../../src/channel/handshake.ts';
import { sha256 } from '../../src/crypto/digest.ts';
import { signSeed } from '../../src/crypto/ed25519.ts';
import { certsBody, makeTestRelay } from './credentials.ts';
import { initiatorConfig, join, makePair, NOW_SEC, responderConfig, shakeHands, tlsSession } from './pair.ts';
import {
  authenticateCell,
  authenticateContext,
  authentication,
  certsCell,
  clientNetinfoCell,
  expectMalformed,
  expectViolation,
  responderFlight,
  versionsCell,
  vpaddingCell,
} from './script.ts';

const alice = makeTestRelay(NOW_SEC);
const bob = makeTestRelay(NOW_SEC);
const mallory = makeTestRelay(NOW_SEC);
const pairOptions = { initiator: alice.credentials, responder: bob.credentials };
const BAD = 'link_handshake_bad_authenticate';

/** A responder that waits for AUTHENTICATE, and what a good one would have to sign. */
function awaiting(before: Uint8Array[] = []): { responder: LinkHandshake; context: AuthenticateContext } {
  const responder = new LinkHandshake(responderConfig(pairOptions));
  const sent = [versionsCell(), ...before, certsCell(alice.credentials.initiatorCerts)];
  const flight = join(sent.map((cell) => responder.receive(cell).write));
  return { responder, context: authenticateContext(alice, bob, join(sent), flight) };
}

function send(
  change: (good: AuthenticateContext) => Partial<AuthenticateContext>,
  seed = alice.auth.seed,
): void {
  const { responder, context } = awaiting();
  const bent = authentication({ ...context, ...change(context) }, seed);
  responder.receive(authenticateCell(bent));
}

test('a good AUTHENTICATE is taken', () => {
  const { responder, context } = awaiting();
  responder.receive(authenticateCell(authentication(context, alice.auth.seed)));
  const { outcome } = responder.receive(clientNetinfoCell());
  expect(outcome?.peer?.rsaId).toEqual(alice.credentials.rsaId);
});

test('padding before it is part of what is signed', () => {
  const { responder, context } = awaiting([vpaddingCell(17)]);
  responder.receive(authenticateCell(authentication(context, alice.auth.seed)));
  expect(responder.receive(clientNetinfoCell()).outcome?.peer).not.toBeNull();
});

test('padding behind AUTH_CHALLENGE is not', () => {
  const initiator = new LinkHandshake(initiatorConfig(pairOptions));
  const responder = new LinkHandshake(responderConfig(pairOptions));
  const flight = responder.receive(initiator.start()).write;
  const netinfoAt = flight.length - 514;
  const answer = initiator.receive(
    join([flight.subarray(0, netinfoAt), vpaddingCell(9), flight.subarray(netinfoAt)]),
  );
  expect(responder.receive(answer.write).outcome?.peer?.rsaId).toEqual(alice.credentials.rsaId);
});

describe('refused:', () => {
  const wrong: readonly [string, (good: AuthenticateContext) => Partial<AuthenticateContext>][] = [
    [
      'another initiator’s RSA key',
      (good) => ({ initiator: { ...good.initiator, rsaPublicDer: mallory.rsa.publicDer } }),
    ],
    [
      'another initiator’s Ed25519 id',
      (good) => ({ initiator: { ...good.initiator, ed25519Id: new Uint8Array(32) } }),
    ],
    [
      'another responder’s RSA key',
      (good) => ({ responder: { ...good.responder, rsaPublicDer: mallory.rsa.publicDer } }),
    ],
    [
      'another responder’s Ed25519 id',
      (good) => ({ responder: { ...good.responder, ed25519Id: new Uint8Array(32) } }),
    ],
    ['another log of the responder', (good) => ({ responderLog: sha256(good.responderLog) })],
    ['another log of the initiator', (good) => ({ initiatorLog: sha256(good.initiatorLog) })],
    ['another TLS certificate', () => ({ tls: { ...tlsSession(mallory.tlsCertDer) } })],
    ['another TLS session', () => ({ tls: tlsSession(bob.tlsCertDer, 'another session') })],
    [
      'an exporter over the Ed25519 identity, as the text of the specification had it',
      (good) => ({
        tls: {
          ...good.tls,
          exportKeyingMaterial: (label: string, _: Uint8Array, length: number) =>
            good.tls.exportKeyingMaterial(label, good.initiator.ed25519Id, length),
        },
      }),
    ],
    [
      'an exporter with another label',
      (good) => ({
        tls: {
          ...good.tls,
          exportKeyingMaterial: (_: string, context: Uint8Array, length: number) =>
            good.tls.exportKeyingMaterial('EXPORTER FOR TOR TLS CLIENT BINDING AUTH0002', context, length),
        },
      }),
    ],
  ];
  for (const [name, change] of wrong) {
    test(name, () => expectViolation(() => send(change), BAD, /not about this connection/));
  }

  test('a signature by another key', () => {
    expectViolation(
      () => send(() => ({}), mallory.auth.seed),
      'link_handshake_bad_signature',
      /wrong signature/,
    );
    expectViolation(
      () => send(() => ({}), alice.signing.seed),
      'link_handshake_bad_signature',
      /wrong signature/,
    );
  });

  test('one bit changed anywhere', () => {
    const { context } = awaiting();
    const good = authentication(context, alice.auth.seed);
    checkAuthentication(good, context, alice.auth.publicKey);
    for (let at = 0; at < good.length; at++) {
      const bent = good.with(at, good[at]! ^ 1);
      const counter = at < 264 ? BAD : 'link_handshake_bad_signature';
      expectViolation(
        () => checkAuthentication(bent, context, alice.auth.publicKey),
        counter,
        /AUTHENTICATE/,
      );
    }
  });

  test('another length, though signed', () => {
    const { context } = awaiting();
    for (const length of [0, 24, 287, 289, 300]) {
      const body = new Uint8Array(length);
      body.set(agreedBytes(context).subarray(0, length));
      const bent = join([body, signSeed(alice.auth.seed, body)]);
      const { responder } = awaiting();
      expectViolation(() => responder.receive(authenticateCell(bent)), BAD, /instead of 352/);
    }
  });

  test('another method', () => {
    for (const method of [0, 1, 2, 4]) {
      const { responder, context } = awaiting();
      const cell = authenticateCell(authentication(context, alice.auth.seed), method);
      expectViolation(() => responder.receive(cell), BAD, new RegExp(`method ${method}`));
    }
  });

  test('a cell that is cut short', () => {
    const { context } = awaiting();
    const body = authenticateCell(authentication(context, alice.auth.seed)).subarray(7);
    for (const length of [0, 1, 3, 4, 100, body.length - 1]) {
      const { responder } = awaiting();
      const cell = join([
        Uint8Array.of(0, 0, 0, 0, 131, length >> 8, length & 255),
        body.subarray(0, length),
      ]);
      expectMalformed(() => responder.receive(cell), /AUTHENTICATE/);
    }
  });

  test('an AUTHENTICATE recorded on another link', () => {
    let next = 0;
    const random = (bytes: number) => new Uint8Array(bytes).fill(next++);
    const old = shakeHands(makePair({ ...pairOptions, forResponder: { random } }));
    const responder = new LinkHandshake(responderConfig({ ...pairOptions, forResponder: { random } }));
    expectViolation(() => responder.receive(old.initiatorSent), BAD, /not about this connection/);
  });

  test('a man in the middle with a certificate of his own', () => {
    // Mallory ends both TLS sessions himself and passes cells on: Alice sees his certificate, Bob his own.
    const initiator = new LinkHandshake(
      initiatorConfig({
        ...pairOptions,
        forInitiator: { tls: tlsSession(mallory.tlsCertDer, 'to mallory') },
      }),
    );
    const responder = new LinkHandshake(responderConfig(pairOptions));
    const flight = responder.receive(initiator.start()).write;
    expectViolation(
      () => initiator.receive(flight),
      'link_handshake_wrong_tls_certificate',
      /another TLS certificate/,
    );
  });
});

describe('an initiator', () => {
  const dial = (
    expected: { rsaId: Uint8Array; ed25519Id: Uint8Array | null },
    flight = responderFlight(bob),
  ) => {
    const initiator = new LinkHandshake(initiatorConfig({ ...pairOptions, forInitiator: { expected } }));
    initiator.start();
    return initiator.receive(flight);
  };
  const { rsaId, ed25519Id } = bob.credentials;

  test('refuses another identity than it dialled', () => {
    const counter = 'link_handshake_wrong_identity';
    const other = mallory.credentials;
    expectViolation(() => dial({ rsaId: other.rsaId, ed25519Id: null }), counter, /another RSA identity/);
    expectViolation(() => dial({ rsaId: other.rsaId, ed25519Id }), counter, /another RSA identity/);
    expectViolation(() => dial({ rsaId, ed25519Id: other.ed25519Id }), counter, /another Ed25519 identity/);
    expect(dial({ rsaId, ed25519Id }).outcome).not.toBeNull();
  });

  test('refuses a responder whose certificates do not hold, before it says who it is', () => {
    const initiator = new LinkHandshake(initiatorConfig(pairOptions));
    initiator.start();
    const certs = certsCell(certsBody(bob.certs, [2, 4, 5]));
    const flight = responderFlight(bob, { certs });
    expectViolation(
      () => initiator.receive(flight),
      'link_handshake_missing_cert',
      /no certificate of type 7/,
    );
  });

  test('finds a cut AUTH_CHALLENGE malformed', () => {
    const cut = (length: number, count: number) => {
      const body = new Uint8Array(length);
      if (length >= 34) body[33] = count;
      return join([Uint8Array.of(0, 0, 0, 0, 130, 0, length), body]);
    };
    for (const challenge of [cut(0, 0), cut(31, 0), cut(33, 0), cut(34, 1), cut(37, 2)]) {
      expectMalformed(
        () => dial({ rsaId, ed25519Id }, responderFlight(bob, { challenge })),
        /AUTH_CHALLENGE/,
      );
    }
  });
});

test('the agreed bytes stand in the order of the specification', () => {
  const { context } = awaiting();
  expect(agreedBytes(context)).toEqual(
    join([
      new TextEncoder().encode('AUTH0003'),
      sha256(alice.rsa.publicDer),
      sha256(bob.rsa.publicDer),
      alice.identity.publicKey,
      bob.identity.publicKey,
      context.responderLog,
      context.initiatorLog,
      sha256(bob.tlsCertDer),
      context.tls.exportKeyingMaterial(
        'EXPORTER FOR TOR TLS CLIENT BINDING AUTH0003',
        sha256(alice.rsa.publicDer),
        32,
      ),
    ]),
  );
});

test('a log can be read midway', () => {
  const log = new HandshakeLog();
  log.add(Uint8Array.of(1, 2));
  expect(log.digest()).toEqual(sha256(Uint8Array.of(1, 2)));
  log.add(Uint8Array.of(3));
  expect(log.digest()).toEqual(sha256(Uint8Array.of(1, 2, 3)));
});
