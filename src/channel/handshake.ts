/**
 * The link handshake, from VERSIONS to NETINFO, for both ends; bytes in, bytes out, no I/O.
 *
 * Stands between a TLS session that verified nothing and an open channel. The responder answers VERSIONS with
 * VERSIONS, CERTS, AUTH_CHALLENGE and NETINFO in one flight. The initiator sends nothing but VERSIONS until it
 * has proof of who the responder is; then CERTS, AUTHENTICATE and NETINFO, or NETINFO alone when the responder
 * did not ask for method 3.
 *
 * Every state has its list of cells that may come; VPADDING and AUTHORIZE are skipped anywhere, everything else
 * (another order, a second one, PADDING) closes the channel with a counter. That holds for a second VERSIONS too,
 * which tor-spec would have ignored: nobody sends one. Each side's log is hashed as raw bytes, never re-encoded.
 * The time limit is the caller's.
 * @source tor-spec "Negotiating and initializing channels"
 */

import { unmapIp } from '../bytes/address.ts';
import { equal } from '../bytes/secret.ts';
import { buildCell, buildVariableCell } from '../cell/cell.ts';
import { Command } from '../cell/command.ts';
import {
  CHALLENGE_BYTES,
  decodeAuthChallenge,
  decodeAuthenticate,
  decodeNetinfo,
  decodeVersions,
  encodeAuthChallenge,
  encodeAuthenticate,
  encodeNetinfo,
  encodeVersions,
} from '../cell/link-handshake.ts';
import { sha256 } from '../crypto/digest.ts';
import { assert } from '../fault.ts';
import type { LinkCredentials } from '../shm/link-credentials.ts';
import {
  AUTH_METHOD,
  type AuthenticateContext,
  buildAuthentication,
  checkAuthentication,
  HandshakeLog,
  type LinkIdentity,
  type TlsFacts,
} from './authenticate.ts';
import { channelViolation, type HandshakeCell, HandshakeCells } from './handshake-cells.ts';
import {
  type CertifiedInitiator,
  type CertifiedPeer,
  judgeInitiator,
  judgeResponder,
} from './peer-certificates.ts';

/** Link protocols that we speak. */
export const LINK_PROTOCOLS: readonly number[] = [4, 5];

/** A NETINFO that comes later than this after our VERSIONS says nothing about the peer's clock. */
const SKEW_BELIEVED_SEC = 180;

/** Which identities the dialled peer must turn out to have. */
export interface ExpectedPeer {
  readonly rsaId: Uint8Array;
  /** null: any. */
  readonly ed25519Id: Uint8Array | null;
}

/** Everything that one handshake needs to know. */
export interface HandshakeConfig {
  readonly role: 'initiator' | 'responder';
  /** For a responder: the generation whose certificate this connection was served. */
  readonly credentials: LinkCredentials;
  readonly tls: TlsFacts;
  /** The other end's IP address, as the socket has it: 4 or 16 bytes. */
  readonly peerAddress: Uint8Array;
  /** Our advertised addresses. */
  readonly ownAddresses: readonly Uint8Array[];
  readonly nowSec: () => number;
  readonly random: (bytes: number) => Uint8Array;
  /** Initiator only. */
  readonly expected?: ExpectedPeer;
  readonly linkProtocols?: readonly number[];
  /** Initiator only: do not say who we are, as a client. */
  readonly anonymous?: boolean;
}

/** What both ends know when the channel is open. All bytes are copies. */
export interface HandshakeOutcome {
  readonly linkProtocol: 4 | 5;
  /** null: a client, or a relay that did not authenticate. */
  readonly peer: { readonly rsaId: Uint8Array; readonly ed25519Id: Uint8Array | null } | null;
  /** Whether we showed the peer who we are; always true for a responder. */
  readonly weAuthenticated: boolean;
  /** The addresses that the peer calls its own. */
  readonly peerAddresses: readonly Uint8Array[];
  /** Where the peer sees us. */
  readonly ourAddressSeen: Uint8Array | null;
  /** Seconds that our clock is ahead of the peer's; null when it did not say its time, or too late. */
  readonly clockSkewSec: number | null;
}

/** What one chunk led to. */
export interface HandshakeStep {
  /** Bytes to send now; may be empty. */
  readonly write: Uint8Array;
  /** Set once, when the handshake is through. */
  readonly outcome: HandshakeOutcome | null;
  /** With the outcome: the bytes behind the last handshake cell, a view that may lie in the caller's chunk. */
  readonly rest: Uint8Array;
}

type State = 'versions' | 'certs' | 'challenge' | 'authenticate' | 'netinfo' | 'open' | 'broken';

const NOTHING = new Uint8Array(0);

/** What may come in a state, besides the padding that always may. `certs` differs between the roles. */
const ALLOWED = {
  versions: allow(Command.VERSIONS),
  certsOfResponder: allow(Command.CERTS),
  certsOfInitiator: allow(Command.CERTS, Command.NETINFO),
  challenge: allow(Command.AUTH_CHALLENGE, Command.NETINFO),
  authenticate: allow(Command.AUTHENTICATE, Command.NETINFO),
  netinfo: allow(Command.NETINFO),
} as const;

