/**
 * Builds ./onionrelay: every thread entry, ESM bytecode, sourcemap beside it, version and commit stamped in.
 *
 * The executable must not read a .env or bunfig.toml that happens to lie where it is started.
 */
import { existsSync, renameSync } from 'node:fs';

// Paths below are those of this folder, wherever the build is started.
process.chdir(import.meta.dir);

const ENTRIES = ['src/main.ts', 'src/worker.ts', 'src/load.ts', 'src/client.ts', 'src/clerk.ts'].filter(
  (path) => existsSync(path),
);

function commit(): string {
  const git = Bun.spawnSync(['git', 'rev-parse', '--short=12', 'HEAD'], { stderr: 'ignore' });
  const head = git.success ? git.stdout.toString().trim() : 'unknown';
  const dirty = Bun.spawnSync(['git', 'status', '--porcelain', '--untracked-files=no'], { stderr: 'ignore' });
  return dirty.success && dirty.stdout.length > 0 ? `${head}+` : head;
}

const build = Bun.spawnSync(
  [
    process.execPath,
    'build',
    '--compile',
    '--minify-syntax',
    '--bytecode',
    '--format=esm',
    '--sourcemap=external',
    '--no-compile-autoload-dotenv',
    '--no-compile-autoload-bunfig',
    '--define',
    `ONIONRELAY_COMMIT=${JSON.stringify(commit())}`,
    '--outfile=onionrelay.new',
    ...ENTRIES,
  ],
  { stdout: 'inherit', stderr: 'inherit', env: { ...process.env, BUN_BE_BUN: '1' } },
);
if (!build.success) process.exit(1);
// Renamed into place, so that a relay that runs from the old file is not disturbed.
renameSync('onionrelay.new', 'onionrelay');
renameSync('onionrelay.new.map', 'onionrelay.map');
