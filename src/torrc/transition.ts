/**
 * From the options that run to new ones: what changes by name, or why it may not.
 */

import { EXIT_CONFIG, OperatorError } from '../fault.ts';
import { canonicalValue } from './assign.ts';
import { compareNames, type OptionSpec, optionSpec } from './option-table.ts';
import { placeOf, type RelayOptions } from './relay-options.ts';

/** What a reload changes. */
export interface Transition {
  /** Canonical names of the changed options, in order; empty when nothing changed. */
  readonly changes: readonly string[];
}

/**
 * Compare running options with new ones.
 *
 * @throws {OperatorError} naming every option that may not change while the relay runs, and its line
 */
export function transition(old: RelayOptions, next: RelayOptions): Transition {
  const names = [...new Set([...old.explicit, ...next.explicit])].sort(compareNames);
  const changes = names.filter((name) => {
    const spec = optionSpec(name);
    return valuesOf(spec, old).join('\n') !== valuesOf(spec, next).join('\n');
  });
  const refused = changes.filter((name) => optionSpec(name).reload === 'restart');
  if (refused.length > 0) {
    const said = refused.map((name) => refusal(name, old, next));
    const [first, ...rest] = said;
    throw new OperatorError(
      [first!.what, ...rest.map(({ where, what }) => `${where}: ${what}`)].join('; '),
      first!.where,
      `restart the relay, or ${said.map(({ undo }) => undo).join(', ')}; the old configuration stays in force`,
      EXIT_CONFIG,
    );
  }
  return { changes };
}

/** Where an option was changed (or was, until its line was removed), and the line that undoes it. */
function refusal(name: string, old: RelayOptions, next: RelayOptions) {
  const before = old.values[name];
  const isRemoved = next.values[name] === undefined;
  return {
    where: placeOf(isRemoved ? old : next, name),
    what: `${name} ${isRemoved ? 'was removed, but ' : ''}can't change while running`,
    undo:
      before === undefined ? `remove ${name}` : `write ${before.map((v) => `${name} ${v}`).join(' and ')}`,
  };
}

function valuesOf(spec: OptionSpec, options: RelayOptions): readonly string[] {
  const set = options.values[spec.name];
  if (set !== undefined) return set;
  const usual = options.testingTorNetwork ? spec.testingDefault : spec.default;
  return usual === null ? [] : [canonicalValue(spec, usual)];
}