function allow(...commands: number[]): ReadonlySet<number> {
  return new Set([...commands, Command.VPADDING, Command.AUTHORIZE]);
}

/** One end of one link handshake. Not reusable. */
export class LinkHandshake {
  readonly #config: HandshakeConfig;
  readonly #initiating: boolean;
  readonly #cells = new HandshakeCells();
  readonly #sentLog = new HandshakeLog();
  readonly #receivedLog = new HandshakeLog();
  #state: State = 'versions';
  #out: Uint8Array[] = [];
  #versionsSentSec = 0;
  #linkProtocol: 4 | 5 = 4;
  #netinfoSent = false;
  /** The peer as its certificates show it; an initiator's counts only once it has authenticated. */
  #certified: CertifiedPeer | CertifiedInitiator | null = null;
  #peerProven = false;
  #weAuthenticated: boolean;

  constructor(config: HandshakeConfig) {
    this.#config = config;
    this.#initiating = config.role === 'initiator';
    this.#weAuthenticated = !this.#initiating;
    assert(
      this.#initiating || equal(config.credentials.tlsCertDer, config.tls.responderCertDer),
      'a responder shakes hands with the generation of credentials that TLS served',
    );
  }

  /** Bytes that are kept until the next chunk comes. */
  get heldBytes(): number {
    return this.#cells.heldBytes;
  }

  /** Begin: returns the initiator's VERSIONS; for a responder nothing, because it speaks second. */
  start(): Uint8Array {
    if (this.#initiating) this.#sendVersions();
    return this.#flush();
  }

  /**
   * Take bytes that came from the peer.
   *
   * @param chunk borrowed for the call (and for `rest`); may cut cells anywhere
   * @throws Malformed or Violation (scope `channel`): the link is to be closed and nothing more may be fed
   */
  receive(chunk: Uint8Array): HandshakeStep {
    assert(this.#state !== 'open' && this.#state !== 'broken', 'a finished link handshake is fed no more');
    const state = this.#state;
    this.#state = 'broken';
    let outcome: HandshakeOutcome | null;
    [this.#state, outcome] = this.#advance(state, chunk);
    const rest = outcome === null ? NOTHING : this.#cells.rest();
    if (outcome === null) this.#cells.keep();
    return { write: this.#flush(), outcome, rest };
  }

  /** Run through all complete cells; returns the state reached. */
  #advance(from: State, chunk: Uint8Array): [State, HandshakeOutcome | null] {
    this.#cells.push(chunk);
    let state = from;
    for (;;) {
      const cell = this.#cells.next(this.#allowed(state));
      if (cell === null) return [state, null];
      if (cell.command === Command.NETINFO) return ['open', this.#takeNetinfo(cell.body)];
      state = this.#take(state, cell);
    }
  }

  #allowed(state: State): ReadonlySet<number> {
    switch (state) {
      case 'certs':
        return this.#initiating ? ALLOWED.certsOfResponder : ALLOWED.certsOfInitiator;
      case 'versions':
      case 'challenge':
      case 'authenticate':
        return ALLOWED[state];
      default:
        return ALLOWED.netinfo;
    }
  }

  /** Act on an allowed cell; returns the next state. */
  #take(state: State, cell: HandshakeCell): State {
    // The log that AUTHENTICATE signs ends just before it.
    if (cell.command !== Command.AUTHENTICATE) this.#receivedLog.add(cell.wire);
    switch (cell.command) {
      case Command.VERSIONS:
        return this.#takeVersions(cell.body);
      case Command.CERTS:
        return this.#initiating ? this.#takeResponderCerts(cell.body) : this.#takeInitiatorCerts(cell.body);
      case Command.AUTH_CHALLENGE:
        return this.#takeAuthChallenge(cell.body);
      case Command.AUTHENTICATE:
        return this.#takeAuthenticate(cell.body);
      default:
        return state;
    }
  }

  #takeVersions(body: Uint8Array): State {
    const theirs = decodeVersions(body);
    const common = this.#ourProtocols().filter((version) => theirs.includes(version));
    const best = Math.max(0, ...common);
    if (best !== 4 && best !== 5) {
      const why = `no link protocol in common: the peer offers ${theirs.slice(0, 8).join(', ') || 'none'}`;
      throw channelViolation('link_handshake_no_common_version', why);
    }
    this.#linkProtocol = best;
    if (!this.#initiating) {
      this.#sendVersions();
      this.#sendVariable(Command.CERTS, this.#config.credentials.responderCerts);
      const challenge = this.#config.random(CHALLENGE_BYTES);
      this.#sendVariable(Command.AUTH_CHALLENGE, encodeAuthChallenge(challenge, [AUTH_METHOD]));
      this.#sendNetinfo();
    }
    return 'certs';
  }

  #takeResponderCerts(body: Uint8Array): State {
    const { tls, nowSec, expected } = this.#config;
    const peer = judgeResponder(body, sha256(tls.responderCertDer), nowSec());
    if (expected !== undefined) checkExpected(peer, expected);
    this.#certified = peer;
    this.#peerProven = true;
    return 'challenge';
  }

