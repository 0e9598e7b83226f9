/**
 * From lines to values: which lines of which layer decide each option, and whether each value reads.
 *
 * Layers stand in order of strength: torrc-defaults, torrc, command line. Within one layer a list option
 * collects its lines and any other option takes its last line; a stronger layer replaces a list unless it
 * says `+Option`. Every value of every known option is checked, also of those that have no effect here.
 */

import { OperatorError } from '../fault.ts';
import { type TorrcLine, whereOf } from './line.ts';
import { findOption, type OptionSpec, optionSpec } from './option-table.ts';
import * as units from './units.ts';

/** The lines that decide each option that was set. */
export interface Assignment {
  /** Canonical name to its deciding lines, never empty. */
  readonly settings: ReadonlyMap<string, readonly TorrcLine[]>;
  /** The onion service options in the order in which they stand. */
  readonly serviceLines: readonly TorrcLine[];
  readonly warnings: readonly string[];
}

/**
 * Decide every option that the layers set.
 *
 * @throws {OperatorError} on an unknown option or a value that does not read
 */
export function assignLayers(layers: readonly (readonly TorrcLine[])[]): Assignment {
  const settings = new Map<string, TorrcLine[]>();
  const warnings: string[] = [];
  const serviceLines: TorrcLine[] = [];
  for (const layer of layers) assignLayer(layer, settings, serviceLines, warnings);
  for (const [name, lines] of settings) {
    const spec = optionSpec(name);
    for (const line of lines) checkValue(spec, line);
  }
  return { settings, serviceLines, warnings };
}

function assignLayer(
  layer: readonly TorrcLine[],
  settings: Map<string, TorrcLine[]>,
  serviceLines: TorrcLine[],
  warnings: string[],
): void {
  const touched = new Set<string>();
  for (const line of layer) {
    const spec = specOf(line, warnings);
    if (spec === null) continue;
    const { name } = spec;
    const isList = /lines$/.test(spec.type);
    if (line.prefix === '/' || (line.value === '' && !isList)) {
      settings.delete(name);
      touched.add(name);
    } else if (line.value === '') {
      warnings.push(
        `${whereOf(line)}: ${name} has no value and is skipped: write a value or remove the line`,
      );
    } else if (isList) {
      const keep = touched.has(name) || line.prefix === '+';
      const lines = keep ? (settings.get(name) ?? []) : [];
      lines.push(line);
      settings.set(name, lines);
      touched.add(name);
      if (spec.type === 'service-lines') serviceLines.push(line);
    } else {
      if (touched.has(name) && settings.has(name)) {
        warnings.push(`${whereOf(line)}: ${name} is set more than once: only this last line counts`);
      }
      settings.set(name, [line]);
      touched.add(name);
    }
  }
}

function specOf(line: TorrcLine, warnings: string[]): OptionSpec | null {
  const found = findOption(line.key, line.line === 0);
  const where = whereOf(line);
  switch (found.kind) {
    case 'option':
      if (found.warning !== null) warnings.push(`${where}: ${found.warning}`);
      return found.spec;
    case 'obsolete':
      warnings.push(`${where}: ${found.name} is obsolete and is skipped: remove it`);
      return null;
    case 'ambiguous': {
      const some = found.candidates.slice(0, 4).join(', ');
      const more = found.candidates.length > 4 ? ` and ${found.candidates.length - 4} more` : '';
      throw new OperatorError(
        `"${line.key}" is short for several options`,
        where,
        `write the whole name: ${some}${more}`,
      );
    }
    case 'unknown':
      throw new OperatorError(
        `unknown option "${line.key}"`,
        where,
        found.nearest === null
          ? `remove ${line.key}, or see --list-torrc-options for all names`
          : `did you mean ${found.nearest}?`,
      );
  }
}

/**
 * Check that a value reads as its option's type.
 *
 * @throws {OperatorError} naming the line, the value and what to write
 */
export function checkValue(spec: OptionSpec, line: TorrcLine): void {
  const parsed = parseValue(spec, line.value);
  if (!parsed.ok) {
    throw new OperatorError(`${spec.name} "${line.value}" ${parsed.why}`, whereOf(line), parsed.hint);
  }
}

/** Parse a value by its option's type; text-like types give their text. */
export function parseValue(spec: OptionSpec, text: string): units.Parsed<unknown> {
  switch (spec.type) {
    case 'boolean':
      return units.parseBoolean(text);
    case 'auto-boolean':
      return units.parseAutoBoolean(text);
    case 'integer':
      return units.parseInteger(text);
    case 'count':
      return units.parseInteger(text, 0);
    case 'count64':
      return units.parseCount64(text);
    case 'memory':
      return units.parseMemory(text);
    case 'interval':
      return units.parseInterval(text);
    case 'msec-interval':
      return units.parseMsecInterval(text);
    case 'interval-list':
      return units.parseIntervalList(text);
    case 'number':
      return units.parseNumber(text);
    case 'list':
      return { ok: true, value: units.parseList(text) };
    case 'routers':
      return checkRouters(text);
    default:
      return { ok: true, value: text };
  }
}

/** Router sets: nicknames, $FINGERPRINT[=~NAME], {cc}, address patterns. */
function checkRouters(text: string): units.Parsed<string> {
  for (const item of units.parseList(text)) {
    const reads =
      /^[A-Za-z0-9]{1,19}$/.test(item) ||
      /^\$?[0-9A-Fa-f]{40}([=~][A-Za-z0-9]{1,19})?$/.test(item) ||
      /^\{(\?\?|[A-Za-z0-9]{2})\}$/.test(item) ||
      /^(\*|[0-9.]+|\[[0-9A-Fa-f:.]+\])(\/[0-9.]+)?(:(\*|[0-9]+(-[0-9]+)?))?$/.test(item);
    if (!reads) {
      return {
        ok: false,
        why: `has the entry "${item}" that names no relay`,
        hint: 'write fingerprints, {cc} country codes or addresses',
      };
    }
  }
  return { ok: true, value: text };
}

/**
 * Print a value as C tor dumps it: amounts in bytes, seconds or milliseconds, fractions with six digits.
 * `text` has been checked.
 */
export function canonicalValue(spec: OptionSpec, text: string): string {
  const parsed = parseValue(spec, text);
  if (!parsed.ok) return text;
  const { value } = parsed;
  if (spec.type === 'boolean' || spec.type === 'auto-boolean') {
    return value === 'auto' ? 'auto' : value === true ? '1' : '0';
  }
  if (spec.type === 'number') return Number(value).toFixed(6);
  if (Array.isArray(value)) return value.join(',');
  return String(value);
}
