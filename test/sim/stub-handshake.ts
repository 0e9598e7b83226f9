/**
 * A link handshake of one message each way, for simulations: says who one is and believes the other. The real one has
 * its own tests; here only what it leads to matters.
 */
import type { HandshakeConfig, HandshakeOutcome, HandshakeStep } from '../../src/channel/handshake.ts';
import { Violation } from '../../src/fault.ts';

export const HELLO_BYTES = 54;

/** Who is at one end of a link. */
export interface LinkIdentity {
  readonly rsaId: Uint8Array;
  readonly ed25519Id: Uint8Array;
}

const CLIENT = 0;
const RELAY = 1;
const SKEWED_RELAY = 2;
/** How far off the clock of a skewed relay is. */
export const SKEW_SEC = 7200;

/** Say who we are; null says that we are a client. */
export function hello(identity: LinkIdentity | null, linkProtocol: 4 | 5 = 5, skewed = false): Uint8Array {
  const bytes = new Uint8Array(HELLO_BYTES);
  if (identity === null) bytes[0] = CLIENT;
  else bytes[0] = skewed ? SKEWED_RELAY : RELAY;
  bytes[1] = linkProtocol;
  if (identity !== null) {
    bytes.set(identity.rsaId, 2);
    bytes.set(identity.ed25519Id, 22);
  }
  return bytes;
}

const NOTHING = new Uint8Array(0);

/** One end of it, for `Links`. */
export class StubHandshake {
  private readonly config: HandshakeConfig;
  private got = NOTHING;

  constructor(config: HandshakeConfig) {
    this.config = config;
  }

  get heldBytes(): number {
    return this.got.length;
  }

  start(): Uint8Array {
    return hello(this.config.credentials);
  }

  receive(chunk: Uint8Array): HandshakeStep {
    const all = new Uint8Array(this.got.length + chunk.length);
    all.set(this.got);
    all.set(chunk, this.got.length);
    this.got = all;
    if (all.length < HELLO_BYTES) return { write: NOTHING, outcome: null, rest: NOTHING };
    const outcome: HandshakeOutcome = {
      linkProtocol: all[1] === 4 ? 4 : 5,
      peer: all[0] !== CLIENT ? { rsaId: all.slice(2, 22), ed25519Id: all.slice(22, 54) } : null,
      weAuthenticated: true,
      peerAddresses: [this.config.peerAddress],
      // An honest peer dialled what we tell to be ours.
      ourAddressSeen: this.config.ownAddresses[0] ?? null,
      clockSkewSec: all[0] === SKEWED_RELAY ? SKEW_SEC : null,
    };
    const { expected } = this.config;
    if (expected !== undefined && !this.isExpected(outcome)) {
      throw new Violation('channel', 0, 'link_handshake_wrong_identity', 'someone else');
    }
    return { write: NOTHING, outcome, rest: all.slice(HELLO_BYTES) };
  }

  private isExpected({ peer }: HandshakeOutcome): boolean {
    const { rsaId, ed25519Id } = this.config.expected!;
    if (peer === null || !same(peer.rsaId, rsaId)) return false;
    return ed25519Id === null || (peer.ed25519Id !== null && same(peer.ed25519Id, ed25519Id));
  }
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