  #takeInitiatorCerts(body: Uint8Array): State {
    this.#certified = judgeInitiator(body, this.#config.nowSec());
    return this.#certified === null ? 'netinfo' : 'authenticate';
  }

  #takeAuthChallenge(body: Uint8Array): State {
    const asked = decodeAuthChallenge(body).methods.includes(AUTH_METHOD);
    if (asked && this.#config.anonymous !== true) {
      const { credentials, random } = this.#config;
      // Taken now: a padding cell behind AUTH_CHALLENGE is no part of the responder's log.
      const responderLog = this.#receivedLog.digest();
      this.#sendVariable(Command.CERTS, credentials.initiatorCerts);
      const context = this.#context(responderLog, this.#sentLog.digest());
      const authentication = buildAuthentication(context, random, credentials.authSecret);
      this.#sendVariable(Command.AUTHENTICATE, encodeAuthenticate(AUTH_METHOD, authentication));
      this.#weAuthenticated = true;
    }
    this.#sendNetinfo();
    return 'netinfo';
  }

  #takeAuthenticate(body: Uint8Array): State {
    const certified = this.#certified;
    assert(
      certified !== null && 'authKey' in certified,
      'AUTHENTICATE is allowed only behind its certificates',
    );
    const { method, authentication } = decodeAuthenticate(body);
    if (method !== AUTH_METHOD) {
      throw channelViolation('link_handshake_bad_authenticate', `AUTHENTICATE by method ${method}`);
    }
    // Nothing was logged since AUTH_CHALLENGE: the log of what we sent stops there.
    const context = this.#context(this.#sentLog.digest(), this.#receivedLog.digest());
    checkAuthentication(authentication, context, certified.authKey);
    this.#peerProven = true;
    return 'netinfo';
  }

  #takeNetinfo(body: Uint8Array): HandshakeOutcome {
    const netinfo = decodeNetinfo(body);
    // A responder that sent no AUTH_CHALLENGE has not heard ours yet.
    if (!this.#netinfoSent) this.#sendNetinfo();
    const nowSec = this.#config.nowSec();
    const believed = netinfo.timestampSec !== 0 && nowSec - this.#versionsSentSec < SKEW_BELIEVED_SEC;
    const peer = this.#peerProven ? this.#certified : null;
    return {
      linkProtocol: this.#linkProtocol,
      peer: peer === null ? null : { rsaId: peer.rsaId, ed25519Id: peer.ed25519Id },
      weAuthenticated: this.#weAuthenticated,
      peerAddresses: netinfo.myAddresses.map((address) => address.slice()),
      ourAddressSeen: netinfo.otherAddress?.slice() ?? null,
      clockSkewSec: believed ? nowSec - netinfo.timestampSec : null,
    };
  }

  #context(responderLog: Uint8Array, initiatorLog: Uint8Array): AuthenticateContext {
    const peer = this.#certified;
    assert(peer !== null, 'authentication needs the certificates of the peer');
    const ours: LinkIdentity = this.#config.credentials;
    const [initiator, responder] = this.#initiating ? [ours, peer] : [peer, ours];
    return { initiator, responder, responderLog, initiatorLog, tls: this.#config.tls };
  }

  #ourProtocols(): readonly number[] {
    return this.#config.linkProtocols ?? LINK_PROTOCOLS;
  }

  #sendVersions(): void {
    this.#versionsSentSec = this.#config.nowSec();
    this.#send(buildVariableCell(0, Command.VERSIONS, encodeVersions(this.#ourProtocols()), 2));
  }

  #sendVariable(command: number, body: Uint8Array): void {
    this.#send(buildVariableCell(0, command, body, 4));
  }

  #send(cell: Uint8Array): void {
    this.#sentLog.add(cell);
    this.#out.push(cell);
  }

  /** NETINFO is the last cell that we send here, and in no log. */
  #sendNetinfo(): void {
    const { nowSec, peerAddress, ownAddresses } = this.#config;
    const body = encodeNetinfo({
      timestampSec: nowSec() >>> 0,
      otherAddress: unmapIp(peerAddress),
      myAddresses: [...ownAddresses],
    });
    this.#netinfoSent = true;
    this.#out.push(buildCell(0, Command.NETINFO, body));
  }

  #flush(): Uint8Array {
    const cells = this.#out;
    this.#out = [];
    if (cells.length === 0) return NOTHING;
    const bytes = new Uint8Array(cells.reduce((sum, cell) => sum + cell.length, 0));
    let at = 0;
    for (const cell of cells) {
      bytes.set(cell, at);
      at += cell.length;
    }
    return bytes;
  }
}

function checkExpected(peer: CertifiedPeer, expected: ExpectedPeer): void {
  if (!equal(peer.rsaId, expected.rsaId)) {
    throw channelViolation(
      'link_handshake_wrong_identity',
      'the peer has another RSA identity than expected',
    );
  }
  if (expected.ed25519Id !== null && !equal(peer.ed25519Id, expected.ed25519Id)) {
    throw channelViolation(
      'link_handshake_wrong_identity',
      'the peer has another Ed25519 identity than expected',
    );
  }
}
