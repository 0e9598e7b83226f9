/**
 * Dates of HTTP headers, in the three forms that HTTP/1.0 allows.
 *
 * @source RFC 1945 "Date/Time Formats"; C tor, which takes a date without looking at its weekday
 */
const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const RFC_1123 = /^[^,]*, (\d{1,2}) +(\w{3}) +(\d{1,4}) +(\d{1,2}):(\d{1,2}):(\d{1,2}) GMT/;
const RFC_850 = /^[^,]*, (\d{1,2})-(\w{3})-(\d{2}) +(\d{1,2}):(\d{1,2}):(\d{1,2}) GMT/;
const ASCTIME = /^\w{3} +(\w{3}) +(\d{1,2}) +(\d{1,2}):(\d{1,2}):(\d{1,2}) +(\d{1,4})/;

/** Read a date of a header. @returns seconds since 1970, or null when it is none */
export function parseHttpTime(text: string): number | null {
  const long = RFC_1123.exec(text);
  if (long !== null) return secondsOf(Number(long[3]), long[2]!, Number(long[1]), long.slice(4));
  const short = RFC_850.exec(text);
  if (short !== null) return secondsOf(1900 + Number(short[3]), short[2]!, Number(short[1]), short.slice(4));
  const plain = ASCTIME.exec(text);
  if (plain === null) return null;
  return secondsOf(Number(plain[6]), plain[1]!, Number(plain[2]), plain.slice(3, 6));
}

function secondsOf(year: number, monthName: string, day: number, clock: readonly string[]): number | null {
  const month = MONTHS.indexOf(monthName.toLowerCase());
  const [hour, minute, second] = clock.map(Number) as [number, number, number];
  if (year < 1970 || month < 0 || day < 1 || day > 31) return null;
  if (hour > 23 || minute > 59 || second > 60) return null;
  return Date.UTC(year, month, day, hour, minute, second) / 1000;
}

/** Print a date for a header, e.g. `Sun, 22 Nov 2026 14:27:00 GMT`. Fractions of a second are dropped. */
export function printHttpTime(sec: number): string {
  return new Date(Math.floor(sec) * 1000).toUTCString();
}
