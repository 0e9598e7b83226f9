/**
 * What a client's address may do, put together from torrc, which wins, and the consensus.
 */
import type { ParamName } from '../netdoc/consensus-params.ts';
import type { DosLimits } from '../shm/dos-table.ts';
import type { DosOption, DosSettings } from '../torrc/dos-options.ts';

/** The defence type that refuses. */
const REFUSE = 2;

/** Put the limits together. */
export function dosLimits(settings: DosSettings, param: (name: ParamName) => number): DosLimits {
  const value = (name: DosOption): number => settings[name] ?? param(name);
  return Object.freeze({
    connectionsWatched: value('DoSConnectionEnabled') === 1,
    connectionsRefused: value('DoSConnectionDefenseType') === REFUSE,
    connectionsMax: value('DoSConnectionMaxConcurrentCount'),
    connectRate: value('DoSConnectionConnectRate'),
    connectBurst: value('DoSConnectionConnectBurst'),
    connectMarkMs: value('DoSConnectionConnectDefenseTimePeriod') * 1000,
    circuitsWatched: value('DoSCircuitCreationEnabled') === 1,
    circuitsRefused: value('DoSCircuitCreationDefenseType') === REFUSE,
    circuitConnectionsMin: value('DoSCircuitCreationMinConnections'),
    circuitRate: value('DoSCircuitCreationRate'),
    circuitBurst: value('DoSCircuitCreationBurst'),
    circuitMarkMs: value('DoSCircuitCreationDefenseTimePeriod') * 1000,
    queueKillsMax: param('dos_num_circ_max_outq'),
    streamsWatched: value('DoSStreamCreationEnabled') === 1,
    streamRate: value('DoSStreamCreationRate'),
    streamBurst: value('DoSStreamCreationBurst'),
    streamDefence: value('DoSStreamCreationDefenseType'),
  });
}
