/**
 * Runs tests: `bun test/run.ts` runs all of them in several processes side by side, since most of the network tests
 * only wait, and those that measure alone at the end. With words behind it, it is `bun test` with these words.
 *
 * What a process prints is held back until it ends, and printed whole; the last lines are the sum of all. A process
 * without an end is killed. SIGINT and SIGTERM end all processes.
 *
 * What failed beside others runs once more, alone, unless a seed or chance found it: a dozen C tors that get little of
 * two cores miss votes and hold cells back. Both runs are printed, and the sum names it; what fails twice has failed.
 */
import { join } from 'node:path';
import type { Subprocess } from 'bun';
import { type Job, mayRunAgain, planTests, type Queue } from './run-plan.ts';
import { isGood, printAgain, printSum, type Report, readReport } from './run-report.ts';

const TIMEOUT_MS = 120_000;
const JOB_DEADLINE_MS = 1_500_000;
const COMMAND = [process.execPath, 'test', '--timeout', `${TIMEOUT_MS}`];
const ROOT = join(import.meta.dir, '..');

const running = new Set<Subprocess>();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    for (const child of running) child.kill(signal);
    process.exit(1);
  });
}

/** Run a command to its end. Returns its exit status, or the name of the signal that ended it. */
async function runThrough(child: Subprocess): Promise<number | string> {
  running.add(child);
  const code = await child.exited;
  running.delete(child);
  return child.signalCode ?? code;
}

async function runJob({ name, files, niceness }: Job): Promise<Report> {
  const paths = files.map((file) => `./test/${file}`);
  const from = performance.now();
  // The runner tells of tests on stderr, and what tests print is on stdout: one pipe keeps them in order.
  const command = ['sh', '-c', 'exec "$@" 2>&1', 'sh', 'nice', '-n', `${niceness}`, ...COMMAND, ...paths];
  const child = Bun.spawn(command, { cwd: ROOT, stdin: 'ignore', stdout: 'pipe', stderr: 'inherit' });
  const timer = setTimeout(() => child.kill('SIGKILL'), JOB_DEADLINE_MS);
  const [output, code] = await Promise.all([new Response(child.stdout).text(), runThrough(child)]);
  clearTimeout(timer);
  const report = readReport(name, output, code);
  const seconds = ((performance.now() - from) / 1000).toFixed(1);
  process.stdout.write(`-- ${name}, in ${seconds} s\n${report.body}`);
  return report;
}

interface Run {
  readonly job: Job;
  readonly report: Report;
}

async function runQueue({ jobs, lanes }: Queue): Promise<Run[]> {
  const left = [...jobs];
  const runs: Run[] = [];
  const runLane = async (): Promise<void> => {
    for (let job = left.shift(); job !== undefined; job = left.shift()) {
      runs.push({ job, report: await runJob(job) });
    }
  };
  await Promise.all(Array.from({ length: lanes }, runLane));
  return runs;
}

async function runAll(): Promise<boolean> {
  const from = performance.now();
  const files = [...new Bun.Glob('**/*.test.ts').scanSync(import.meta.dir)];
  const reports: Report[] = [];
  const again: string[] = [];
  for (const stage of planTests(files)) {
    for (const { job, report } of (await Promise.all(stage.map(runQueue))).flat()) {
      const mayBeTheLoad = !isGood([report]) && mayRunAgain(job, stage);
      if (mayBeTheLoad) again.push(job.name);
      reports.push(mayBeTheLoad ? await runJob(job) : report);
    }
  }
  process.stdout.write(printAgain(again));
  process.stdout.write(printSum(reports, (performance.now() - from) / 1000));
  return isGood(reports);
}

const words = process.argv.slice(2);
if (words.length === 0) process.exitCode = (await runAll()) ? 0 : 1;
else {
  const stdio = ['inherit', 'inherit', 'inherit'] as const;
  const code = await runThrough(Bun.spawn([...COMMAND, ...words], { cwd: ROOT, stdio: [...stdio] }));
  process.exitCode = code === 0 ? 0 : 1;
}
