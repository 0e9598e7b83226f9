/** Damaged torrcs: built to options, or refused by an OperatorError that names a place. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Malformed, OperatorError } from '../../src/fault.ts';
import { parseTorrc } from '../../src/torrc/line.ts';
import { OPTIONS } from '../../src/torrc/option-table.ts';
import { buildOptions } from '../../src/torrc/validate.ts';
import { fuzz } from './fuzz.ts';

const CASES = join(import.meta.dir, '../torrc');
const encoder = new TextEncoder();
const corpus = readdirSync(CASES, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !entry.name.startsWith('include'))
  .flatMap((entry) => {
    const files = readdirSync(join(CASES, entry.name));
    if (!files.includes('expected') || !files.includes('torrc')) return [];
    return [new Uint8Array(readFileSync(join(CASES, entry.name, 'torrc')))];
  });

fuzz('torrc', {
  corpus,
  dictionary: [
    ...OPTIONS.map((spec) => encoder.encode(`\n${spec.name} `)),
    ...[
      '\\\n',
      '"',
      '#',
      '%include x\n',
      '+',
      '/',
      '\r\n',
      'auto',
      '[::1]:',
      '18446744073709551616',
      '\\x00',
    ].map((word) => encoder.encode(word)),
  ],
  run(bytes) {
    try {
      const lines = parseTorrc(new TextDecoder().decode(bytes), 'torrc', () => 'no includes here');
      buildOptions({ layers: [lines], torrcName: 'torrc', home: '/root' });
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      if (!/^torrc(:[0-9]+)?$/.test(error.where) || error.hint === '')
        throw new Error(`no place: ${error.message}`);
      throw new Malformed('torrc', error.what);
    }
  },
});
