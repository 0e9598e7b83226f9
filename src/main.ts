/**
 * Process entry: hands the command line to `cli/`, prints an operator's error without a stack, and exits.
 */

import { act } from './cli/actions.ts';
import { runSubcommand } from './cli/commands.ts';
import { OperatorError } from './fault.ts';
import { parseCommandLine } from './torrc/command-line.ts';

/** The exit code of a bug of ours. */
const EXIT_BUG = 70;

async function main(): Promise<number> {
  const argv = process.argv.slice(2);
  const home = process.env['HOME'] ?? null;
  return (await runSubcommand(argv, home)) ?? act(parseCommandLine(argv), home);
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    if (error instanceof OperatorError) {
      process.stderr.write(`onionrelay: ${error.message}\n`);
      process.exit(error.exitCode);
    }
    process.stderr.write(
      `onionrelay: bug: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
    process.exit(EXIT_BUG);
  },
);
