/**
 * The client's side of one hop's handshake: what the CREATE or EXTEND2 message carries, and the layer that its answer
 * gives.
 *
 * ntor-v3 where the hop speaks it, else ntor; CREATE_FAST only where no onion key is known, as C tor's relays have it.
 * Congestion control is asked for in ntor-v3. Ephemeral keys are made here and used once.
 * @source tor-spec "CREATE and CREATED cells"; proposals 324 and 332
 */
import { encodeCreate2, encodeCreateFast, HandshakeType } from '../cell/create.ts';
import {
  decodeCcResponse,
  decodeExtensions,
  ExtensionType,
  encodeCcRequest,
  encodeExtensions,
  firstOfType,
} from '../cell/extension.ts';
import { generateCurve25519 } from '../crypto/curve25519.ts';
import { clientFast, FAST_HALF_BYTES, FAST_KH_BYTES } from '../crypto/handshake/fast.ts';
import { clientNtor } from '../crypto/handshake/ntor.ts';
import { clientNtorV3, NTOR_V3_CIRCUIT } from '../crypto/handshake/ntor-v3.ts';
import type { ClientLayer } from '../crypto/layer/layer.ts';
import { TOR1_KEY_BYTES, Tor1ClientLayer } from '../crypto/layer/tor1.ts';
import { assert, Malformed } from '../fault.ts';
import type { OriginHop } from '../shm/origin-letter.ts';

/** What a finished handshake gives. */
export interface HopKeys {
  readonly layer: ClientLayer;
  /** Cells that a SENDME acknowledges under congestion control; 0 when the hop does none on this circuit. */
  readonly ccSendmeInc: number;
}

/** How far from the consensus' SENDME increment a hop's own may be, either way. */
const SENDME_INC_FACTOR = 2;

/** A handshake under way. */
export interface HopHandshake {
  readonly isFast: boolean;
  /** One of `HandshakeType`; means nothing for CREATE_FAST. */
  readonly handshakeType: number;
  /** For a CREATE2 or EXTEND2, or X of a CREATE_FAST. */
  readonly onionskin: Uint8Array;
  /**
   * Check the hop's answer: of a CREATED2 or EXTENDED2, or Y and KH of a CREATED_FAST. Null when it is not this hop's.
   * @throws Malformed on extensions that do not read
   */
  finish(reply: Uint8Array): HopKeys | null;
}

/**
 * Begin a handshake; null with an onion key that cannot be anyone's.
 * @param askCc ask for congestion control, if the hop does it
 * @param ccSendmeInc what the consensus says of SENDMEs, 0 when it does without; a hop that is far from it is refused
 * @param random gives fresh random bytes
 */
export function beginHandshake(
  hop: OriginHop,
  askCc: boolean,
  ccSendmeInc: number,
  random: (n: number) => Uint8Array,
): HopHandshake | null {
  if (hop.onionKey === null) return beginFast(random(FAST_HALF_BYTES).slice());
  if (!hop.ntorV3 || hop.ed25519Id === null) return beginNtor(hop.rsaId, hop.onionKey);
  return beginNtorV3(
    hop.ed25519Id,
    hop.onionKey,
    askCc && hop.congestionControl && ccSendmeInc > 0,
    ccSendmeInc,
  );
}

/** The body of the cell that asks a first hop. */
export function createBody(handshake: HopHandshake): Uint8Array {
  if (handshake.isFast) return encodeCreateFast(handshake.onionskin);
  return encodeCreate2({ handshakeType: handshake.handshakeType, data: handshake.onionskin });
}

function beginFast(x: Uint8Array): HopHandshake {
  return {
    isFast: true,
    handshakeType: HandshakeType.TAP,
    onionskin: x,
    finish(reply) {
      if (reply.length < FAST_HALF_BYTES + FAST_KH_BYTES) return null;
      const y = reply.subarray(0, FAST_HALF_BYTES);
      const kh = reply.subarray(FAST_HALF_BYTES, FAST_HALF_BYTES + FAST_KH_BYTES);
      const keys = clientFast(x, y, kh, TOR1_KEY_BYTES);
      return keys === null ? null : { layer: new Tor1ClientLayer(keys), ccSendmeInc: 0 };
    },
  };
}

function beginNtor(rsaId: Uint8Array, onionKey: Uint8Array): HopHandshake {
  const client = clientNtor({ rsaId, onionKey, ephemeral: generateCurve25519() });
  return {
    isFast: false,
    handshakeType: HandshakeType.NTOR,
    onionskin: client.onionskin,
    finish(reply) {
      const keys = client.finish(reply, TOR1_KEY_BYTES);
      return keys === null ? null : { layer: new Tor1ClientLayer(keys), ccSendmeInc: 0 };
    },
  };
}

function beginNtorV3(
  ed25519Id: Uint8Array,
  onionKey: Uint8Array,
  askCc: boolean,
  ccSendmeInc: number,
): HopHandshake | null {
  const asked = askCc ? [{ type: ExtensionType.CC_REQUEST, body: encodeCcRequest() }] : [];
  const message = encodeExtensions(asked);
  const ephemeral = generateCurve25519();
  const client = clientNtorV3({ ed25519Id, onionKey, ephemeral, verification: NTOR_V3_CIRCUIT, message });
  if (client === null) return null;
  return {
    isFast: false,
    handshakeType: HandshakeType.NTOR_V3,
    onionskin: client.onionskin,
    finish(reply) {
      const made = client.finish(reply, TOR1_KEY_BYTES);
      if (made === null) return null;
      const layer = new Tor1ClientLayer(made.keys);
      const answer = firstOfType(decodeExtensions(made.message), ExtensionType.CC_RESPONSE);
      if (answer === null || !askCc) return { layer, ccSendmeInc: 0 };
      return { layer, ccSendmeInc: checkSendmeInc(decodeCcResponse(answer.body), ccSendmeInc) };
    },
  };
}

/** @throws Malformed when a hop's SENDME increment is none that the consensus allows */
function checkSendmeInc(theirs: number, ours: number): number {
  assert(ours > 0, 'the SENDME increment is positive');
  if (theirs < Math.max(1, ours / SENDME_INC_FACTOR) || theirs > ours * SENDME_INC_FACTOR) {
    throw new Malformed('congestion control response', `SENDME increment ${theirs}`);
  }
  return theirs;
}
