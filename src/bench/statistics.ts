/**
 * The middle of a few runs, and how far they lie apart.
 *
 * Pure.
 */
import { assert } from '../fault.ts';

/** The runs of one figure in brief. */
export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
  /** Every run, in the order in which they were made. */
  readonly values: readonly number[];
}

/** The middle value; of an even number of values, halfway between the two in the middle. */
export function median(values: readonly number[]): number {
  assert(values.length > 0, 'a median is of something');
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Take the runs of a figure together; null when no run has it. */
export function spreadOf(values: readonly (number | null)[]): Spread | null {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return null;
  return { median: median(known), low: Math.min(...known), high: Math.max(...known), values: known };
}

/** One median over another; null when either is missing or the second is nothing. */
export function ratioOf(ours: Spread | null, theirs: Spread | null): number | null {
  return ours === null || theirs === null || theirs.median <= 0 ? null : ours.median / theirs.median;
}
