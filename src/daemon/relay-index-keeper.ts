/**
 * Keeps what workers look relays up in: made anew when a consensus comes into force, and some time after
 * microdescriptors came, which say the relays' Ed25519 identities.
 */
import type { DirectoryAuthority } from '../directory/authority.ts';
import type { DocumentStore } from '../directory/document-store.ts';
import type { Network } from '../directory/network.ts';
import type { CancelTimer, Timing } from '../directory/timing.ts';
import type { RelayIndexBlock } from '../shm/letter.ts';
import { type IndexedRelay, RelayIndex } from '../shm/relay-index.ts';

/** While microdescriptors come in their thousands, they are waited for. */
const GATHER_MS = 5000;

export interface RelayIndexKeeperConfig {
  readonly network: Network;
  readonly documents: DocumentStore;
  readonly authorities: readonly DirectoryAuthority[];
  readonly timing: Timing;
  readonly publish: (index: RelayIndexBlock) => void;
}

/** Publishes an index, and another whenever it is out of date. */
export class RelayIndexKeeper {
  private readonly config: RelayIndexKeeperConfig;
  private cancelTimer: CancelTimer | null = null;
  private isRunning = false;

  constructor(config: RelayIndexKeeperConfig) {
    this.config = config;
    const { network, documents } = config;
    network.onConsensus(() => this.publish());
    documents.onChange((kind) => {
      if (kind === 'microdescriptors') this.publishLater();
    });
  }

  /** Begin, with what there is. */
  start(): void {
    this.isRunning = true;
    this.publish();
  }

  stop(): void {
    this.isRunning = false;
    this.cancelTimer?.();
    this.cancelTimer = null;
  }

  private publishLater(): void {
    if (!this.isRunning || this.cancelTimer !== null) return;
    this.cancelTimer = this.config.timing.after(GATHER_MS, () => this.publish());
  }

  private publish(): void {
    if (!this.isRunning) return;
    this.cancelTimer?.();
    this.cancelTimer = null;
    this.config.publish(this.build());
  }

  /** The part of the newest consensus that workers need; before there is one, the authorities alone. */
  private build(): RelayIndexBlock {
    const { network, authorities } = this.config;
    const routers = network.newest?.routers ?? null;
    const relays: IndexedRelay[] = [];
    for (let row = 0; row < (routers?.count ?? 0); row++) {
      const { rsaId, address, orPort, ipv6 } = routers!.at(row);
      const ipv4 = orPort === 0 ? null : { host: address, port: orPort };
      relays.push({ rsaId, ipv4, ipv6, ed25519Id: this.ed25519Id(rsaId) });
    }
    const hosts = authorities.flatMap(({ dir, ipv6 }) =>
      ipv6 === null ? [dir.host] : [dir.host, ipv6.host],
    );
    return RelayIndex.create(relays, hosts);
  }

  private ed25519Id(rsaId: Uint8Array): Uint8Array | null {
    const { network, documents } = this.config;
    const routers = network.consensus('microdesc')?.routers;
    const row = routers?.find(rsaId) ?? -1;
    return row < 0 ? null : (documents.microdescriptors.get(routers!.digest(row))?.ed25519Id ?? null);
  }
}
