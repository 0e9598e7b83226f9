/** Hand-made cells for one side of a link handshake, and the ways to expect its end. */

import { expect } from 'bun:test';
import { buildCell, buildVariableCell, CELL_BYTES } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import {
  encodeAuthChallenge,
  encodeAuthenticate,
  encodeNetinfo,
  encodeVersions,
} from '../../src/cell/link-handshake.ts';
import {
  AUTH_METHOD,
  type AuthenticateContext,
  buildAuthentication,
  type TlsFacts,
} from '../../src/channel/authenticate.ts';
import { sha256 } from '../../src/crypto/digest.ts';
import { Malformed, Violation } from '../../src/fault.ts';
import { COUNTER_NAMES, type CounterName } from '../../src/shm/scoreboard.ts';
import type { TestRelay } from './credentials.ts';
import { countingRandom, INITIATOR_ADDRESS, join, NOW_SEC, RESPONDER_ADDRESS, tlsSession } from './pair.ts';

export function versionsCell(versions: number[] = [4, 5], circId = 0): Uint8Array {
  return buildVariableCell(circId, Command.VERSIONS, encodeVersions(versions), 2);
}

export function certsCell(body: Uint8Array, circId = 0): Uint8Array {
  return buildVariableCell(circId, Command.CERTS, body, 4);
}

export function challengeCell(methods: number[] = [AUTH_METHOD], circId = 0): Uint8Array {
  const body = encodeAuthChallenge(new Uint8Array(32).fill(9), methods);
  return buildVariableCell(circId, Command.AUTH_CHALLENGE, body, 4);
}

export function authenticateCell(authentication: Uint8Array, method = AUTH_METHOD, circId = 0): Uint8Array {
  return buildVariableCell(circId, Command.AUTHENTICATE, encodeAuthenticate(method, authentication), 4);
}

/** NETINFO as a client sends it. */
export function clientNetinfoCell(circId = 0): Uint8Array {
  const body = encodeNetinfo({ timestampSec: 0, otherAddress: RESPONDER_ADDRESS, myAddresses: [] });
  return buildCell(circId, Command.NETINFO, body);
}

/** NETINFO as a responder sends it. */
export function relayNetinfoCell(timestampSec = NOW_SEC, circId = 0): Uint8Array {
  const body = encodeNetinfo({
    timestampSec,
    otherAddress: INITIATOR_ADDRESS,
    myAddresses: [RESPONDER_ADDRESS],
  });
  return buildCell(circId, Command.NETINFO, body);
}

export function vpaddingCell(length = 5, circIdBytes: 2 | 4 = 4): Uint8Array {
  return buildVariableCell(0, Command.VPADDING, new Uint8Array(length), circIdBytes);
}

/** What a relay answers to VERSIONS, with the pieces replaced that `changed` names. */
export function responderFlight(
  relay: TestRelay,
  changed: { certs?: Uint8Array; challenge?: Uint8Array; netinfo?: Uint8Array } = {},
): Uint8Array {
  return join([
    versionsCell(),
    changed.certs ?? certsCell(relay.credentials.responderCerts),
    changed.challenge ?? challengeCell(),
    changed.netinfo ?? relayNetinfoCell(),
  ]);
}

/**
 * What an initiator must sign after it sent `sent` and got `flight`, the responder's whole first flight.
 * `changed` bends it.
 */
export function authenticateContext(
  initiator: TestRelay,
  responder: TestRelay,
  sent: Uint8Array,
  flight: Uint8Array,
  changed: Partial<AuthenticateContext> = {},
): AuthenticateContext {
  const tls: TlsFacts = tlsSession(responder.tlsCertDer);
  return {
    initiator: initiator.credentials,
    responder: responder.credentials,
    responderLog: sha256(flight.subarray(0, flight.length - CELL_BYTES)),
    initiatorLog: sha256(sent),
    tls,
    ...changed,
  };
}

/** Sign an authentication. */
export function authentication(context: AuthenticateContext, seed: Uint8Array): Uint8Array {
  return buildAuthentication(context, countingRandom(), seed);
}

/** Expect a Violation of a channel, with its counter and its words. */
export function expectViolation(action: () => unknown, counter: string, why: RegExp): void {
  const fault = thrown(action);
  expect(fault).toBeInstanceOf(Violation);
  if (!(fault instanceof Violation)) return;
  expect({ counter: fault.counter, scope: fault.scope, reason: fault.reason }).toEqual({
    counter,
    scope: 'channel',
    reason: 1,
  });
  expect(COUNTER_NAMES).toContain(counter as CounterName);
  expect(fault.message).toMatch(why);
}

/** Expect a Malformed of this noun. */
export function expectMalformed(action: () => unknown, noun: RegExp): void {
  const fault = thrown(action);
  expect(fault).toBeInstanceOf(Malformed);
  if (fault instanceof Malformed) expect(fault.noun).toMatch(noun);
}

function thrown(action: () => unknown): unknown {
  try {
    action();
  } catch (fault) {
    return fault;
  }
  return null;
}
