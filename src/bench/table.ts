/**
 * Tables for people: columns as wide as what stands in them.
 *
 * Pure.
 */

/** A column: its head, and whether it lines up on the right, as numbers do. */
export interface Column {
  readonly head: string;
  readonly right?: boolean;
}

/** Print rows under heads. A missing cell is blank; no line ends in blanks. */
export function printTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const widths = columns.map(({ head }, i) =>
    Math.max(head.length, ...rows.map((row) => row[i]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    columns
      .map(({ right }, i) =>
        right ? (cells[i] ?? '').padStart(widths[i]!) : (cells[i] ?? '').padEnd(widths[i]!),
      )
      .join('  ')
      .trimEnd();
  return [line(columns.map(({ head }) => head)), ...rows.map(line), ''].join('\n');
}

/** Print a figure with about three digits that mean something; `-` for none. */
export function printFigure(value: number | null): string {
  if (value === null || !Number.isFinite(value)) return '-';
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 20 ? 1 : 2);
}
