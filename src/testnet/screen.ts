/**
 * The lines that show a test network: a live page for a terminal, one line now and then for anything else.
 *
 * Pure: a view in, lines out.
 */
import { bar, clockText, megabytes, type Style, sizeText } from './style.ts';
import type { CircuitView, DownloadsView, NetworkView, RelayView } from './view.ts';

const ESCAPE = '\x1b';
const BAR_COLUMNS = 18;
const CIRCUITS_SHOWN = 8;
const NAME_COLUMNS = 12;

/** The page, as lines of at most `columns` characters that are seen. */
export function drawPage(view: NetworkView, columns: number, style: Style): string[] {
  const fastest = Math.max(1e6, ...view.relays.map(({ writtenRate }) => writtenRate ?? 0));
  const lines = [
    headLine(view, style),
    '',
    style.dim(`  ${'relay'.padEnd(NAME_COLUMNS)}${'role'.padEnd(20)}   in     out MB/s  circuits     CPU`),
    ...view.relays.map((relay) => relayLine(relay, fastest, style)),
    '',
    ...circuitLines(view, style),
    '',
    downloadsLine(view.downloads, style),
    ...(view.downloads.lastFailure === null
      ? []
      : [style.bad(`  last failure: ${view.downloads.lastFailure}`)]),
  ];
  return lines.map((line) => fit(line, columns));
}

/** Cut a line to what a terminal shows without wrapping; escape sequences count nothing. */
export function fit(line: string, columns: number): string {
  if (Bun.stringWidth(line) <= columns) return line;
  let width = 0;
  let out = '';
  let isEscape = false;
  for (const character of line) {
    if (character === ESCAPE) isEscape = true;
    if (!isEscape) width += Bun.stringWidth(character);
    if (isEscape || width < columns) out += character;
    if (character === 'm') isEscape = false;
  }
  return `${out}…`;
}

const PHASES: Readonly<Record<NetworkView['phase'], string>> = {
  starting: 'the relays start',
  waiting: 'the relays upload their descriptors to the authority',
  running: 'running',
  ending: 'ending',
};

function headLine({ phase, elapsedSec, totalSec, relays, consensuses }: NetworkView, style: Style): string {
  const isUp = phase === 'running' || phase === 'ending';
  const until = totalSec === null || !isUp ? '' : ` of ${clockText(totalSec)}`;
  const listed = relays.filter(({ isListed }) => isListed).length;
  const facts = consensuses === 0 ? '' : `   consensus ${consensuses} lists ${listed} relays`;
  return `  ${style.bold(PHASES[phase])}   ${clockText(elapsedSec)}${until}${style.dim(facts)}`;
}

function relayLine(relay: RelayView, fastest: number, style: Style): string {
  const { nickname, role, isAuthority, isListed, readRate, writtenRate, circuits, cpu } = relay;
  const name = nickname.padEnd(NAME_COLUMNS);
  const what = (isAuthority ? `${role}, directory` : role === 'joined' ? 'joined us' : role).padEnd(20);
  const dressed = isListed ? `  ${style.bold(name)}${what}` : style.dim(`  ${name}${what}`);
  if (readRate === null || writtenRate === null) return dressed.trimEnd();
  const figures = `${megabytes(readRate).padStart(5)} ${megabytes(writtenRate).padStart(7)}`;
  const rest = `${`${circuits ?? 0}`.padStart(15)}${`${Math.round((cpu ?? 0) * 100)} %`.padStart(8)}`;
  return `${dressed}${figures}${rest}  ${style.accent(bar(writtenRate / fastest, BAR_COLUMNS))}`;
}

function circuitLines({ circuits, circuitsBuilt }: NetworkView, style: Style): string[] {
  const head = style.dim(`  circuits of our client: ${circuits.length} now, ${circuitsBuilt} built so far`);
  // Those in use first, then the newest.
  const order = [...circuits].sort(
    (a, b) => Number(b.streams > 0) - Number(a.streams > 0) || b.number - a.number,
  );
  const shown = order.slice(0, CIRCUITS_SHOWN).sort((a, b) => a.number - b.number);
  const blank = Array<string>(Math.max(0, Math.min(3, CIRCUITS_SHOWN) - shown.length)).fill('');
  return [head, ...shown.map((circuit) => circuitLine(circuit, style)), ...blank];
}

function circuitLine({ number, state, nicknames, streams, received }: CircuitView, style: Style): string {
  const path = ['us', ...nicknames].join(style.dim(' → '));
  const padding = ' '.repeat(Math.max(1, 46 - Bun.stringWidth(path)));
  const isUsed = streams > 0;
  const end = isUsed
    ? `${streams} stream${streams === 1 ? '' : 's'}, ${sizeText(received)}`
    : state === 'open'
      ? `idle, ${sizeText(received)}`
      : 'being built';
  const line = `  ${`#${number}`.padEnd(6)}${path}${padding}${end}`;
  return isUsed ? line : style.dim(Bun.stripANSI(line));
}

function downloadsLine(downloads: DownloadsView, style: Style): string {
  const { done, failed, bytes, rate, meanRate, running } = downloads;
  const failures = failed === 0 ? 'none failed' : style.bad(`${failed} failed`);
  return (
    `  downloads: ${style.good(`${done} whole`)}, ${failures}, ${running} under way   ` +
    `${sizeText(bytes)} checked   ${style.bold(`${megabytes(rate)} MB/s`)} now, ${megabytes(meanRate)} on average`
  );
}

/** The same in one line, for what is no terminal. */
export function drawLine({ phase, elapsedSec, relays, circuits, downloads }: NetworkView): string {
  const listed = relays.filter(({ isListed }) => isListed).length;
  const paths = circuits
    .filter(({ streams }) => streams > 0)
    .map(({ nicknames }) => nicknames.join('→'))
    .join(' ');
  const { done, failed, bytes, rate } = downloads;
  return (
    `${clockText(elapsedSec)}  ${PHASES[phase]}, ${listed} relays listed, ${done} downloads whole, ${failed} failed, ` +
    `${sizeText(bytes)}, ${megabytes(rate)} MB/s${paths === '' ? '' : `  ${paths}`}`
  );
}
