import { expect, test } from 'bun:test';
import { isGood, printAgain, printSum, readReport } from './run-report.ts';

const GOOD = `bun test v1.4.5 (a7733435c)

test/net/one.test.ts:
(pass) one [0.12ms]
(skip) two

 1 pass
 1 skip
 0 fail
 12 expect() calls
Ran 2 tests across 1 file. [1.20s]
`;

const BAD = `
test/cell/three.test.ts:
(pass) three [0.12ms]
error: expect(received).toBe(expected)
(fail) four > five [3.00ms]

1 tests skipped:
(skip) six


1 tests failed:
(fail) four > five [3.00ms]

 1 pass
 1 skip
 1 fail
 1 error
 3 expect() calls
Ran 3 tests across 2 files. [10.00s]
`;

test('a report is read from what the runner prints', () => {
  const good = readReport('net/one', GOOD, 0);
  expect(good).toMatchObject({ pass: 1, skip: 1, fail: 0, errors: 0, expectations: 12, tests: 2, files: 1 });
  expect(good.skipped).toEqual(['(skip) two']);
  expect(good.body).toEndWith('(pass) one [0.12ms]\n(skip) two\n');
  expect(isGood([good])).toBe(true);
});

test('lists at its end are no second failure', () => {
  const bad = readReport('cell', BAD, 1);
  expect(bad).toMatchObject({ pass: 1, skip: 1, fail: 1, errors: 1, tests: 3, files: 2 });
  expect(bad.failed).toEqual(['(fail) four > five [3.00ms]']);
  expect(bad.body).toEndWith('(fail) four > five [3.00ms]\n');
  expect(bad.body).toContain('error: expect(received)');
});

test('a process that told no result, or another than its status, has failed', () => {
  const dead = readReport('sim/sim', '\n(pass) one [0.12ms]\n', 'SIGKILL');
  expect(dead.fail).toBe(1);
  expect(dead.body).toContain(
    'error: the process of sim/sim ended with SIGKILL\n(fail) sim/sim: its process ended with SIGKILL',
  );
  const odd = readReport('net/one', GOOD, 1);
  expect(odd).toMatchObject({ pass: 1, fail: 1, failed: ['(fail) net/one: its process ended with 1'] });
  expect(isGood([odd])).toBe(false);
});

test('an error between tests is a failure', () => {
  expect(isGood([readReport('cell', BAD.replace(' 1 fail', ' 0 fail'), 1)])).toBe(false);
});

test('the sum reads as one report', () => {
  const reports = [readReport('net/one', GOOD, 0), readReport('cell', BAD, 1), readReport('x', '', 1)];
  const text = printSum(reports, 61.234);
  expect(text).toBe(`
1 test skipped:
(skip) two

2 tests failed:
(fail) four > five [3.00ms]
(fail) x: its process ended with 1 and told no result

 2 pass
 2 skip
 2 fail
 1 error
 15 expect() calls
Ran 5 tests across 3 files. [61.23s]
`);
});

test('files that ran again are named', () => {
  expect(printAgain([])).toBe('');
  expect(printAgain(['net/link'])).toContain('1 file failed beside others and ran again alone');
  expect(printAgain(['net/link', 'net/exit'])).toEndWith(':\nnet/link\nnet/exit\n');
});
