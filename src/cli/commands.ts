/**
 * The same actions as subcommands, with help by citty: `onionrelay run -f torrc`, `onionrelay print man`.
 *
 * C tor's own argument style is not citty's grammar; a first word that is no subcommand goes to
 * `torrc/command-line` untouched.
 */
import { type ArgsDef, type CommandDef, defineCommand, runCommand, showUsage } from 'citty';
import { OperatorError } from '../fault.ts';
import { parseCommandLine } from '../torrc/command-line.ts';
import { VERSION } from '../version.ts';
import { act } from './actions.ts';
import { PRINTABLE, printDocument } from './print.ts';

const torrcArgs: ArgsDef = {
  torrc: { type: 'string', alias: ['f'], description: 'the torrc to read', valueHint: 'FILE' },
  defaults: {
    type: 'string',
    description: 'a torrc whose lines every other one overrides',
    valueHint: 'FILE',
  },
};

interface TorrcArgs {
  readonly torrc?: string | undefined;
  readonly defaults?: string | undefined;
}

/** Turn a subcommand's arguments into C tor's, so that there is one road from here on. */
function classic(args: TorrcArgs, ...more: string[]): string[] {
  const out = [...more];
  if (args.torrc !== undefined) out.push('-f', args.torrc);
  if (args.defaults !== undefined) out.push('--defaults-torrc', args.defaults);
  return out;
}

/** Build the command tree. `done` takes each command's exit code. */
export function commandTree(
  executable: string,
  home: string | null,
  done: (code: number) => void,
): CommandDef {
  const doing = (toArgs: (args: TorrcArgs & Record<string, unknown>) => string[]) => {
    return async ({ args }: { args: unknown }): Promise<void> => {
      done(await act(parseCommandLine(toArgs(args as TorrcArgs & Record<string, unknown>)), home));
    };
  };
  const simple = (name: string, description: string, ...flags: string[]) =>
    defineCommand({
      meta: { name, description },
      args: torrcArgs,
      run: doing((args) => classic(args, ...flags)),
    });
  return defineCommand({
    meta: { name: 'onionrelay', version: VERSION, description: 'A Tor relay that uses every core.' },
    subCommands: {
      run: simple('run', 'be a relay until a signal ends it'),
      'verify-config': simple(
        'verify-config',
        'read the configuration and say what is wrong with it',
        '--verify-config',
      ),
      fingerprint: defineCommand({
        meta: { name: 'fingerprint', description: "print this relay's name in the network" },
        args: { ...torrcArgs, kind: { type: 'positional', required: false, description: 'rsa or ed25519' } },
        run: doing((args) => classic(args, '--list-fingerprint', String(args['kind'] ?? 'rsa'))),
      }),
      keygen: simple('keygen', 'make keys, or a new signing key from the master key', '--keygen'),
      'hash-password': defineCommand({
        meta: { name: 'hash-password', description: 'hash a password for HashedControlPassword' },
        args: { password: { type: 'positional', required: true, description: 'the password' } },
        run: doing((args) => ['--hash-password', String(args['password'])]),
      }),
      'dump-config': defineCommand({
        meta: { name: 'dump-config', description: 'print the options in force' },
        args: { ...torrcArgs, mode: { type: 'positional', required: false, description: 'short or full' } },
        run: doing((args) => classic(args, '--dump-config', String(args['mode'] ?? 'short'))),
      }),
      print: defineCommand({
        meta: { name: 'print', description: 'print the man page, a systemd unit or a sample torrc' },
        args: { what: { type: 'positional', required: true, description: PRINTABLE.join(', ') } },
        run({ args }: { args: unknown }): void {
          const what = String((args as Record<string, unknown>)['what']);
          const known = PRINTABLE.find((name) => name === what);
          if (known === undefined) {
            throw new OperatorError(
              `cannot print "${what}"`,
              'command line',
              `write one of ${PRINTABLE.join(', ')}`,
            );
          }
          process.stdout.write(printDocument(known, VERSION, executable));
          done(0);
        },
      }),
    },
  });
}

/** Whether the first word asks for a subcommand. */
export function isSubcommand(argv: readonly string[], tree: CommandDef): boolean {
  const subCommands = tree.subCommands as Record<string, CommandDef>;
  return argv.length > 0 && Object.hasOwn(subCommands, argv[0]!);
}

/** Run a subcommand, or show its help. */
export async function runSubcommand(argv: readonly string[], tree: CommandDef): Promise<void> {
  const subCommands = tree.subCommands as Record<string, CommandDef>;
  const command = subCommands[argv[0]!]!;
  if (argv.includes('--help') || argv.includes('-h')) {
    await showUsage(command, tree);
    return;
  }
  await runCommand(command, { rawArgs: argv.slice(1) });
}
