/**
 * Fields that several directory documents share: times, numbers, nicknames, fingerprints, base64 values.
 *
 * Parsing functions take the item that the field stands in, so that their errors name it.
 *
 * @source dir-spec "Document meta-format", "Nonterminals in server descriptors"
 */
import type { Endpoint } from '../bytes/address.ts';
import { parseIp } from '../bytes/address.ts';
import { decodeBase64, decodeHex, encodeHex } from '../bytes/base.ts';
import type { Item } from './item.ts';

const TIME = /^(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)$/;
const DAYS_BEFORE_MONTH = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
const DAYS_IN_MONTH = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

function isLeap(year: number): boolean {
  return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
}

/**
 * Parse `YYYY-MM-DD HH:MM:SS`, which is always UTC.
 * @returns seconds since 1970, or null when it is no such time or lies before 1970
 */
export function parseTime(text: string): number | null {
  const match = TIME.exec(text);
  if (match === null) return null;
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  if (year < 1970 || month < 1 || month > 12 || hour > 23 || minute > 59 || second > 60) return null;
  const isLeapDay = isLeap(year) && month === 2 && day === 29;
  if (day < 1 || (day > DAYS_IN_MONTH[month - 1]! && !isLeapDay)) return null;
  const past = year - 1;
  const leapDays = Math.floor(past / 4) - Math.floor(past / 100) + Math.floor(past / 400) - 477;
  const afterLeapDay = isLeap(year) && month > 2 ? 1 : 0;
  const days = (year - 1970) * 365 + leapDays + DAYS_BEFORE_MONTH[month - 1]! + afterLeapDay + day - 1;
  return days * 86400 + hour * 3600 + minute * 60 + second;
}

/** Print seconds since 1970 as `YYYY-MM-DD HH:MM:SS` in UTC. Fractions are dropped. */
export function printTime(sec: number): string {
  const iso = new Date(Math.floor(sec) * 1000).toISOString();
  return `${iso.slice(0, 10)} ${iso.slice(11, 19)}`;
}

/** Read a whole line as a time. @throws Malformed */
export function timeField(item: Item): number {
  const sec = parseTime(item.rest);
  if (sec === null) throw item.malformed('is not a time');
  return sec;
}

/** Parse a decimal integer within `[min, max]`; null when it is none. A sign is accepted. */
export function parseInteger(text: string, min: number, max: number): number | null {
  if (!/^[+-]?\d{1,20}$/.test(text)) return null;
  const value = Number(text);
  return value >= min && value <= max ? value : null;
}

/** Read argument `index` as an integer within `[min, max]`. @throws Malformed */
export function integerField(item: Item, index: number, min: number, max: number): number {
  const value = parseInteger(item.arg(index), min, max);
  if (value === null) throw item.malformed('has a bad number');
  return value;
}

/** Whether the text can be a relay's nickname: 1 to 19 letters and digits. */
export function isNickname(text: string): boolean {
  return /^[A-Za-z0-9]{1,19}$/.test(text);
}

/** Read argument `index` as a nickname. @throws Malformed */
export function nicknameField(item: Item, index: number): string {
  const text = item.arg(index);
  if (!isNickname(text)) throw item.malformed('has a bad nickname');
  return text;
}

/** Decode hex of exactly `length` bytes; null when it is not that. */
export function hexOf(text: string, length: number): Uint8Array | null {
  if (text.length !== 2 * length) return null;
  return decodeHex(text);
}

/** Read argument `index` as `length` bytes of hex. @throws Malformed */
export function hexField(item: Item, index: number, length: number): Uint8Array {
  const bytes = hexOf(item.arg(index), length);
  if (bytes === null) throw item.malformed('has a bad hex value');
  return bytes;
}

/** Read argument `index` as `length` bytes of base64, padded or not. @throws Malformed */
export function base64Field(item: Item, index: number, length: number): Uint8Array {
  const bytes = decodeBase64(item.arg(index));
  if (bytes === null || bytes.length !== length) throw item.malformed('has a bad base64 value');
  return bytes;
}

/** Read argument `index` as a dotted IPv4 address. @throws Malformed */
export function ipv4Field(item: Item, index: number): Uint8Array {
  const host = parseIp(item.arg(index));
  if (host === null || host.length !== 4) throw item.malformed('has a bad IPv4 address');
  return host;
}

/** Parse `[address]:port` with an IPv6 address; null for anything else. */
export function parseIpv6Endpoint(text: string): Endpoint | null {
  const match = /^\[([0-9A-Fa-f:.]+)\]:(\d{1,5})$/.exec(text);
  if (match === null) return null;
  const host = parseIp(match[1]!);
  const port = Number(match[2]!);
  if (host === null || host.length !== 16 || port < 1 || port > 65535) return null;
  return { host, port };
}

/** Print a fingerprint in the spaced form of server descriptors: ten groups of four upper-case hex digits. */
export function printSpacedFingerprint(rsaId: Uint8Array): string {
  return encodeHex(rsaId)
    .replace(/(.{4})/g, '$1 ')
    .trimEnd();
}
