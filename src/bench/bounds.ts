/**
 * Bounds that figures must hold, so that a CI job can fail by them: `cpu=0.45` is a ratio to what is measured beside,
 * `rss<200` and `rate>100` are figures by themselves.
 *
 * Pure.
 */
import { OperatorError } from '../fault.ts';
import { FIGURE_NAMES, FIGURES, type FigureName } from './figure.ts';
import { ratioOf, type Spread } from './statistics.ts';
import { printFigure } from './table.ts';
import { EXIT_USAGE } from './target.ts';

/** One bound. */
export interface Bound {
  readonly figure: FigureName;
  /** Of the ratio to the relay measured beside, or of the figure itself. */
  readonly of: 'ratio' | 'figure';
  readonly limit: number;
  /** Whether the limit is the most that is allowed, or the least. */
  readonly side: 'most' | 'least';
}

/** What became of a bound. */
export interface Verdict {
  readonly bound: Bound;
  /** Null when it could not be measured: then it does not hold. */
  readonly measured: number | null;
  readonly held: boolean;
}

/** Short for the figure of CPU time that the load has. */
const CPU = 'cpu';

function refuse(text: string, why: string): OperatorError {
  return new OperatorError(
    why,
    `--bound ${text}`,
    `write a ratio (0.45 or cpu=0.45, ${FIGURE_NAMES.join('=…, ')}=…) or a limit in the figure's unit (rss<200, rate>100)`,
    EXIT_USAGE,
  );
}

/**
 * Read a bound as it is written on the command line.
 *
 * @param cpu what `cpu` means for this load
 * @throws OperatorError
 */
export function parseBound(text: string, cpu: FigureName): Bound {
  const match = /^(?:([a-z0-9]+)([=<>]))?(\d+(?:\.\d+)?|\.\d+)$/i.exec(text);
  if (match === null) throw refuse(text, 'is no bound');
  const [, name = CPU, sign = '='] = match;
  const figure =
    name.toLowerCase() === CPU
      ? cpu
      : FIGURE_NAMES.find((known) => known.toLowerCase() === name.toLowerCase());
  if (figure === undefined) throw refuse(text, `there is no figure "${name}"`);
  const limit = Number(match[3]);
  if (sign === '=') {
    return { figure, of: 'ratio', limit, side: FIGURES[figure].lessIsBetter ? 'most' : 'least' };
  }
  return { figure, of: 'figure', limit, side: sign === '<' ? 'most' : 'least' };
}

/** Hold a bound against what was measured. */
export function judge(
  bound: Bound,
  ours: Partial<Record<FigureName, Spread>>,
  beside: Partial<Record<FigureName, Spread>> | null,
): Verdict {
  const mine = ours[bound.figure] ?? null;
  const measured =
    bound.of === 'ratio' ? ratioOf(mine, beside?.[bound.figure] ?? null) : (mine?.median ?? null);
  const held =
    measured !== null && (bound.side === 'most' ? measured <= bound.limit : measured >= bound.limit);
  return { bound, measured, held };
}

/** Print a bound as people read it. */
export function printBound({ figure, of, limit, side }: Bound): string {
  const sign = side === 'most' ? '≤' : '≥';
  return of === 'ratio'
    ? `${sign} ${limit.toFixed(2)}`
    : `${sign} ${printFigure(limit)} ${FIGURES[figure].head}`;
}
