/**
 * torrc's PidFile: our process number, written once the DataDirectory is ours and removed when we end.
 */
import { closeSync, constants, openSync, unlinkSync, writeSync } from 'node:fs';
import { fileErrorCode } from '../atomic-file.ts';
import { OperatorError } from '../fault.ts';
import { log } from '../log.ts';

/**
 * Write it. Its folder may belong to others, who must not have us write into a file that they point to.
 * @param where the torrc line, for the message
 * @throws OperatorError when the file cannot be written, or is a symbolic link
 */
export function writePidFile(path: string, where: string): void {
  try {
    const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW, O_NONBLOCK } = constants;
    // Nonblocking, so that a FIFO of that name is refused and not waited for.
    const fd = openSync(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK, 0o644);
    try {
      writeSync(fd, `${process.pid}\n`);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const isLink = fileErrorCode(error) === 'ELOOP';
    throw new OperatorError(
      `PidFile ${path} cannot be written (${why})`,
      where,
      isLink ? 'it is a symbolic link: remove it' : 'make its folder writable for this user',
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
