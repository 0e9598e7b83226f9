/**
 * The rules of the house, read from `src/README.md` and held against the source.
 */
import { describe, expect, test } from 'bun:test';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { printMan, printTorrc } from '../src/cli/print.ts';
import { COUNTER_NAMES } from '../src/shm/counter.ts';
import { OPTIONS } from '../src/torrc/option-table.ts';
import { VERSION } from '../src/version.ts';

const ROOT = join(import.meta.dir, '..');
const FILE_LINES_MAX = 500;
const FUNCTION_LINES_MAX = 70;

function filesUnder(folder: string): string[] {
  const out: string[] = [];
  for (const entry of readdirSync(join(ROOT, folder), { withFileTypes: true })) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) out.push(...filesUnder(path));
    else if (entry.name.endsWith('.ts')) out.push(path);
  }
  return out.sort();
}

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const house = read('src/README.md');

function block(name: string): string[] {
  const found = new RegExp(`\`\`\`${name}\\n([\\s\\S]*?)\`\`\``).exec(house);
  if (found === null) throw new Error(`src/README.md has no block named ${name}`);
  return found[1]!.split('\n').filter((line) => line.trim() !== '');
}

const sources = filesUnder('src');

/** The room of a source file: its folder, or its own name at the top. */
function roomOf(path: string): string {
  const parts = path.split('/');
  if (parts.length > 2) return parts[1]!;
  return parts[1] === 'worker.ts' ? 'worker-entry' : parts[1]!.replace(/\.ts$/, '');
}

describe('layers', () => {
  const layers = new Map<string, Set<string>>();
  for (const line of block('layers')) {
    const [room, rest] = line.split(':');
    layers.set(room!.trim(), new Set(rest!.trim().split(' ').filter(Boolean)));
  }

  test('every room stands in the table, and below what imports it', () => {
    const seen = new Set<string>();
    for (const [room, allowed] of layers) {
      for (const lower of allowed) expect([...seen], `${room} imports ${lower}`).toContain(lower);
      seen.add(room);
    }
    expect(new Set(sources.map(roomOf))).toEqual(new Set(layers.keys()));
  });

  for (const path of sources) {
    test(path, () => {
      const room = roomOf(path);
      const wrong: string[] = [];
      for (const [, target] of read(path).matchAll(/from '(\.[^']+)'/g)) {
        const resolved = join(path, '..', target!);
        expect(existsSync(join(ROOT, resolved)), `${path} imports ${target}`).toBe(true);
        const other = roomOf(resolved);
        if (other !== room && !layers.get(room)?.has(other)) wrong.push(target!);
      }
      expect(wrong).toEqual([]);
    });
  }
});

/** Blank out comments and strings, keeping the line structure. */
function codeOf(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:[^'\\\n]|\\.)*'/g, (found) =>
    found.replace(/[^\n]/g, ' '),
  );
}

interface Body {
  readonly name: string;
  readonly line: number;
  readonly text: string;
}

