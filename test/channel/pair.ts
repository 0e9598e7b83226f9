/** Two link handshakes joined in memory, with a TLS session that both believe in. */

import { createHmac } from 'node:crypto';
import type { TlsFacts } from '../../src/channel/authenticate.ts';
import { type HandshakeConfig, type HandshakeOutcome, LinkHandshake } from '../../src/channel/handshake.ts';
import type { LinkCredentials } from '../../src/shm/link-credentials.ts';

export const NOW_SEC = 1_790_000_000;
export const INITIATOR_ADDRESS = Uint8Array.of(192, 0, 2, 7);
export const RESPONDER_ADDRESS = Uint8Array.of(198, 51, 100, 9);

/** What both ends of a TLS session see: the exporter is a MAC under the session's secret. */
export function tlsSession(responderCertDer: Uint8Array, secret = 'one session'): TlsFacts {
  return {
    responderCertDer,
    exportKeyingMaterial(label, context, length) {
      const mac = createHmac('sha256', secret).update(label).update('\0').update(context).digest();
      return new Uint8Array(mac.subarray(0, length));
    },
  };
}

/** Random bytes that are the same in every run. */
export function countingRandom(): (bytes: number) => Uint8Array {
  let next = 0;
  return (bytes) => Uint8Array.from({ length: bytes }, () => next++ & 255);
}

export interface PairOptions {
  readonly initiator: LinkCredentials;
  readonly responder: LinkCredentials;
  /** Replaces parts of the initiator's and the responder's configuration. */
  readonly forInitiator?: Partial<HandshakeConfig>;
  readonly forResponder?: Partial<HandshakeConfig>;
}

export interface Pair {
  readonly initiator: LinkHandshake;
  readonly responder: LinkHandshake;
}

/** Make both ends of one link. */
export function makePair(options: PairOptions): Pair {
  return {
    initiator: new LinkHandshake(initiatorConfig(options)),
    responder: new LinkHandshake(responderConfig(options)),
  };
}

/** The initiator's configuration in such a pair. */
export function initiatorConfig(options: PairOptions): HandshakeConfig {
  return {
    role: 'initiator',
    credentials: options.initiator,
    tls: tlsSession(options.responder.tlsCertDer),
    peerAddress: RESPONDER_ADDRESS,
    ownAddresses: [INITIATOR_ADDRESS],
    nowSec: () => NOW_SEC,
    random: countingRandom(),
    ...options.forInitiator,
  };
}

/** The responder's configuration in such a pair. */
export function responderConfig(options: PairOptions): HandshakeConfig {
  return {
    role: 'responder',
    credentials: options.responder,
    tls: tlsSession(options.responder.tlsCertDer),
    peerAddress: INITIATOR_ADDRESS,
    ownAddresses: [RESPONDER_ADDRESS],
    nowSec: () => NOW_SEC,
    random: countingRandom(),
    ...options.forResponder,
  };
}

/** How the bytes of one direction are cut into chunks. */
export type Cut = (bytes: Uint8Array) => Uint8Array[];

export const whole: Cut = (bytes) => (bytes.length === 0 ? [] : [bytes]);
export const byteByByte: Cut = (bytes) => Array.from(bytes, (byte) => Uint8Array.of(byte));

export interface PairResult {
  readonly initiator: HandshakeOutcome;
  readonly responder: HandshakeOutcome;
  /** Everything that each side sent. */
  readonly initiatorSent: Uint8Array;
  readonly responderSent: Uint8Array;
}

/** Carry bytes between both ends until both are open. Throws what either throws. */
export function shakeHands(pair: Pair, cut: Cut = whole): PairResult {
  const ends = { initiator: pair.initiator, responder: pair.responder };
  const outcomes: { initiator?: HandshakeOutcome; responder?: HandshakeOutcome } = {};
  const sent = { initiator: [pair.initiator.start()], responder: [pair.responder.start()] };
  const queue: ['initiator' | 'responder', Uint8Array][] = [];
  const post = (from: 'initiator' | 'responder', bytes: Uint8Array) => {
    for (const chunk of cut(bytes)) queue.push([from === 'initiator' ? 'responder' : 'initiator', chunk]);
  };
  post('initiator', sent.initiator[0]!);
  post('responder', sent.responder[0]!);
  while (queue.length > 0) {
    const [to, chunk] = queue.shift()!;
    const step = ends[to].receive(chunk);
    sent[to].push(step.write);
    post(to, step.write);
    if (step.outcome !== null) outcomes[to] = step.outcome;
  }
  if (outcomes.initiator === undefined || outcomes.responder === undefined)
    throw new Error('it never opened');
  return {
    initiator: outcomes.initiator,
    responder: outcomes.responder,
    initiatorSent: join(sent.initiator),
    responderSent: join(sent.responder),
  };
}

/** Join byte arrays. */
export function join(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
