/**
 * The same actions as subcommands, with help by citty: `onionrelay run -f torrc`, `onionrelay print man`.
 *
 * citty describes them; what follows a subcommand's name is read by `torrc/command-line`, so that every switch and
 * every `--Option value` of C tor's style works behind it, and nothing is silently left out. A first word that is no
 * subcommand goes there untouched, unless it looks like one that does not exist.
 */
import { type ArgsDef, type CommandDef, defineCommand, renderUsage } from 'citty';
import { OperatorError } from '../fault.ts';
import { parseCommandLine } from '../torrc/command-line.ts';
import { findOption } from '../torrc/option-table.ts';
import { VERSION } from '../version.ts';
import { act } from './actions.ts';
import { BENCH_ARGS, BENCH_EXAMPLES, bench } from './bench.ts';
import { ownCommand } from './own-command.ts';
import { PRINTABLE, printDocument, printHelp } from './print.ts';
import { TESTNET_ARGS, TESTNET_EXAMPLES, testnet } from './testnet.ts';

const TORRC_ARGS: ArgsDef = {
  'torrc-file': { type: 'string', alias: ['f'], description: 'the torrc to read', valueHint: 'FILE' },
  'defaults-torrc': {
    type: 'string',
    description: 'a torrc whose lines every other one overrides',
    valueHint: 'FILE',
  },
  'ignore-missing-torrc': { type: 'boolean', description: 'go on when the torrc does not exist' },
  quiet: { type: 'boolean', description: 'log nothing to the terminal' },
  hush: { type: 'boolean', description: 'log only warnings to the terminal' },
  OPTION: { type: 'string', description: 'any option of torrc, stronger than the file', valueHint: 'VALUE' },
};

/** What a subcommand does with the words behind its name. */
interface Subcommand {
  readonly description: string;
  readonly args: ArgsDef;
  /** What the help ends with. */
  readonly examples?: string;
  /** Resolves with the exit code. */
  run(words: readonly string[], home: string | null): Promise<number>;
}

/** A subcommand that is one of C tor's switches. */
function asSwitch(description: string, flag: string | null, args: ArgsDef = {}): Subcommand {
  return {
    description,
    args: { ...args, ...TORRC_ARGS },
    run: (words, home) => act(parseCommandLine(flag === null ? words : [flag, ...words]), home),
  };
}

/** One whose argument is a word of a few, standing anywhere among the switches. */
function asChoice(description: string, flag: string, name: string, choices: readonly string[]): Subcommand {
  const kind = { type: 'positional', required: false, description: choices.join(' or ') } as const;
  const plain = asSwitch(description, null, { [name]: kind });
  return {
    ...plain,
    run(words, home) {
      const at = words.findIndex((word, i) => choices.includes(word) && !takesWord(words[i - 1]));
      const rest = at < 0 ? words : words.filter((_, i) => i !== at);
      return plain.run([flag, at < 0 ? choices[0]! : words[at]!, ...rest], home);
    },
  };
}

/** Whether a switch has its value behind it. */
function takesWord(word: string | undefined): boolean {
  if (word === undefined || !word.startsWith('-')) return false;
  return !['--quiet', '--hush', '--ignore-missing-torrc', '--allow-missing-torrc'].includes(word);
}

const SUBCOMMANDS: Readonly<Record<string, Subcommand>> = {
  run: asSwitch('be a relay until a signal ends it', null),
  'verify-config': asSwitch('read the configuration and say what is wrong with it', '--verify-config'),
  fingerprint: asChoice("print this relay's name in the network", '--list-fingerprint', 'KIND', [
    'rsa',
    'ed25519',
  ]),
  keygen: asSwitch('make keys, or a new signing key from the master key', '--keygen'),
  'hash-password': {
    description: 'hash a password for HashedControlPassword',
    args: { PASSWORD: { type: 'positional', required: true, description: 'the password' } },
    run: (words, home) =>
      act(parseCommandLine(['--hash-password', only(words, 'hash-password PASSWORD')]), home),
  },
  'dump-config': asChoice('print the options in force', '--dump-config', 'MODE', ['short', 'full']),
  print: {
    description: 'print the man page, a systemd unit or a sample torrc',
    args: { WHAT: { type: 'positional', required: true, description: PRINTABLE.join(', ') } },
    async run(words) {
      const what = only(words, `print ${PRINTABLE.join('|')}`);
      const known = PRINTABLE.find((name) => name === what);
      if (known === undefined) throw bad(`cannot print "${what}"`, `write one of ${PRINTABLE.join(', ')}`);
      process.stdout.write(printDocument(known, VERSION, ownCommand().join(' ')));
      return 0;
    },
  },
  bench: {
    description: 'load a relay on loopback and measure it, beside C tor if asked',
    args: BENCH_ARGS,
    examples: BENCH_EXAMPLES,
    run: bench,
  },
  testnet: {
    description: 'a whole private Tor network on this machine, with downloads through it',
    args: TESTNET_ARGS,
    examples: TESTNET_EXAMPLES,
    run: testnet,
  },
};

function bad(what: string, hint: string): OperatorError {
  return new OperatorError(what, 'command line', hint);
}

function only(words: readonly string[], usage: string): string {
  if (words.length === 1) return words[0]!;
  throw bad(`${words.length} arguments where one is needed`, `write onionrelay ${usage}`);
}

function describe(name: string, { description, args }: Subcommand): CommandDef {
  return defineCommand({ meta: { name, description }, args });
}

/** The tree that help is printed from. */
function tree(): CommandDef {
  const subCommands: Record<string, CommandDef> = {};
  for (const [name, command] of Object.entries(SUBCOMMANDS)) subCommands[name] = describe(name, command);
  return defineCommand({
    meta: { name: 'onionrelay', version: VERSION, description: 'A Tor relay that uses every core.' },
    subCommands,
  });
}

async function usage(command: CommandDef, parent?: CommandDef): Promise<string> {
  const text = await renderUsage(command, parent);
  if (process.stdout.isTTY && process.env['NO_COLOR'] === undefined) return `${text}\n`;
  return `${Bun.stripANSI(text).replace(/[ \t]+$/gm, '')}\n`;
}

/** The help of the whole program: subcommands, then C tor's command line. */
export async function helpText(): Promise<string> {
  return `${await usage(tree())}\nOr as C tor is called:\n\n${printHelp()}`;
}

/**
 * Run the subcommand that the first word names.
 *
 * @returns the exit code, or null when the words are a command line of C tor's style
 * @throws OperatorError when the first word is neither a subcommand nor an option
 */
export async function runSubcommand(argv: readonly string[], home: string | null): Promise<number | null> {
  const [name = '', ...words] = argv;
  if (name === '--help' || name === '-h') {
    process.stdout.write(await helpText());
    return 0;
  }
  const command = Object.hasOwn(SUBCOMMANDS, name) ? SUBCOMMANDS[name]! : null;
  if (command === null) {
    if (/^[a-z]/i.test(name) && findOption(name, true).kind === 'unknown') {
      throw bad(
        `there is no subcommand "${name}"`,
        `write one of ${Object.keys(SUBCOMMANDS).join(', ')}, or see onionrelay --help`,
      );
    }
    return null;
  }
  if (words.includes('--help') || words.includes('-h')) {
    const text = await usage(describe(name, command), tree());
    process.stdout.write(command.examples === undefined ? text : `${text}\n${command.examples}`);
    return 0;
  }
  return command.run(words, home);
}
