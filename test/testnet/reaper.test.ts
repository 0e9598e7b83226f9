/** The reaper ends what it was told of, removes the folder, and touches nothing else. */
import { expect, test } from 'bun:test';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FOLDER_PREFIX, isNetworkFolder, Reaper, ReaperNotes, reap } from '../../src/testnet/reaper.ts';
import { onionrelayCommand, waitUntil } from '../net/network-node.ts';

const SLEEP = [process.execPath, '-e', 'setInterval(() => {}, 1000)'];

function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), FOLDER_PREFIX));
  writeFileSync(join(folder, 'file'), 'x');
  return folder;
}

test('notes are read in any pieces; only folders of test networks are taken', () => {
  const notes = new ReaperNotes();
  notes.take('folder /etc\npid 1');
  notes.take(`2\npid x\nnonsense\nfolder ${tmpdir()}/${FOLDER_PREFIX}abc\n`);
  expect(notes.pids).toEqual([12]);
  expect(notes.folder).toBe(`${tmpdir()}/${FOLDER_PREFIX}abc`);
  for (const path of [
    '/etc',
    tmpdir(),
    `${tmpdir()}/other`,
    `${tmpdir()}/${FOLDER_PREFIX}a/..`,
    `/${FOLDER_PREFIX}a`,
  ]) {
    expect(isNetworkFolder(path), path).toBe(false);
  }
});

test('a reaper ends children of the folder and removes it, and lets others live', async () => {
  const folder = makeFolder();
  const own = Bun.spawn(SLEEP, { cwd: folder });
  const other = Bun.spawn(SLEEP, { cwd: tmpdir() });
  const notes = new ReaperNotes();
  notes.take(`folder ${folder}\npid ${own.pid}\npid ${other.pid}\npid 4194303\n`);
  await reap(notes);
  expect(existsSync(folder)).toBe(false);
  await own.exited;
  expect(own.signalCode).toBe('SIGKILL');
  expect(other.exitCode).toBeNull();
  other.kill('SIGKILL');
  await other.exited;
});

test('without a folder a reaper does nothing', async () => {
  const child = Bun.spawn(SLEEP);
  const notes = new ReaperNotes();
  notes.take(`pid ${child.pid}\n`);
  await reap(notes);
  expect(child.exitCode).toBeNull();
  child.kill('SIGKILL');
  await child.exited;
});

test('as a process it does so in good order, whatever signals come', async () => {
  const folder = makeFolder();
  const reaper = new Reaper(onionrelayCommand(), folder);
  const child = Bun.spawn(SLEEP, { cwd: folder });
  reaper.watch(child.pid);
  await reaper.finish();
  expect(existsSync(folder)).toBe(false);
  await child.exited;
}, 60_000);

test('as a process it does so when the network is killed', async () => {
  const folder = makeFolder();
  const script = `
    import { Reaper } from ${JSON.stringify(join(import.meta.dir, '../../src/testnet/reaper.ts'))};
    const folder = ${JSON.stringify(folder)};
    const reaper = new Reaper(${JSON.stringify(onionrelayCommand())}, folder);
    const child = Bun.spawn(${JSON.stringify(SLEEP)}, { cwd: folder, detached: true });
    reaper.watch(child.pid);
    console.log(child.pid + ' ' + reaper.pid);
    setInterval(() => {}, 1000);
  `;
  const path = join(tmpdir(), `reaper-test-${process.pid}.ts`);
  writeFileSync(path, script);
  const network = Bun.spawn([process.execPath, path], { stdout: 'pipe' });
  let said = '';
  for await (const chunk of network.stdout) {
    said += Buffer.from(chunk).toString();
    if (said.includes('\n')) break;
  }
  const pids = said.trim().split(' ').map(Number);
  network.kill('SIGKILL');
  await network.exited;
  await waitUntil('the reaper', 30_000, () => pids.every((pid) => !existsSync(`/proc/${pid}`)));
  expect(existsSync(folder)).toBe(false);
  rmSync(path);
}, 60_000);
