/** Limits of clients' addresses, from torrc and the consensus. */

import { expect, test } from 'bun:test';
import { dosLimits } from '../../src/daemon/dos-limits.ts';
import { paramValue } from '../../src/netdoc/consensus-params.ts';
import { DOS_OPTIONS, type DosSettings } from '../../src/torrc/dos-options.ts';

const UNSET = Object.fromEntries(DOS_OPTIONS.map((name) => [name, null])) as DosSettings;

function limits(torrc: Partial<DosSettings>, consensus: Readonly<Record<string, number>> = {}) {
  const params = new Map(Object.entries(consensus));
  return dosLimits({ ...UNSET, ...torrc }, (name) => paramValue(params, name));
}

test('without torrc lines and consensus they are C tor’s defaults, and off', () => {
  expect(limits({})).toEqual({
    connectionsWatched: false,
    connectionsRefused: true,
    connectionsMax: 100,
    connectRate: 20,
    connectBurst: 40,
    connectMarkMs: 86_400_000,
    circuitsWatched: false,
    circuitsRefused: true,
    circuitConnectionsMin: 3,
    circuitRate: 3,
    circuitBurst: 90,
    circuitMarkMs: 3_600_000,
    queueKillsMax: 3,
    streamsWatched: false,
    streamRate: 100,
    streamBurst: 300,
    streamDefence: 2,
  });
});

test('the consensus sets them, and torrc wins over it', () => {
  const consensus = {
    DoSConnectionEnabled: 1,
    DoSConnectionMaxConcurrentCount: 50,
    DoSConnectionConnectDefenseTimePeriod: 60,
    DoSCircuitCreationEnabled: 1,
    DoSCircuitCreationDefenseType: 1,
    dos_num_circ_max_outq: 0,
  };
  expect(limits({}, consensus)).toMatchObject({
    connectionsWatched: true,
    connectionsMax: 50,
    connectMarkMs: 60_000,
    circuitsWatched: true,
    circuitsRefused: false,
    queueKillsMax: 0,
  });
  const torrc = {
    DoSConnectionEnabled: 0,
    DoSConnectionMaxConcurrentCount: 5,
    DoSCircuitCreationDefenseType: 2,
    DoSCircuitCreationRate: 9,
  };
  expect(limits(torrc, consensus)).toMatchObject({
    connectionsWatched: false,
    connectionsMax: 5,
    circuitsWatched: true,
    circuitsRefused: true,
    circuitRate: 9,
  });
  // A type that there is not does nothing, as in C tor.
  expect(limits({ DoSCircuitCreationDefenseType: 3 }).circuitsRefused).toBe(false);
});
