/** What a test network did, at its end: a table for people, JSON for programs. Pure. */
import { printTable } from '../bench/table.ts';
import { clockText, megabytes, type Style, sizeText } from './style.ts';
import type { NetworkView } from './view.ts';

/** A network's summary. */
export interface Summary {
  /** Whether downloads were made, and none failed. */
  readonly ok: boolean;
  readonly seconds: number;
  readonly consensuses: number;
  readonly circuitsBuilt: number;
  readonly downloads: {
    readonly done: number;
    readonly failed: number;
    readonly lastFailure: string | null;
    readonly bytes: number;
    readonly bytesPerSecond: number;
  };
  readonly relays: readonly {
    readonly nickname: string;
    readonly role: string;
    readonly readBytes: number;
    readonly writtenBytes: number;
    readonly cpuSeconds: number;
  }[];
}

/** Sum up. */
export function summarize(view: NetworkView): Summary {
  const { done, failed, lastFailure, bytes, meanRate } = view.downloads;
  return {
    ok: done > 0 && failed === 0,
    seconds: Math.round(view.elapsedSec * 10) / 10,
    consensuses: view.consensuses,
    circuitsBuilt: view.circuitsBuilt,
    downloads: { done, failed, lastFailure, bytes, bytesPerSecond: Math.round(meanRate) },
    relays: view.relays.map(({ nickname, role, readBytes, writtenBytes, cpuSec }) => ({
      nickname,
      role,
      readBytes,
      writtenBytes,
      cpuSeconds: Math.round(cpuSec * 100) / 100,
    })),
  };
}

/** Print it for people. */
export function printSummary(summary: Summary, style: Style): string {
  const { downloads, relays } = summary;
  const ours = relays.filter(({ role }) => role !== 'joined');
  const table = printTable(
    [
      { head: 'relay' },
      { head: 'role' },
      { head: 'MB in', right: true },
      { head: 'MB out', right: true },
      { head: 'CPU s', right: true },
      { head: 'CPU s/GB', right: true },
    ],
    ours.map(({ nickname, role, readBytes, writtenBytes, cpuSeconds }) => [
      nickname,
      role,
      megabytes(readBytes),
      megabytes(writtenBytes),
      cpuSeconds.toFixed(2),
      writtenBytes < 1e6 ? '-' : (cpuSeconds / (writtenBytes / 1e9)).toFixed(2),
    ]),
  );
  const verdict = summary.ok
    ? style.good(`${downloads.done} downloads through three relays, every byte as it should be`)
    : downloads.failed > 0
      ? style.bad(
          `${downloads.failed} downloads failed, ${downloads.done} went well (${downloads.lastFailure})`,
        )
      : style.bad('no download came to its end');
  const facts =
    `${sizeText(downloads.bytes)} at ${megabytes(downloads.bytesPerSecond)} MB/s on average, ` +
    `${summary.circuitsBuilt} circuits, ${summary.consensuses} consensuses, up for ${clockText(summary.seconds)}`;
  return `${table}\n${verdict}\n${facts}\n`;
}

/** Print it for programs. */
export function printSummaryJson(summary: Summary): string {
  return `${JSON.stringify(summary, null, 2)}\n`;
}
