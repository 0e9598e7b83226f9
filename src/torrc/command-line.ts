/**
 * C tor's own argument style: `-f torrc`, `--verify-config`, `--Option value`, `+Option`, `/Option`.
 *
 * Pure. Options of the command line become torrc lines of the strongest layer; their place is `command line`.
 */

import { OperatorError } from '../fault.ts';
import type { TorrcLine } from './line.ts';

/** What the process was asked to do. */
export type CommandLineAction =
  | 'run'
  | 'verify-config'
  | 'list-fingerprint'
  | 'hash-password'
  | 'keygen'
  | 'dump-config'
  | 'list-torrc-options'
  | 'list-deprecated-options'
  | 'list-modules'
  | 'library-versions'
  | 'version'
  | 'help';

/** A command line taken apart. */
export interface CommandLine {
  readonly action: CommandLineAction;
  /** The action's argument: the password, `short`, `full`, `rsa`, `ed25519`; empty when there is none. */
  readonly argument: string;
  /** The torrc of `-f`; null means the usual places. `-` means standard input. */
  readonly torrcPath: string | null;
  readonly defaultsPath: string | null;
  /** Go on without the torrc of `-f` when it does not exist. */
  readonly ignoreMissing: boolean;
  readonly quiet: 'normal' | 'hush' | 'quiet';
  readonly overrides: readonly TorrcLine[];
}

/** Where torrc is looked for without `-f`, in this order. `home` may be null. */
export function usualTorrcPaths(home: string | null): string[] {
  return home === null ? ['/etc/tor/torrc'] : ['/etc/tor/torrc', `${home.replace(/\/+$/, '')}/.torrc`];
}

/** Where torrc-defaults is looked for without `--defaults-torrc`. */
export const USUAL_DEFAULTS_PATH = '/etc/tor/torrc-defaults';

type Takes = 'nothing' | 'argument' | 'maybe';

const ACTIONS: ReadonlyMap<string, readonly [CommandLineAction, Takes]> = new Map([
  ['--verify-config', ['verify-config', 'nothing']],
  ['--list-fingerprint', ['list-fingerprint', 'maybe']],
  ['--hash-password', ['hash-password', 'argument']],
  ['--keygen', ['keygen', 'nothing']],
  ['--dump-config', ['dump-config', 'maybe']],
  ['--list-torrc-options', ['list-torrc-options', 'nothing']],
  ['--list-deprecated-options', ['list-deprecated-options', 'nothing']],
  ['--list-modules', ['list-modules', 'nothing']],
  ['--library-versions', ['library-versions', 'nothing']],
  ['--version', ['version', 'nothing']],
  ['--help', ['help', 'nothing']],
  ['-h', ['help', 'nothing']],
]);

/** C tor's switches that this relay does not have, with what to do instead. */
const UNSUPPORTED: ReadonlyMap<string, string> = new Map([
  ['--keygen-family', 'make the family key with C tor and put it into the key directory'],
  ['--key-expiration', 'look at the log: it warns before a key expires'],
  ['--newpass', 'change the passphrase with C tor'],
  ['--passphrase-fd', 'keep the master key unencrypted, or offline'],
  ['--nt-service', 'run on Linux'],
  ['-nt-service', 'run on Linux'],
  ['--dbg-dump-subsystem-list', 'leave it out'],
]);

const ARGUMENTS: ReadonlyMap<string, readonly string[]> = new Map([
  ['list-fingerprint', ['', 'rsa', 'ed25519']],
  ['dump-config', ['', 'short', 'full']],
]);

const QUIETER = { normal: 0, hush: 1, quiet: 2 } as const;
type Quiet = keyof typeof QUIETER;

/**
 * Take a command line apart. `argv` holds the arguments only, without the program's name.
 *
 * @throws {OperatorError} on a switch without its value, or one that this relay does not have
 */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  let action: CommandLineAction = 'run';
  let argument = '';
  let torrcPath: string | null = null;
  let defaultsPath: string | null = null;
  let ignoreMissing = false;
  let quiet: Quiet = 'normal';
  const overrides: TorrcLine[] = [];
  const raise = (level: Quiet) => {
    if (QUIETER[level] > QUIETER[quiet]) quiet = level;
  };

  for (let at = 0; at < argv.length; ) {
    const word = argv[at++]!;
    const take = () => {
      if (at >= argv.length) throw bad(`${word} has no value`, `write ${word} VALUE`);
      return argv[at++]!;
    };
    const known = ACTIONS.get(word);
    if (known !== undefined) {
      action = known[0];
      const next = argv[at];
      if (known[1] === 'argument') argument = take();
      else if (known[1] === 'maybe' && next !== undefined && !next.startsWith('-')) argument = argv[at++]!;
      else argument = '';
      if (action === 'dump-config') raise('quiet');
      else if (!['verify-config', 'list-fingerprint', 'keygen'].includes(action)) raise('hush');
      checkArgument(action, argument);
      continue;
    }
    switch (word) {
      case '-f':
      case '--torrc-file':
        torrcPath = take();
        break;
      case '--defaults-torrc':
        defaultsPath = take();
        break;
      case '--format':
        take();
        break;
      case '--ignore-missing-torrc':
      case '--allow-missing-torrc':
        ignoreMissing = true;
        break;
      case '--no-passphrase':
        break;
      case '--quiet':
        raise('quiet');
        break;
      case '--hush':
        raise('hush');
        break;
      default: {
        const instead = UNSUPPORTED.get(word);
        if (instead !== undefined) throw bad(`${word} is not supported`, instead);
        overrides.push(override(word, take));
      }
    }
  }
  return { action, argument, torrcPath, defaultsPath, ignoreMissing, quiet, overrides };
}

/** Turn `--Option VALUE`, `+Option VALUE` or `/Option` into a line; the dashes may be left out. */
function override(word: string, take: () => string): TorrcLine {
  const bare = word.replace(/^--?/, '');
  const first = bare[0];
  const prefix = first === '+' || first === '/' ? first : '';
  const key = bare.slice(prefix.length);
  if (key === '') throw bad(`"${word}" names no option`, 'see --help');
  return { key, value: prefix === '/' ? '' : take(), prefix, file: 'command line', line: 0 };
}

function checkArgument(action: CommandLineAction, argument: string): void {
  const allowed = ARGUMENTS.get(action);
  if (allowed === undefined || allowed.includes(argument)) return;
  const choices = allowed.filter((each) => each !== '').join(' or ');
  throw bad(`--${action} "${argument}" is unknown`, `write --${action} ${choices}`);
}

function bad(what: string, hint: string): OperatorError {
  return new OperatorError(what, 'command line', hint);
}
