/** Runs python3-stem, which knows directory documents independently of C tor. */

const PYTHON = '/usr/bin/python3';

/** Run a script with this standard input. */
export function python(script: string, input: string): { ok: boolean; out: string; error: string } {
  const child = Bun.spawnSync([PYTHON, '-c', script], { stdin: Buffer.from(input) });
  return { ok: child.success, out: child.stdout.toString(), error: child.stderr.toString() };
}

/** Whether stem is there. Without it tests are skipped, but never in CI. */
export function needsStem(what: string): boolean {
  try {
    if (python('import stem.descriptor, cryptography', '').ok) return true;
  } catch {
    // No python at all.
  }
  if (process.env['CI'] !== undefined && process.env['CI'] !== '') {
    throw new Error(
      `${what}: stem is not installed (Debian: apt install python3-stem), and CI must not skip this`,
    );
  }
  console.warn(`SKIPPED: ${what}: stem is not installed (Debian: apt install python3-stem)`);
  return false;
}
