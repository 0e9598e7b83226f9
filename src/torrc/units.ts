/**
 * Values of torrc options as text: booleans, numbers, amounts of memory, spans of time, lists.
 *
 * Pure. Every parser returns either the value or what is wrong and what could be written instead; it never
 * throws, because only the caller knows `file:line`. Limits and unit names are those of C tor 0.4.9.11.
 *
 * @source C tor's manual page, section "Units"
 */

/** A value, or why there is none (`why` continues "VALUE ...", `hint` says what to write). */
export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly why: string; readonly hint: string };

const INT_MAX = 2147483647;
const INT64_MAX = 9223372036854775807n;

const KILO = 1024;
const MEGA = KILO * KILO;
const GIGA = MEGA * KILO;
const TERA = GIGA * KILO;

const MEMORY_UNITS: ReadonlyMap<string, number> = new Map([
  ...scale(1, ['', 'b', 'byte', 'bytes']),
  ...scale(KILO, ['kb', 'kbyte', 'kbytes', 'kilobyte', 'kilobytes']),
  ...scale(KILO / 8, ['kbit', 'kbits', 'kilobit', 'kilobits']),
  ...scale(MEGA, ['m', 'mb', 'mbyte', 'mbytes', 'megabyte', 'megabytes']),
  ...scale(MEGA / 8, ['mbit', 'mbits', 'megabit', 'megabits']),
  ...scale(GIGA, ['gb', 'gbyte', 'gbytes', 'gigabyte', 'gigabytes']),
  ...scale(GIGA / 8, ['gbit', 'gbits', 'gigabit', 'gigabits']),
  ...scale(TERA, ['tb', 'tbyte', 'tbytes', 'terabyte', 'terabytes']),
  ...scale(TERA / 8, ['tbit', 'tbits', 'terabit', 'terabits']),
]);

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const WEEK = 7 * DAY;
/** C tor's month: a twelfth of 365.24 days. */
const MONTH = 2629728;

const TIME_UNITS: ReadonlyMap<string, number> = new Map([
  ...scale(1, ['', 'second', 'seconds']),
  ...scale(MINUTE, ['minute', 'minutes']),
  ...scale(HOUR, ['hour', 'hours']),
  ...scale(DAY, ['day', 'days']),
  ...scale(WEEK, ['week', 'weeks']),
  ...scale(MONTH, ['month', 'months']),
]);

const MSEC_UNITS: ReadonlyMap<string, number> = new Map([
  ...scale(1, ['', 'msec', 'millisecond', 'milliseconds']),
  ...scale(1000, ['second', 'seconds']),
  ...scale(1000 * MINUTE, ['minute', 'minutes']),
  ...scale(1000 * HOUR, ['hour', 'hours']),
  ...scale(1000 * DAY, ['day', 'days']),
  ...scale(1000 * WEEK, ['week', 'weeks']),
]);

function scale(factor: number, names: readonly string[]): [string, number][] {
  return names.map((name) => [name, factor]);
}

function good<T>(value: T): Parsed<T> {
  return { ok: true, value };
}

function bad(why: string, hint: string): Parsed<never> {
  return { ok: false, why, hint };
}

/** Parse `0` or `1`. */
export function parseBoolean(text: string): Parsed<boolean> {
  if (text === '0' || text === '1') return good(text === '1');
  return bad('is neither 0 nor 1', 'write 0 or 1');
}

/** Parse `0`, `1` or `auto` (any case). */
export function parseAutoBoolean(text: string): Parsed<boolean | 'auto'> {
  if (text.toLowerCase() === 'auto') return good('auto');
  if (text === '0' || text === '1') return good(text === '1');
  return bad('is neither 0, 1 nor auto', 'write 0, 1 or auto');
}

/** Parse a decimal integer within [least, most]. */
export function parseInteger(text: string, least = -INT_MAX - 1, most = INT_MAX): Parsed<number> {
  const value = /^[+-]?[0-9]{1,20}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return good(value === 0 ? 0 : value);
  return bad(`is no whole number from ${least} to ${most}`, `write a number from ${least} to ${most}`);
}

/** Parse an unsigned 64-bit integer; kept as a bigint because it may exceed a double. */
export function parseCount64(text: string): Parsed<bigint> {
  if (/^\+?[0-9]{1,20}$/.test(text)) {
    const value = BigInt(text.replace('+', ''));
    if (value <= 18446744073709551615n) return good(value);
  }
  return bad('is no unsigned 64-bit number', 'write a number from 0 to 18446744073709551615');
}

/** Parse a decimal fraction such as `0.75`. */
export function parseNumber(text: string): Parsed<number> {
  if (/^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?$/i.test(text)) {
    const value = Number(text);
    const underflow = value === 0 && /[1-9]/.test(text.replace(/e.*/i, ''));
    if (Number.isFinite(value) && !underflow) return good(value);
    return bad('cannot be held by a floating-point number', 'write a number of ordinary size');
  }
  return bad('is no number', 'write a number such as 0.75');
}

/** Parse an amount of memory or bandwidth to bytes: `512 KB`, `1.5 GBytes`, `8 MBits`. */
export function parseMemory(text: string): Parsed<number> {
  return parseUnits(text, MEMORY_UNITS, INT64_MAX, 'write a number and a unit, for example "512 KBytes"');
}

/** Parse a span of time to seconds: `30`, `5 minutes`, `2 weeks`. */
export function parseInterval(text: string): Parsed<number> {
  return parseUnits(text, TIME_UNITS, BigInt(INT_MAX), 'write a number and a unit, for example "30 minutes"');
}

/** Parse a span of time to milliseconds: `1750`, `100 msec`, `2 seconds`. */
export function parseMsecInterval(text: string): Parsed<number> {
  return parseUnits(text, MSEC_UNITS, BigInt(INT_MAX), 'write a number and a unit, for example "100 msec"');
}

/** Parse what used to be a list of intervals: only the first counts. */
export function parseIntervalList(text: string): Parsed<number> {
  return parseInterval(text.split(',', 1)[0]!);
}

function parseUnits(
  text: string,
  units: ReadonlyMap<string, number>,
  most: bigint,
  hint: string,
): Parsed<number> {
  const found = /^\+?([0-9]+)(?:(\.[0-9]*(?:e[+-]?[0-9]+)?)|)[ \t]*(.*)$/is.exec(
    text.startsWith('.') ? `0${text}` : text,
  );
  if (found === null) return bad('is no amount', hint);
  const factor = units.get(found[3]!.toLowerCase().trimStart());
  if (factor === undefined) return bad(`has the unknown unit "${found[3]}"`, hint);
  if (found[2] === undefined) {
    if (found[1]!.length > 20) return bad('is too large', hint);
    const product = BigInt(found[1]!) * BigInt(factor);
    return product > most ? bad('is too large', hint) : good(Number(product));
  }
  const product = Math.trunc(Number(found[1]! + found[2]) * factor);
  if (!(product >= 0 && product <= Number(most))) return bad('is too large', hint);
  return good(product);
}

/** Split a comma-separated list; blanks around items and empty items vanish. */
export function parseList(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, ''))
    .filter((item) => item !== '');
}
