/**
 * torrc's PidFile: our process number, written once the DataDirectory is ours and removed when we end.
 */
import { unlinkSync, writeFileSync } from 'node:fs';
import { OperatorError } from '../fault.ts';
import { log } from '../log.ts';

/**
 * Write it.
 * @param where the torrc line, for the message
 * @throws OperatorError when the file cannot be written
 */
export function writePidFile(path: string, where: string): void {
  try {
    writeFileSync(path, `${process.pid}\n`, { mode: 0o644 });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new OperatorError(
      `PidFile ${path} cannot be written (${why})`,
      where,
      'make its folder writable for this user',
    );
  }
}

/** Remove it; a file that is gone already is fine. */
export function removePidFile(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    log.info('fs', `PidFile ${path} stays: ${String(error)}`);
  }
}
