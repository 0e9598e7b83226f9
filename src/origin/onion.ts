/**
 * The client's layers of one circuit, one for each hop, nearest first.
 *
 * A message is sealed for one hop and wrapped for all nearer ones; what comes back is unwrapped until a hop's layer
 * recognises it. Each call moves keystreams, so cells pass here in the order in which they travel.
 * @source tor-spec "Routing relay cells"
 */
import { type ClientLayer, RECOGNISED } from '../crypto/layer/layer.ts';
import { assert } from '../fault.ts';

/** What `open` gives for a cell that no hop originated. */
export const NO_HOP = -1;

/** Layers of a circuit. */
export class Onion {
  private readonly layers: ClientLayer[] = [];

  /** How many hops there are. */
  get hops(): number {
    return this.layers.length;
  }

  /** Add the layer of the hop behind the last one. */
  add(layer: ClientLayer): void {
    this.layers.push(layer);
  }

  /** Seal the message in the body at `at` for a hop, and wrap it for those before it. */
  seal(hop: number, bytes: Uint8Array, at: number): void {
    assert(hop >= 0 && hop < this.layers.length, 'a message goes to a hop that there is');
    this.layers[hop]!.originateForward(bytes, at);
    for (let nearer = hop - 1; nearer >= 0; nearer--) this.layers[nearer]!.encryptForward(bytes, at);
  }

  /** Unwrap the body at `at`. Returns which hop it is from, or NO_HOP. */
  open(bytes: Uint8Array, at: number): number {
    for (let hop = 0; hop < this.layers.length; hop++) {
      if (this.layers[hop]!.decryptBackward(bytes, at) === RECOGNISED) return hop;
    }
    return NO_HOP;
  }

  /** The tag of the last cell that we sealed for a hop: a SENDME for that cell carries it. */
  sentTag(hop: number): Uint8Array {
    return this.layers[hop]!.forwardTag;
  }

  /** The tag of the last cell that came from a hop. */
  receivedTag(hop: number): Uint8Array {
    return this.layers[hop]!.backwardTag;
  }
}
