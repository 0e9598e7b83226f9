/**
 * Typed reading of an assignment: the set value of an option, or its default (that of a test network there).
 */

import { assert, OperatorError } from '../fault.ts';
import { type Assignment, canonicalValue, parseValue } from './assign.ts';
import { type TorrcLine, whereOf } from './line.ts';
import { optionSpec } from './option-table.ts';

/** What an option's value is, once per type. */
export class Values {
  readonly assignment: Assignment;
  readonly testing: boolean;
  /** The file to name when a fault lies in what is missing. */
  readonly fileName: string;

  constructor(assignment: Assignment, fileName: string) {
    this.assignment = assignment;
    this.fileName = fileName;
    this.testing = assignment.settings.get('TestingTorNetwork')?.at(-1)?.value === '1';
  }

  /** Whether a line sets the option. */
  isSet(name: string): boolean {
    return this.assignment.settings.has(optionSpec(name).name);
  }

  /** Whether its value is that of the public network's default. */
  isDefault(name: string): boolean {
    const spec = optionSpec(name);
    const usual = spec.default === null ? null : canonicalValue(spec, spec.default);
    const value = this.text(name);
    return (value === null ? null : canonicalValue(spec, value)) === usual;
  }

  /** The lines that set it. */
  lines(name: string): readonly TorrcLine[] {
    return this.assignment.settings.get(optionSpec(name).name) ?? [];
  }

  /** `file:line` of the first of the named options that is set, else the file. */
  where(...names: string[]): string {
    const line = names.map((name) => this.lines(name).at(-1)).find((each) => each !== undefined);
    return line === undefined ? this.fileName : whereOf(line);
  }

  /** The value as text, or null when it has neither line nor default. */
  text(name: string): string | null {
    const spec = optionSpec(name);
    const line = this.lines(name).at(-1);
    if (line !== undefined) return line.value;
    return this.testing ? spec.testingDefault : spec.default;
  }

  /** The value of a boolean. */
  boolean(name: string): boolean {
    const value = this.#parsed(name, 'boolean');
    return value === true;
  }

  /** The value of a boolean that may be auto. */
  autoBoolean(name: string): boolean | 'auto' {
    const value = this.#parsed(name, 'auto-boolean');
    return value === 'auto' ? 'auto' : value === true;
  }

  /** The value of any numeric option, in its base unit (bytes, seconds, milliseconds). */
  number(name: string): number {
    const value = this.#parsed(name);
    assert(typeof value === 'number', `${name} is a number`);
    return value;
  }

  /** The items of a list. */
  list(name: string): readonly string[] {
    const value = this.#parsed(name, 'list');
    return Array.isArray(value) ? value.map(String) : [];
  }

  /** Refuse the value of `name`. */
  refuse(what: string, hint: string, ...names: string[]): never {
    throw new OperatorError(what, this.where(...names), hint);
  }

  #parsed(name: string, type?: string): unknown {
    const spec = optionSpec(name);
    assert(type === undefined || spec.type === type, `${name} is of type ${type}`);
    const parsed = parseValue(spec, this.text(name) ?? '');
    assert(parsed.ok, `${name} has been checked`);
    return parsed.value;
  }
}
