/**
 * `--verify-config`: read the configuration as `run` would, and say what is wrong or noteworthy in it.
 */

import type { CommandLine } from '../torrc/command-line.ts';
import { loadLayers } from '../torrc/torrc-file.ts';
import { type BuiltOptions, buildOptions } from '../torrc/validate.ts';

/**
 * Load the files that a command line names and build options from them: what `run`, reload and all the
 * printing actions begin with.
 *
 * @throws {OperatorError} on the first fault
 */
export function loadOptions(commandLine: CommandLine, home: string | null): BuiltOptions {
  return buildOptions({ ...loadLayers(commandLine, home), home });
}

/**
 * Check a configuration. Returns the text for the terminal; its last line is C tor's.
 *
 * @throws {OperatorError} on the first fault
 */
export function verifyConfig(commandLine: CommandLine, home: string | null): string {
  const { notes, warnings } = loadOptions(commandLine, home);
  const lines = [...warnings.map((text) => `[warn] ${text}`), ...notes.map((text) => `[notice] ${text}`)];
  if (commandLine.quiet === 'quiet') return '';
  const said = commandLine.quiet === 'hush' ? [] : lines;
  return [...said, 'Configuration was valid', ''].join('\n');
}
