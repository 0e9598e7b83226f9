/** Options that the descriptor speaks of. */

import { expect, test } from 'bun:test';
import { affectsDescriptor } from '../../src/daemon/published-options.ts';
import { OPTIONS } from '../../src/torrc/option-table.ts';

test('what the descriptor speaks of are options that may change while running', () => {
  const published = OPTIONS.filter(({ name }) => affectsDescriptor(name));
  expect(published.map(({ name }) => name)).toContain('ContactInfo');
  for (const spec of published)
    expect([spec.name, spec.effect, spec.reload]).toEqual([spec.name, 'acts', 'live']);
});
