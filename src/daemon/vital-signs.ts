/**
 * What the relay says of itself: the heartbeat, and the fuller answer to USR1, from the workers' counters.
 */
import type { UploadState } from '../directory/publisher.ts';
import { log } from '../log.ts';
import type { DosLimits } from '../shm/dos-table.ts';
import { Counter, type Scoreboard } from '../shm/scoreboard.ts';
import { type DefenceCounts, type HandshakeCount, heartbeatLines } from '../stats/heartbeat.ts';

/** Facts that are not counters. */
export interface Vitals {
  readonly uptimeSec: number;
  /** Whether the consensus lists us; null when that is not to be expected. */
  readonly listed: boolean | null;
  readonly workers: number;
  readonly workersRestarted: number;
  /** The defences that are on. */
  readonly dos: Pick<DosLimits, 'connectionsWatched' | 'circuitsWatched'>;
}

type CounterName = keyof typeof Counter;

/** Onion handshakes: the name to print, the counter of answers and that of failures. */
const HANDSHAKES: readonly (readonly [string, CounterName, CounterName])[] = [
  ['ntor', 'ntor_processed', 'circuit_ntor_failed'],
  ['ntor-v3', 'ntor_v3_processed', 'circuit_ntor_v3_failed'],
];

/** Tells how the relay is. One per process. */
export class VitalSigns {
  private readonly board: Scoreboard;
  private readonly before = new Map<CounterName, number>();

  constructor(board: Scoreboard) {
    this.board = board;
  }

  private total(name: CounterName): number {
    return this.board.total(Counter[name]);
  }

  /** Counted since the last heartbeat. */
  private since(name: CounterName): number {
    const now = this.total(name);
    const grown = now - (this.before.get(name) ?? 0);
    this.before.set(name, now);
    return grown;
  }

  /** Log the heartbeat. */
  heartbeat(vitals: Vitals): void {
    const handshakes: HandshakeCount[] = HANDSHAKES.map(([name, done, failed]) => {
      const answered = this.since(done);
      return { name, asked: answered + this.since(failed), answered };
    });
    const lines = heartbeatLines({
      ...vitals,
      circuits: this.total('circuits_created') - this.total('circuits_closed'),
      channels: this.total('channels_opened') - this.total('channels_closed'),
      bytesRead: this.total('bytes_read'),
      bytesWritten: this.total('bytes_written'),
      acceptedIpv4: this.total('links_accepted') - this.total('links_accepted_ipv6'),
      acceptedIpv6: this.total('links_accepted_ipv6'),
      dialledIpv4: this.total('links_dialled') - this.total('links_dialled_ipv6'),
      dialledIpv6: this.total('links_dialled_ipv6'),
      cellsRelayed: this.total('cells_relayed'),
      handshakes,
      defences: this.defences(vitals.dos),
    });
    for (const line of lines) log.notice('heartbeat', line);
  }

  private defences(dos: Vitals['dos']): DefenceCounts {
    return {
      watchesCircuits: dos.circuitsWatched,
      watchesLinks: dos.connectionsWatched,
      circuitsRefused: this.total('dos_circuit_refused'),
      circuitMarks: this.total('dos_circuit_marks'),
      queueMarks: this.total('dos_queue_marks'),
      linkMarks: this.total('dos_link_marks'),
      linksRefusedConcurrent:
        this.total('dos_link_refused_concurrent') + this.total('dos_link_refused_net_concurrent'),
      linksRefusedMarked: this.total('dos_link_refused_marked') + this.total('dos_link_refused_net_marked'),
      circuitsKilledByQueue: this.total('circuit_queue_limit_killed'),
    };
  }

  /** Log every counter that has counted something, and how our uploads went, or why there are none. */
  dump(
    uploads: readonly { nickname: string; state: UploadState; reason: string }[],
    silence: string | null,
  ): void {
    const names = Object.keys(Counter) as CounterName[];
    const seen = names.filter((name) => this.total(name) > 0).map((name) => `${name} ${this.total(name)}`);
    log.notice('general', seen.length === 0 ? 'All counters are 0.' : `Counters: ${seen.join(', ')}.`);
    if (silence !== null) log.notice('dir', silence);
    for (const { nickname, state, reason } of uploads) {
      if (state === 'waiting') continue;
      log.notice('dir', `Authority ${nickname}: descriptor ${state}${reason === '' ? '' : ` (${reason})`}.`);
    }
  }
}

/** The counters of things that are open: the closed ones are brought up to them when a worker died. */
const OPEN_AND_CLOSED: readonly (readonly [CounterName, CounterName])[] = [
  ['circuits_created', 'circuits_closed'],
  ['channels_opened', 'channels_closed'],
];

/** Count what a dead worker held as closed. Its row must be nobody's: the worker dead, its successor not started. */
export function settleDead(read: Scoreboard, own: Scoreboard, worker: number): void {
  for (const [opened, closed] of OPEN_AND_CLOSED) {
    const left = read.of(worker, Counter[opened]) - read.of(worker, Counter[closed]);
    if (left > 0) own.add(Counter[closed], left);
  }
}
