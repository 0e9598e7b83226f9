/** A test network as people see it: figures of one moment. Plain values. */
import type { ClientCircuitState } from '../shm/client-letter.ts';
import type { Role } from './cast.ts';

/** What a network does. */
export type Phase = 'starting' | 'waiting' | 'running' | 'ending';

/** A relay. */
export interface RelayView {
  readonly nickname: string;
  /** `joined`: a relay that is none of ours. */
  readonly role: Role | 'joined';
  readonly isAuthority: boolean;
  readonly isListed: boolean;
  /** Bytes per second lately; null for one that joined. */
  readonly readRate: number | null;
  readonly writtenRate: number | null;
  readonly circuits: number | null;
  /** CPU seconds per second, lately. */
  readonly cpu: number | null;
  /** Over the whole run. */
  readonly readBytes: number;
  readonly writtenBytes: number;
  readonly cpuSec: number;
}

/** A circuit of the client. */
export interface CircuitView {
  readonly number: number;
  readonly state: ClientCircuitState;
  readonly nicknames: readonly string[];
  readonly streams: number;
  readonly received: number;
}

/** The downloads. */
export interface DownloadsView {
  readonly done: number;
  readonly failed: number;
  /** Why the last one failed. */
  readonly lastFailure: string | null;
  /** Payload that came and was right, in those under way, too. */
  readonly bytes: number;
  /** Bytes per second lately, and since the first download began. */
  readonly rate: number;
  readonly meanRate: number;
  readonly running: number;
}

/** A network. */
export interface NetworkView {
  readonly phase: Phase;
  readonly elapsedSec: number;
  /** How long it shall live; null: until somebody ends it. */
  readonly totalSec: number | null;
  readonly relays: readonly RelayView[];
  readonly circuits: readonly CircuitView[];
  readonly circuitsBuilt: number;
  readonly downloads: DownloadsView;
  readonly consensuses: number;
}
