/**
 * A worker's loop inside the test's own process, without listeners: real sockets, and circuits that the test starts on
 * it, by hand or by main's letters.
 */
import { generateCurve25519 } from '../../src/crypto/curve25519.ts';
import { OriginClient } from '../../src/directory/origin-client.ts';
import type { CircuitEvents, OriginCircuit } from '../../src/origin/origin-circuit.ts';
import { AddressTable } from '../../src/shm/address-table.ts';
import { Bandwidth } from '../../src/shm/bandwidth.ts';
import { DnsCache } from '../../src/shm/dns-cache.ts';
import { Doorbell } from '../../src/shm/doorbell.ts';
import { DosTable } from '../../src/shm/dos-table.ts';
import type { WorkerOptions } from '../../src/shm/letter.ts';
import { MemoryLedger } from '../../src/shm/memory-ledger.ts';
import type { OriginHop } from '../../src/shm/origin-letter.ts';
import { RelayIndex } from '../../src/shm/relay-index.ts';
import { Roster } from '../../src/shm/roster.ts';
import { Counter, type CounterName, Scoreboard } from '../../src/shm/scoreboard.ts';
import { emptyShelf } from '../../src/shm/shelf.ts';
import { monotonicMs, wallSec } from '../../src/time/clock.ts';
import { Loop } from '../../src/worker/loop.ts';
import { makeTestRelay } from '../channel/credentials.ts';
import { OPTIONS } from '../sim/relay.ts';

const BUILD_TIMEOUT_MS = 60_000;

/** A loop, and main's side of it. */
export class OriginLoop {
  readonly loop: Loop;
  readonly client: OriginClient;
  private readonly board: Scoreboard;

  constructor(changed: Partial<WorkerOptions> = {}) {
    const { credentials } = makeTestRelay(wallSec());
    const scoreboard = Scoreboard.create(1);
    const bandwidth = Bandwidth.create(1, monotonicMs());
    const options: WorkerOptions = { ...OPTIONS, extendAllowPrivateAddresses: true, ...changed };
    new Bandwidth(bandwidth).setLimits(options);
    this.board = new Scoreboard(scoreboard, 1);
    const { publicKey, secretKey } = generateCurve25519();
    this.client = new OriginClient(1, (_worker, order) => {
      this.loop.takeOriginOrder(order);
      return true;
    });
    this.loop = new Loop(
      {
        kind: 'start',
        worker: 0,
        workers: 1,
        shared: {
          roster: Roster.create(),
          scoreboard,
          doorbells: Doorbell.create(1),
          halfOpen: AddressTable.create(1),
          bandwidth,
          memory: MemoryLedger.create(1),
          dos: DosTable.create(1),
          dns: DnsCache.create(1),
        },
        rings: [],
        options,
        credentials,
        onionKeys: { generation: 1, current: { publicKey, secretKey }, previous: null },
        listeners: [],
        relayIndex: RelayIndex.create([]),
        shelf: emptyShelf(credentials.rsaId),
      },
      { origin: (news) => this.client.take(news), addressSeen: () => {} },
      () => {},
      () => {},
    );
  }

  /** Build a circuit and wait until it is open. @throws Error when it ends instead */
  async open(path: readonly OriginHop[]): Promise<OriginCircuit> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const events: CircuitEvents = {
      onOpen: resolve,
      onClosed: (reason, hops) => reject(new Error(`ended after ${hops} hops, reason ${reason}`)),
    };
    const circuit = this.loop.data.origins.open(path, BUILD_TIMEOUT_MS, events);
    await promise;
    return circuit;
  }

  count(name: CounterName): number {
    return this.board.total(Counter[name]);
  }

  stop(): void {
    this.loop.data.origins.closeAll();
    this.loop.stop();
  }
}
