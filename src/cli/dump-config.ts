/**
 * `--dump-config short|full`: the configuration as C tor prints it, options by name, values in base units.
 */

import { canonicalValue } from '../torrc/assign.ts';
import { compareNames, OPTIONS, type OptionSpec } from '../torrc/option-table.ts';
import type { BuiltOptions } from '../torrc/validate.ts';

/** C tor prints all onion service lines together, at the place of this name that no torrc can use. */
const SERVICE_PLACE = 'HiddenServiceOptions';

/** Print every option (`full`), or only those that differ from their default (`short`). */
export function dumpConfig(built: BuiltOptions, mode: 'short' | 'full'): string {
  const { options, assignment } = built;
  const effective: Readonly<Record<string, number>> = {
    BandwidthRate: options.bandwidthRate,
    BandwidthBurst: options.bandwidthBurst,
    RelayBandwidthRate: options.relayBandwidthRate,
    RelayBandwidthBurst: options.relayBandwidthBurst,
  };
  const blocks: [string, string[]][] = [];
  for (const spec of OPTIONS) {
    if (spec.name.startsWith('_') || spec.type === 'service-lines') continue;
    const usual = usualOf(spec, options.testingTorNetwork);
    let lines = options.values[spec.name] ?? usual;
    const raised = effective[spec.name];
    if (raised !== undefined) lines = [String(raised)];
    if (spec.name === 'Nickname' && options.explicit.includes('ORPort')) lines = [options.nickname];
    if (mode === 'full' || lines.join('\n') !== usual.join('\n')) {
      blocks.push([spec.name, lines.map((value) => `${spec.name} ${quoted(value)}`.trimEnd())]);
    }
  }
  const service = assignment.serviceLines.map((line) => `${line.key} ${quoted(line.value)}`);
  blocks.push([SERVICE_PLACE, service]);
  blocks.sort((a, b) => compareNames(a[0], b[0]));
  return blocks.flatMap(([, lines]) => lines.map((line) => `${line}\n`)).join('');
}

/** The default's lines: none for an unset text or list of lines, one empty line for an unset relay list. */
function usualOf(spec: OptionSpec, testing: boolean): string[] {
  const usual = testing ? spec.testingDefault : spec.default;
  if (usual === null) return spec.type === 'routers' ? [''] : [];
  return [canonicalValue(spec, usual)];
}

/** Quote a value that would not read back as it is: with a comment sign, a quote first, or odd characters. */
function quoted(value: string): string {
  if (!/^"|#|[^ -~]/.test(value)) return value;
  let out = '';
  for (const byte of new TextEncoder().encode(value)) {
    const char = String.fromCharCode(byte);
    if (char === '"' || char === '\\') out += `\\${char}`;
    else if (char === '\n') out += '\\n';
    else if (char === '\r') out += '\\r';
    else if (char === '\t') out += '\\t';
    else if (byte >= 0x20 && byte < 0x7f) out += char;
    else out += `\\${byte.toString(8).padStart(3, '0')}`;
  }
  return `"${out}"`;
}
