/**
 * How this program is started again: the executable alone, or Bun with our main file.
 */

/** The words of the command, without arguments. */
export function ownCommand(): string[] {
  // In the executable argv[1] is a name inside it, not a file to run.
  return isCompiled() ? [process.execPath] : [process.execPath, ...process.argv.slice(1, 2)];
}

function isCompiled(): boolean {
  return import.meta.url.includes('/$bunfs/');
}
