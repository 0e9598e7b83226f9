/**
 * First-hop handshakes for a churn, cheap for the client: a few dozen onionskins made beforehand and sent over and
 * over. A relay's work for an onionskin does not depend on whether it saw it before, and the client spends nothing
 * but the check of the answers that it samples.
 */
import {
  decodeCreated2,
  decodeCreatedFast,
  encodeCreate2,
  encodeCreateFast,
  HandshakeType,
} from '../cell/create.ts';
import { encodeExtensions } from '../cell/extension.ts';
import { generateCurve25519 } from '../crypto/curve25519.ts';
import { clientFast, FAST_HALF_BYTES } from '../crypto/handshake/fast.ts';
import { clientNtor } from '../crypto/handshake/ntor.ts';
import { clientNtorV3, NTOR_V3_CIRCUIT } from '../crypto/handshake/ntor-v3.ts';
import { TOR1_KEY_BYTES } from '../crypto/layer/tor1.ts';
import { broken, type Hop } from './client.ts';
import { randomBytes } from './identity.ts';
import type { ChurnHandshake } from './plan.ts';

/** One client side, to be used any number of times. */
export interface Onionskin {
  /** Body of the CREATE2 or CREATE_FAST cell. */
  readonly body: Uint8Array;
  /** Key material out of the answer's body, or null when the answer is wrong. */
  finish(answer: Uint8Array): Uint8Array | null;
}

/** Make an onionskin for a relay. */
export function makeOnionskin(handshake: ChurnHandshake, relay: Hop): Onionskin {
  if (handshake === 'fast') {
    const x = randomBytes(FAST_HALF_BYTES);
    return {
      body: encodeCreateFast(x),
      finish(answer) {
        const { y, kh } = decodeCreatedFast(answer);
        return clientFast(x, y, kh, TOR1_KEY_BYTES);
      },
    };
  }
  const { rsaId, ed25519Id, onionKey } = relay;
  const ephemeral = generateCurve25519();
  if (handshake === 'ntor') {
    const client = clientNtor({ rsaId, onionKey: onionKey!, ephemeral });
    return {
      body: encodeCreate2({ handshakeType: HandshakeType.NTOR, data: client.onionskin }),
      finish: (answer) => client.finish(decodeCreated2(answer), TOR1_KEY_BYTES),
    };
  }
  const client = clientNtorV3({
    ed25519Id,
    onionKey: onionKey!,
    ephemeral,
    verification: NTOR_V3_CIRCUIT,
    message: encodeExtensions([]),
  });
  if (client === null) throw broken('the relay’s onion key cannot be used', `port ${relay.port}`);
  return {
    body: encodeCreate2({ handshakeType: HandshakeType.NTOR_V3, data: client.onionskin }),
    finish: (answer) => client.finish(decodeCreated2(answer), TOR1_KEY_BYTES)?.keys ?? null,
  };
}
