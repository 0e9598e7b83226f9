/**
 * Process entry: hands the command line to `cli/`, prints an operator's error without a stack, and exits.
 */

import { act } from './cli/actions.ts';
import { commandTree, isSubcommand, runSubcommand } from './cli/commands.ts';
import { OperatorError } from './fault.ts';
import { parseCommandLine } from './torrc/command-line.ts';

async function main(): Promise<number> {
  const argv = process.argv.slice(2);
  const home = process.env['HOME'] ?? null;
  let exitCode = 0;
  const tree = commandTree(process.execPath, home, (code) => {
    exitCode = code;
  });
  if (isSubcommand(argv, tree)) {
    await runSubcommand(argv, tree);
    return exitCode;
  }
  return act(parseCommandLine(argv), home);
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
    process.exit(70);
  },
);
