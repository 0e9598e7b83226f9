/** Which test files run in one process, which processes run side by side, and which one must have the machine alone. */

/** One process of the runner. */
export interface Job {
  readonly name: string;
  /** Paths below `test/`. */
  readonly files: readonly string[];
  /** How far it stands back behind others, as `nice` takes it. */
  readonly niceness: number;
}

/** Jobs in their order, of which so many at a time run. */
export interface Queue {
  readonly jobs: readonly Job[];
  readonly lanes: number;
}

/** Queues that run side by side. Stages run one after the other. */
export type Stage = readonly Queue[];

/** These measure how long or how much, with bounds that a busy machine breaks: nothing else runs meanwhile. */
const ALONE: ReadonlySet<string> = new Set([
  'net/bandwidth-limit',
  'net/fairness',
  'net/floods',
  'net/memory-limit',
  'net/soak',
]);
/** What takes longest begins first: else it would run on when all others are done. */
const LONGEST: readonly string[] = [
  'net/kill-nine',
  'net/exit',
  'net/testnet',
  'net/middle',
  'net/origin',
  'net/directory-cache-fetch',
  'net/directory-guard',
  'sim/streams',
  'sim/sim',
  'sim/conflux',
];
/** These take all the computing that there is. */
const HUNGRY: ReadonlySet<string> = new Set(['net/kill-nine']);
/** Private networks mostly wait, for votes and for timers. */
const NET_LANES = 2;
const SIMULATOR_LANES = 2;
const UNIT_NICENESS = 10;
const SIMULATOR_NICENESS = 19;

/** @param files all test files, by their paths below `test/` */
export function planTests(files: readonly string[]): Stage[] {
  const sorted = [...files].sort();
  const net = eachAlone(sorted, 'net', 0);
  const beside = net.filter(({ name }) => !ALONE.has(name));
  const stages: Stage[] = [
    [
      { jobs: beside, lanes: NET_LANES },
      { jobs: eachFolder(sorted.filter((file) => !/^(net|sim)\//.test(file))), lanes: 1 },
      { jobs: eachAlone(sorted, 'sim', SIMULATOR_NICENESS), lanes: SIMULATOR_LANES },
    ],
    [{ jobs: net.filter(({ name }) => ALONE.has(name)), lanes: 1 }],
  ];
  return stages
    .map((stage) => stage.filter(({ jobs }) => jobs.length > 0))
    .filter((stage) => stage.length > 0);
}

/**
 * Whether a job of this stage that failed is worth a run alone: what others ran beside and may have kept waiting. What a
 * seed or chance found is true at once.
 */
export function mayRunAgain({ name }: Job, stage: Stage): boolean {
  const beside = stage.reduce((sum, { jobs, lanes }) => sum + Math.min(lanes, jobs.length), 0);
  return beside > 1 && !/^(sim\/|fuzz$)/.test(name);
}

/** A process for each file of a folder. */
function eachAlone(files: readonly string[], folder: string, niceness: number): Job[] {
  return files
    .filter((file) => file.startsWith(`${folder}/`))
    .map((file) => {
      const name = file.replace(/\.test\.ts$/, '');
      return { name, files: [file], niceness: HUNGRY.has(name) ? UNIT_NICENESS : niceness };
    })
    .sort((a, b) => rank(a) - rank(b));
}

/** A process for each folder, and one for the files beside the folders. */
function eachFolder(files: readonly string[]): Job[] {
  const folders = Map.groupBy(files, (file) => (file.includes('/') ? file.split('/')[0]! : 'test'));
  return [...folders].map(([name, inside]) => ({ name, files: inside, niceness: UNIT_NICENESS }));
}

function rank({ name }: Job): number {
  const at = LONGEST.indexOf(name);
  return at < 0 ? LONGEST.length : at;
}
