/** Colours of a terminal, and figures for people. Pure. */

/** Dresses text, or leaves it as it is. */
export interface Style {
  bold(text: string): string;
  dim(text: string): string;
  good(text: string): string;
  bad(text: string): string;
  accent(text: string): string;
}

function dressed(code: number): (text: string) => string {
  return (text) => `\x1b[${code}m${text}\x1b[0m`;
}

const plain = (text: string): string => text;

export const PLAIN: Style = { bold: plain, dim: plain, good: plain, bad: plain, accent: plain };

export const COLOURS: Style = {
  bold: dressed(1),
  dim: dressed(2),
  good: dressed(32),
  bad: dressed(31),
  accent: dressed(36),
};

const BAR_PARTS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** A bar of so many columns at most; `share` is of all of them. */
export function bar(share: number, columns: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, share)) * columns * 8);
  return '█'.repeat(Math.floor(eighths / 8)) + BAR_PARTS[eighths % 8]!;
}

/** A number of bytes in MB, without the unit, with as many digits as mean something. */
export function megabytes(bytes: number): string {
  const value = bytes / 1e6;
  return value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2);
}

/** A number of bytes with its unit. */
export function sizeText(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(2)} GB`;
  return bytes >= 1e6 ? `${megabytes(bytes)} MB` : `${Math.round(bytes / 1e3)} kB`;
}

/** Minutes and seconds. */
export function clockText(sec: number): string {
  const whole = Math.floor(sec);
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  const seconds = `${whole % 60}`.padStart(2, '0');
  return hours > 0 ? `${hours}:${`${minutes}`.padStart(2, '0')}:${seconds}` : `${minutes}:${seconds}`;
}
