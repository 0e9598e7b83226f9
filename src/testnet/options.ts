/** The words behind `onionrelay testnet`. Pure. */
import { parseArgs } from 'node:util';
import { OperatorError } from '../fault.ts';
import { RELAYS_LEAST, RELAYS_MOST, RELAYS_USUAL } from './cast.ts';
import { parseSize } from './payload.ts';

/** Exit code of a command line that does not read. */
export const EXIT_USAGE = 2;
const DOWNLOADS_MOST = 64;
const MINUTES_MOST = 7 * 24 * 60;

/** One option as the help shows it. */
export interface OptionSpec {
  readonly name: string;
  readonly hint: string | null;
  readonly text: string;
}

export const TESTNET_OPTIONS: readonly OptionSpec[] = [
  { name: 'relays', hint: 'N', text: `how many relays, ${RELAYS_LEAST} to ${RELAYS_MOST} (${RELAYS_USUAL})` },
  {
    name: 'minutes',
    hint: 'M',
    text: 'how long it is up, as 0.5 (until Ctrl-C; one minute when the output is no terminal)',
  },
  { name: 'downloads', hint: 'N', text: 'downloads at a time; 0: none of our own (3)' },
  { name: 'size', hint: 'SIZE', text: 'what each of them brings (10MB)' },
  { name: 'socks-port', hint: 'PORT', text: 'the SOCKS port of our client (any that is free)' },
  { name: 'json', hint: null, text: 'print the summary as JSON; progress goes to standard error' },
];

/** What a call asks for. */
export interface TestnetWish {
  readonly relays: number;
  /** Null: until somebody ends it, or a minute when nobody watches. */
  readonly minutes: number | null;
  readonly downloads: number;
  readonly downloadBytes: number;
  readonly socksPort: number;
  readonly json: boolean;
}

function bad(what: string, hint: string): OperatorError {
  return new OperatorError(what, 'testnet', hint, EXIT_USAGE);
}

/** Read the words. @throws OperatorError */
export function parseTestnet(words: readonly string[]): TestnetWish {
  const values = readWords(words);
  const whole = (name: string, usual: number, least: number, most: number): number => {
    const text = values[name];
    const number = typeof text === 'string' && /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (text === undefined) return usual;
    if (number >= least && number <= most) return number;
    throw bad(
      `--${name} "${text}" is not a number from ${least} to ${most}`,
      'see onionrelay testnet --help',
    );
  };
  return {
    relays: whole('relays', RELAYS_USUAL, RELAYS_LEAST, RELAYS_MOST),
    minutes: readMinutes(values['minutes']),
    downloads: whole('downloads', 3, 0, DOWNLOADS_MOST),
    downloadBytes: readSize(values['size']),
    socksPort: whole('socks-port', 0, 0, 65_535),
    json: values['json'] === true,
  };
}

function readWords(words: readonly string[]): Record<string, string | boolean | undefined> {
  const options = Object.fromEntries(
    TESTNET_OPTIONS.map(({ name, hint }) => [
      name,
      { type: hint === null ? ('boolean' as const) : ('string' as const) },
    ]),
  );
  try {
    return parseArgs({ args: [...words], options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    const what = error instanceof Error ? error.message.split('. ')[0]! : String(error);
    throw bad(what, 'see onionrelay testnet --help');
  }
}

function readMinutes(text: string | boolean | undefined): number | null {
  if (text === undefined) return null;
  const minutes = typeof text === 'string' && /^\d*\.?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (minutes > 0 && minutes <= MINUTES_MOST) return minutes;
  throw bad(`--minutes "${text}" is not a number of minutes`, 'write --minutes 0.5, for half a minute');
}

function readSize(text: string | boolean | undefined): number {
  const bytes = parseSize(typeof text === 'string' ? text : '10MB');
  if (bytes !== null && bytes > 0) return bytes;
  throw bad(`--size "${text}" is not a size`, 'write --size 10MB');
}
