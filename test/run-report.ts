/** Reads what `bun test` printed: how many tests passed, failed and were skipped, and which; and sums it up. */

/** What one process of the runner did. */
export interface Report {
  readonly pass: number;
  readonly fail: number;
  readonly skip: number;
  readonly todo: number;
  /** Errors between tests: they are no test's. */
  readonly errors: number;
  readonly expectations: number;
  readonly tests: number;
  readonly files: number;
  /** Lines that name what was skipped, and what failed, as they were printed. */
  readonly skipped: readonly string[];
  readonly failed: readonly string[];
  /** The output without what the process said in the end. */
  readonly body: string;
}

const COUNT = /^ *(\d+) (pass|fail|skip|todo|errors?)$/;
const EXPECTATIONS = /^ *(\d+) expect\(\) calls$/;
const RAN = /^Ran (\d+) tests? across (\d+) files?\./;

/**
 * Read the output of one process.
 * @param name what stands for the process where it ended without saying how it went
 * @param code its exit status, or the name of the signal that ended it
 */
export function readReport(name: string, output: string, code: number | string): Report {
  const lines = output.split('\n');
  const end = lines.findLastIndex((line) => RAN.test(line));
  const ran = RAN.exec(lines[end] ?? '');
  if (ran === null) return lost(name, output, code);
  let first = end;
  const counts = new Map<string, number>();
  while (first > 0 && (COUNT.test(lines[first - 1]!) || EXPECTATIONS.test(lines[first - 1]!))) {
    const [, count, what] = COUNT.exec(lines[--first]!) ?? EXPECTATIONS.exec(`${lines[first]}`)!;
    counts.set(what ?? 'expect', Number(count));
  }
  // Where there were many tests, those that were skipped and failed are listed once more.
  const again = lines.findIndex((line, at) => at < first && /^\d+ tests? (skipped|failed|todo):$/.test(line));
  const body = lines.slice(0, again < 0 ? first : again);
  const failed = body.filter((line) => line.startsWith('(fail) '));
  const errors = counts.get('error') ?? counts.get('errors') ?? 0;
  const fail = counts.get('fail') ?? 0;
  // A status that nothing else tells of.
  const isOdd = code !== 0 && fail === 0 && errors === 0;
  return {
    pass: counts.get('pass') ?? 0,
    fail: fail + Number(isOdd),
    skip: counts.get('skip') ?? 0,
    todo: counts.get('todo') ?? 0,
    errors,
    expectations: counts.get('expect') ?? 0,
    tests: Number(ran[1]),
    files: Number(ran[2]),
    skipped: body.filter((line) => line.startsWith('(skip) ')),
    failed: isOdd ? [...failed, `(fail) ${name}: its process ended with ${code}`] : failed,
    body: `${body.join('\n').trimEnd()}\n`,
  };
}

/** A process that died says nothing of its tests: that counts as one that failed. */
function lost(name: string, output: string, code: number | string): Report {
  const said = `(fail) ${name}: its process ended with ${code} and told no result`;
  return {
    ...{ pass: 0, fail: 1, skip: 0, todo: 0, errors: 0, expectations: 0, tests: 0, files: 0 },
    skipped: [],
    failed: [said],
    body: `${output.trimEnd()}\nerror: the process of ${name} ended with ${code}\n${said}\n`,
  };
}

/** Print which files failed beside others and ran once more: how they ended then is in the sum. */
export function printAgain(names: readonly string[]): string {
  if (names.length === 0) return '';
  const files = `${names.length} file${names.length === 1 ? '' : 's'}`;
  return `\n${files} failed beside others and ran again alone; both runs are above:\n${names.join('\n')}\n`;
}

/** Print the sum of all reports as the runner itself ends: lists, counts, and how long it took. */
export function printSum(reports: readonly Report[], seconds: number): string {
  const sum = (of: (report: Report) => number): number => reports.reduce((all, one) => all + of(one), 0);
  const list = (what: string, lines: readonly string[]): string[] =>
    lines.length === 0 ? [] : ['', `${lines.length} test${lines.length === 1 ? '' : 's'} ${what}:`, ...lines];
  const count = (value: number, what: string): string[] => (value === 0 ? [] : [` ${value} ${what}`]);
  const errors = sum((one) => one.errors);
  return `${[
    ...list(
      'skipped',
      reports.flatMap(({ skipped }) => skipped),
    ),
    ...list(
      'failed',
      reports.flatMap(({ failed }) => failed),
    ),
    '',
    ` ${sum((one) => one.pass)} pass`,
    ...count(
      sum((one) => one.skip),
      'skip',
    ),
    ...count(
      sum((one) => one.todo),
      'todo',
    ),
    ` ${sum((one) => one.fail)} fail`,
    ...count(errors, errors === 1 ? 'error' : 'errors'),
    ` ${sum((one) => one.expectations)} expect() calls`,
    `Ran ${sum((one) => one.tests)} tests across ${sum((one) => one.files)} files. [${seconds.toFixed(2)}s]`,
  ].join('\n')}\n`;
}

/** Whether nothing failed. */
export function isGood(reports: readonly Report[]): boolean {
  return reports.every(({ fail, errors }) => fail === 0 && errors === 0);
}