/** Functions and methods of a formatted file: from their head to the closing brace of the same indent. */
function bodiesOf(code: string): Body[] {
  const lines = code.split('\n');
  const out: Body[] = [];
  const head =
    /^(\s*)(?:export )?(?:(?:private |readonly |static |override |async |get |set )*)(?:function\*? )?(#?[A-Za-z_]\w*)\s*(?:<[^>]*>)?\(.*$/;
  for (let i = 0; i < lines.length; i++) {
    const match = head.exec(lines[i]!);
    if (match === null || /^(if|for|while|switch|return|catch|constructorOf)$/.test(match[2]!)) continue;
    const indent = match[1]!;
    if (indent.length > 2) continue;
    let opens = i;
    while (opens < lines.length && !/[{;]\s*$/.test(lines[opens]!)) opens++;
    if (!/\{\s*$/.test(lines[opens] ?? '')) continue;
    let end = opens + 1;
    while (end < lines.length && lines[end] !== `${indent}}`) end++;
    if (end === lines.length) continue;
    out.push({ name: match[2]!, line: i + 1, text: lines.slice(i, end + 1).join('\n') });
    i = indent.length === 0 && /class/.test(lines[i]!) ? i : end;
  }
  return out;
}

describe('sizes', () => {
  for (const path of sources) {
    test(path, () => {
      const text = read(path);
      expect(text.split('\n').length).toBeLessThanOrEqual(FILE_LINES_MAX + 1);
      const long = bodiesOf(codeOf(text)).filter((body) => body.text.split('\n').length > FUNCTION_LINES_MAX);
      expect(long.map(({ name, line }) => `${path}:${line} ${name}`)).toEqual([]);
    });
  }
});

describe('@hot', () => {
  const banned: [RegExp, string][] = [
    [/\bnew\b/, 'new'],
    [/=>/, 'a closure'],
    [/\basync\b|\bawait\b/, 'async'],
    [/\.\.\./, 'spread'],
    [/`/, 'a template string'],
    [/\b(Map|Set)\b/, 'Map or Set'],
    [/\bBigInt\b|\b\d+n\b/, 'BigInt'],
    [/\bthrow\b/, 'throw'],
  ];
  const hot = sources.filter((path) => read(path).slice(0, 2000).includes('@hot'));

  test('some files are', () => expect(hot.length).toBeGreaterThan(10));

  for (const path of hot) {
    test(path, () => {
      const found: string[] = [];
      for (const { name, line, text } of bodiesOf(codeOf(read(path)))) {
        if (/^#?(constructor|create\w*|build\w*|grow\w*)$/.test(name)) continue;
        const body = text.slice(text.search(/\{\s*\n/));
        for (const [pattern, what] of banned) {
          if (pattern.test(body)) found.push(`${path}:${line} ${name} has ${what}`);
        }
      }
      expect(found).toEqual([]);
    });
  }
});

describe('words and names', () => {
  test('nothing is left to do', () => {
    const pattern = new RegExp(
      `\\b(${['TO', 'FIX', 'XX'].map((w, i) => w + ['DO', 'ME', 'X'][i]).join('|')})\\b`,
    );
    expect(sources.filter((path) => pattern.test(read(path)))).toEqual([]);
  });

  test('no barrels, no attic', () => {
    expect(
      sources.filter((path) => /(^|\/)(index|utils?|common|types|helpers?|misc)(\.ts|\/)/.test(path)),
    ).toEqual([]);
  });

  test('file names are kebab-case', () => {
    expect(sources.filter((path) => !/^src(\/[a-z0-9-]+)+\.ts$/.test(path))).toEqual([]);
  });

  test('no any, no enum, no default export, no unseeded randomness', () => {
    const bad = sources.filter((path) => {
      const code = codeOf(read(path));
      return /:\s*any\b|\bas any\b|^\s*(export )?(const )?enum\b|export default|Math\.random/m.test(code);
    });
    expect(bad).toEqual([]);
  });

  test('formats have no clock and no log', () => {
    const pure = sources.filter((path) => /^src\/(bytes|cell|crypto|netdoc|dns)\//.test(path));
    expect(pure.filter((path) => /Date\.now|performance\.now|console\./.test(codeOf(read(path))))).toEqual(
      [],
    );
  });

  test('nothing prints past the log but the command line and last words', () => {
    const loud = sources.filter((path) => /\bconsole\.|std(out|err)\.write/.test(codeOf(read(path))));
    expect(
      loud.filter(
        (path) => !/^src\/(cli\/|main\.ts|worker\.ts|log\.ts|daemon\/(log-writer|signal)\.ts)/.test(path),
      ),
    ).toEqual([]);
  });

  test('every file says what it is', () => {
    expect(sources.filter((path) => !read(path).startsWith('/**'))).toEqual([]);
  });
});

describe('tables agree', () => {
  test('the version is the package’s', () => {
    expect(VERSION).toBe((JSON.parse(read('package.json')) as { version: string }).version);
  });

  test('every option is in the man page', () => {
    const man = printMan(VERSION).replaceAll('\\-', '-').replaceAll('\\', '');
    expect(OPTIONS.filter(({ name }) => !man.includes(name)).map(({ name }) => name)).toEqual([]);
  });

  test('every option that acts is in the sample torrc', () => {
    const sample = printTorrc();
    const acting = OPTIONS.filter(({ effect, name }) => effect === 'acts' && !/^(Testing|__)/.test(name));
    expect(acting.filter(({ name }) => !sample.includes(name)).map(({ name }) => name)).toEqual([]);
  });

  const tests = filesUnder('test')
    .filter((path) => path !== 'test/tidy.test.ts')
    .map(read)
    .join('\n');
  const code = sources
    .filter((path) => path !== 'src/shm/counter.ts')
    .map(read)
    .join('\n');

  test('every counter is counted', () => {
    expect(COUNTER_NAMES.filter((name) => !new RegExp(`\\b${name}\\b`).test(code))).toEqual([]);
  });

  test('every counter is tested', () => {
    expect(COUNTER_NAMES.filter((name) => !new RegExp(`\\b${name}\\b`).test(tests))).toEqual([]);
  });

  test('files without a test are listed, and only they', () => {
    const untested = sources.filter((path) => {
      const mirror = path.replace(/^src\//, 'test/').replace(/\.ts$/, '.test.ts');
      return !existsSync(join(ROOT, mirror));
    });
    expect(block('untested')).toEqual(untested.map((path) => path.replace(/^src\//, '')));
  });
});
