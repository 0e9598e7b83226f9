/** Reads known answers: files of `name hex` lines, with a header of `#` lines that says where they come from. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Open a vector file; the returned function gives the bytes of a name and throws when there is none. */
export function readVectors(file: string): (name: string) => Uint8Array {
  const rows = new Map<string, string>();
  for (const line of readFileSync(join(import.meta.dir, file), 'utf8').split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const [name, hex] = line.split(' ');
    rows.set(name!, hex ?? '');
  }
  return (name) => {
    const hex = rows.get(name);
    if (hex === undefined) throw new Error(`${file} has no ${name}`);
    return Uint8Array.fromHex(hex);
  };
}

/** Read lines of `KIND what => outcome`: those of one kind, as the texts between the arrows. */
export function readOutcomes(file: string, kind: string): string[][] {
  return readFileSync(join(import.meta.dir, file), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith(`${kind} `))
    .map((line) => line.slice(kind.length + 1).split(' => '));
}
