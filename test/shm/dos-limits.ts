/** Limits of the DoS defences for tests that are about something else. */

import type { DosLimits } from '../../src/shm/dos-table.ts';

/** Watched, and far from any limit. */
export const DOS_LIMITS: DosLimits = {
  connectionsWatched: true,
  connectionsRefused: true,
  connectionsMax: 100_000,
  connectRate: 100_000,
  connectBurst: 100_000,
  connectMarkMs: 86_400_000,
  circuitsWatched: true,
  circuitsRefused: true,
  circuitConnectionsMin: 3,
  circuitRate: 100_000,
  circuitBurst: 100_000,
  circuitMarkMs: 3_600_000,
  queueKillsMax: 0,
  streamsWatched: false,
  streamRate: 100,
  streamBurst: 300,
  streamDefence: 2,
};
