/**
 * What the client's thread starts with: the options of a worker that serves nobody, and an identity that it never shows.
 */
import { totalmem } from 'node:os';
import { generateCurve25519 } from '../crypto/curve25519.ts';
import { NO_EXIT } from '../daemon/exit-side.ts';
import { workerOptions } from '../daemon/worker-options.ts';
import { makeIdentity, makeTlsKey } from '../load/identity.ts';
import { type ParamName, paramValue } from '../netdoc/consensus-params.ts';
import { REJECT_ALL } from '../netdoc/exit-policy.ts';
import { AddressTable } from '../shm/address-table.ts';
import { Bandwidth } from '../shm/bandwidth.ts';
import type { ClientStart } from '../shm/client-letter.ts';
import { DnsCache } from '../shm/dns-cache.ts';
import { Doorbell } from '../shm/doorbell.ts';
import { DosTable } from '../shm/dos-table.ts';
import { MemoryLedger } from '../shm/memory-ledger.ts';
import { RelayIndex } from '../shm/relay-index.ts';
import { Roster } from '../shm/roster.ts';
import { Scoreboard } from '../shm/scoreboard.ts';
import { emptyShelf } from '../shm/shelf.ts';
import { monotonicMs, wallSec } from '../time/clock.ts';
import type { RelayOptions } from '../torrc/relay-options.ts';

/** Links, and whatever else may be open. */
const FILES = 4096;

/**
 * Make the first letter of a client's thread.
 *
 * @param options - of torrc; what concerns relays is left aside
 * @param params - of the consensus
 */
export function makeClientStart(options: RelayOptions, params: ReadonlyMap<string, number>): ClientStart {
  const { publicKey, secretKey } = generateCurve25519();
  const credentials = makeIdentity(makeTlsKey(), wallSec());
  const own = workerOptions(options, {
    generation: 1,
    lowestSeverity: 'warn',
    param: (name: ParamName, fallback?: number) => paramValue(params, name, fallback),
    ownAddresses: [],
    publishedHosts: [],
    authorityIds: [],
    ipv6Extends: false,
    exit: NO_EXIT,
    files: FILES,
    workers: 1,
    machineBytes: totalmem(),
    directory: { isCache: false, isBridge: false, frontPage: null, policy: REJECT_ALL },
  });
  const bandwidth = Bandwidth.create(1, monotonicMs());
  new Bandwidth(bandwidth).setLimits(own);
  return {
    kind: 'start',
    worker: 0,
    workers: 1,
    shared: {
      roster: Roster.create(),
      scoreboard: Scoreboard.create(1),
      doorbells: Doorbell.create(1),
      halfOpen: AddressTable.create(1),
      bandwidth,
      memory: MemoryLedger.create(1),
      dos: DosTable.create(1),
      dns: DnsCache.create(1),
    },
    rings: [],
    options: own,
    credentials,
    onionKeys: { generation: 1, current: { publicKey, secretKey }, previous: null },
    listeners: [],
    isClient: true,
    relayIndex: RelayIndex.create([]),
    shelf: emptyShelf(credentials.rsaId),
  };
}
