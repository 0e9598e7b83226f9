/**
 * The actions of C tor's command line, each to its text or its run. Subcommands (`cli/commands`) come here too.
 */
import { randomBytes } from 'node:crypto';
import { openKeys } from '../daemon/directories.ts';
import { signingPolicy } from '../daemon/key-keeper.ts';
import { becomeUser, keepDebuggersOff } from '../daemon/privilege.ts';
import { EXIT_CONFIG, OperatorError } from '../fault.ts';
import { writeFingerprintFiles } from '../keys/fingerprint-file.ts';
import { loadOrCreateIdentity } from '../keys/identity.ts';
import { wallSec } from '../time/clock.ts';
import type { CommandLine } from '../torrc/command-line.ts';
import { placeOf } from '../torrc/relay-options.ts';
import type { BuiltOptions } from '../torrc/validate.ts';
import { COMMIT, VERSION } from '../version.ts';
import { dumpConfig } from './dump-config.ts';
import { fingerprintText } from './fingerprint.ts';
import { hashPassword } from './hash-password.ts';
import { keygenText } from './keygen.ts';
import { printHelp, printOptionNames } from './print.ts';
import { run } from './run.ts';
import { loadOptions, verifyConfig } from './verify-config.ts';

/** The keys are the relay's: they are read and made as the user that it runs as. */
function storeOf({ options }: BuiltOptions) {
  if (options.user !== null) becomeUser(options.user, placeOf(options, 'User'));
  keepDebuggersOff(options);
  return openKeys(options, (text) => process.stderr.write(`[warn] ${text}\n`));
}

/** The one line that names this build. */
export function versionText(): string {
  return `onionrelay version ${VERSION} (${COMMIT}), on Bun ${Bun.version}.\n`;
}

/** Do what the command line asks; resolves with the exit code. @throws OperatorError */
export async function act(commandLine: CommandLine, home: string | null): Promise<number> {
  if (commandLine.action === 'run') return run(commandLine, home);
  process.stdout.write(textOf(commandLine, home));
  return 0;
}

function textOf(commandLine: CommandLine, home: string | null): string {
  switch (commandLine.action) {
    case 'verify-config':
      return verifyConfig(commandLine, home);
    case 'dump-config':
      return dumpConfig(loadOptions(commandLine, home), commandLine.argument === 'full' ? 'full' : 'short');
    case 'hash-password':
      return `${hashPassword(commandLine.argument, (n) => new Uint8Array(randomBytes(n)))}\n`;
    case 'list-fingerprint': {
      const built = loadOptions(commandLine, home);
      const { options } = built;
      const store = storeOf(built);
      const identity = loadOrCreateIdentity(store, wallSec(), signingPolicy(options));
      writeFingerprintFiles(store, options.nickname, identity, options.bridgeRelay);
      return fingerprintText(
        options.nickname,
        identity,
        commandLine.argument === 'ed25519' ? 'ed25519' : 'rsa',
      );
    }
    case 'keygen': {
      const built = loadOptions(commandLine, home);
      return keygenText(storeOf(built), wallSec(), signingPolicy(built.options));
    }
    case 'list-torrc-options':
      return printOptionNames();
    case 'list-deprecated-options':
      return '';
    case 'list-modules':
      return 'relay: yes\ndirauth: no\ndircache: no\npow: no\n';
    case 'library-versions':
      return `Bun ${Bun.version}\nBoringSSL ${process.versions['boringssl'] ?? 'built in'}\n`;
    case 'version':
      return versionText();
    case 'help':
      return printHelp();
    default:
      throw new OperatorError(
        `unknown action ${commandLine.action}`,
        'command line',
        'see --help',
        EXIT_CONFIG,
      );
  }
}
