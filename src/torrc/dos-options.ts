/**
 * The lines that set the DoS defences against clients: each has a consensus parameter of the same name, which counts
 * where torrc says nothing, 0 or auto.
 *
 * @source C tor's manual page, "DENIAL OF SERVICE MITIGATION OPTIONS"
 */

import type { Values } from './values.ts';

/** Options of the defences that act. */
export const DOS_OPTIONS = [
  'DoSCircuitCreationEnabled',
  'DoSCircuitCreationMinConnections',
  'DoSCircuitCreationRate',
  'DoSCircuitCreationBurst',
  'DoSCircuitCreationDefenseType',
  'DoSCircuitCreationDefenseTimePeriod',
  'DoSConnectionEnabled',
  'DoSConnectionMaxConcurrentCount',
  'DoSConnectionConnectRate',
  'DoSConnectionConnectBurst',
  'DoSConnectionDefenseType',
  'DoSConnectionConnectDefenseTimePeriod',
  'DoSStreamCreationEnabled',
  'DoSStreamCreationRate',
  'DoSStreamCreationBurst',
  'DoSStreamCreationDefenseType',
] as const;

export type DosOption = (typeof DOS_OPTIONS)[number];

/** What torrc sets of them (times in seconds, switches 0 or 1); null follows the consensus. */
export type DosSettings = Readonly<Record<DosOption, number | null>>;

/** The defence types: 1 does nothing, 2 refuses; of streams, 3 closes the circuit. */
const TYPE_MOST = 2;
const STREAM_TYPE_MOST = 3;
const TYPES = [
  'DoSCircuitCreationDefenseType',
  'DoSConnectionDefenseType',
  'DoSStreamCreationDefenseType',
] as const;

/** Read the DoS lines. Adds to `warnings` what C tor takes in silence and does not do. */
export function readDosSettings(values: Values, warnings: string[]): DosSettings {
  const settings = Object.fromEntries(DOS_OPTIONS.map((name) => [name, read(values, name)])) as DosSettings;
  for (const name of TYPES) {
    const type = settings[name];
    const most = name === 'DoSStreamCreationDefenseType' ? STREAM_TYPE_MOST : TYPE_MOST;
    if (type === null || (type >= 1 && type <= most)) continue;
    warnings.push(
      `${values.where(name)}: ${name} ${type} is unknown and refuses nothing: write ${name} 2 to refuse`,
    );
  }
  return Object.freeze(settings);
}

function read(values: Values, name: DosOption): number | null {
  if (!name.endsWith('Enabled')) return values.number(name) || null;
  const switched = values.autoBoolean(name);
  return switched === 'auto' ? null : Number(switched);
}
