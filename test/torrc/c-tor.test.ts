/**
 * The same torrcs to C tor's `--verify-config` and to us: accepted and refused alike, with named exceptions.
 * Runs only where `tor` is installed.
 */
import { afterAll, describe, expect, test } from 'bun:test';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dumpConfig } from '../../src/cli/dump-config.ts';
import { checkPassword } from '../../src/cli/hash-password.ts';
import { OperatorError } from '../../src/fault.ts';
import { canonicalValue } from '../../src/torrc/assign.ts';
import { parseTorrc } from '../../src/torrc/line.ts';
import { OPTIONS, optionSpec } from '../../src/torrc/option-table.ts';
import { readIncludes } from '../../src/torrc/torrc-file.ts';
import { type BuiltOptions, buildOptions } from '../../src/torrc/validate.ts';

const TOR = Bun.which('tor');
const VERSION = TOR === null ? '' : Bun.spawnSync([TOR, '--version']).stdout.toString();
const HAS_TOR = VERSION.includes('0.4.9.');
const ROOT = import.meta.dir;
const scratch = mkdtempSync(join(tmpdir(), 'onionrelay-torrc-'));

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Cases that C tor takes and we refuse, each with its reason. */
const STRICTER: Readonly<Record<string, string>> = {
  'bad-address': 'C tor looks it up later and then fails',
  'bad-contact-newline': 'C tor folds the line break only when it prints the descriptor',
  'client-only-refused': 'we are only a relay',
  'home-path': "another user's home",
  'too-many-cpus': 'its threads share no rings',
};

/** Cases whose verdict depends on the accounts of the machine. */
const SKIPPED = new Set(['private-folders']);

function tor(argv: readonly string[], cwd: string): { code: number; text: string } {
  const home = { HOME: scratch, PATH: process.env['PATH'] ?? '' };
  const done = Bun.spawnSync([TOR!, '--DataDirectory', join(scratch, 'data'), ...argv], { cwd, env: home });
  return { code: done.exitCode, text: done.stdout.toString() };
}

function ours(text: string, folder: string): BuiltOptions | string {
  const include = (pattern: string) => readIncludes(join(folder, pattern));
  try {
    return buildOptions({
      layers: [parseTorrc(text, 'torrc', include)],
      torrcName: 'torrc',
      home: scratch,
    });
  } catch (error) {
    if (error instanceof OperatorError) return error.message;
    throw error;
  }
}

const AUTHORITY = `DirAuthority nowhere orport=1 v3ident=${'1'.repeat(40)} 127.0.0.1:1 ${'2'.repeat(40)}`;

/** What the question itself needs to be set, and what stands for several lines. */
const NOT_ASKED = new Set([
  ...['TestingTorNetwork', 'DirAuthority', 'DataDirectory', 'ControlPort', 'ControlPortWriteToFile'],
  ...['SocksPort', 'DisableNetwork', 'Log'],
]);

/** Our default of an option in a test network, as C tor prints values; empty when unset. */
function usualOf(name: string, built: BuiltOptions): string {
  const spec = optionSpec(name);
  const usual = built.options.testingTorNetwork ? spec.testingDefault : spec.default;
  return usual === null ? '' : canonicalValue(spec, usual);
}

/** Ask a C tor of a test network, through its control port, what its options are. */
async function askTor(names: readonly string[]): Promise<Map<string, string>> {
  const portFile = join(scratch, 'control-port');
  const torrc = join(scratch, 'test-network');
  const data = join(scratch, 'test-network-data');
  const lines = [
    'TestingTorNetwork 1',
    AUTHORITY,
    `DataDirectory ${data}`,
    'ControlPort auto',
    'SocksPort 0',
  ];
  writeFileSync(
    torrc,
    [...lines, `ControlPortWriteToFile ${portFile}`, 'DisableNetwork 1', 'Log err stderr'].join('\n'),
  );
  const child = Bun.spawn([TOR!, '-f', torrc], { stdout: 'ignore', stderr: 'inherit' });
  try {
    while (!existsSync(portFile) && child.exitCode === null) await Bun.sleep(20);
    const port = Number(/:(\d+)/.exec(readFileSync(portFile, 'utf8'))![1]);
    const said = Promise.withResolvers<string>();
    let text = '';
    const socket = await Bun.connect({
      hostname: '127.0.0.1',
      port,
      socket: {
        data(_socket, chunk) {
          text += Buffer.from(chunk).toString('latin1');
          if (/^250 (?!OK)/m.test(text) || /^5/m.test(text)) said.resolve(text);
        },
        close: () => said.reject(new Error(text)),
        error: () => {},
      },
    });
    socket.write(`AUTHENTICATE\r\nGETCONF ${names.join(' ')}\r\n`);
    const answer = await said.promise;
    socket.end();
    const pairs = [...answer.matchAll(/^250[- ](\w+)(?:=(.*?))?\r$/gm)].map((found): [string, string] => [
      found[1]!,
      found[2] ?? '',
    ]);
    return new Map(pairs.filter(([name]) => name !== 'OK'));
  } finally {
    child.kill();
    await child.exited;
  }
}

test('C tor is there, or this is no CI', () => {
  if (!HAS_TOR) console.warn('SKIPPED: no C tor 0.4.9 here; its torrc was not compared with ours');
  expect(HAS_TOR || process.env['CI'] !== 'true').toBe(true);
});

describe.skipIf(!HAS_TOR)('beside C tor', () => {
  test('the names are those that it lists', () => {
    const listed = tor(['--list-torrc-options'], scratch).text.trim().split('\n');
    expect(OPTIONS.map((spec) => spec.name)).toEqual(listed);
  });

  test('the defaults are those that it dumps', () => {
    const dumped = Bun.spawnSync([
      TOR!,
      '-f',
      '/nonexistent',
      '--ignore-missing-torrc',
      '--dump-config',
      'full',
    ]);
    const built = buildOptions({ layers: [], torrcName: null, home: '/' });
    expect(dumpConfig(built, 'full')).toBe(dumped.stdout.toString());
  });

  test('the defaults of a test network are those that it has', async () => {
    const answers = await askTor(OPTIONS.map(({ name }) => name).filter((name) => !NOT_ASKED.has(name)));
    const lines = ['TestingTorNetwork 1', AUTHORITY];
    const built = ours(lines.join('\n'), scratch);
    if (typeof built === 'string') throw new Error(built);
    const mine = new Map<string, string>();
    for (const spec of OPTIONS) mine.set(spec.name, usualOf(spec.name, built));
    const wrong = [...answers].filter(([name, value]) => mine.get(name) !== value);
    expect(wrong.map(([name, value]) => `${name}: C tor ${value}, we ${mine.get(name)}`)).toEqual([]);
    const changed = OPTIONS.filter((spec) => spec.testingDefault !== spec.default);
    expect(changed.length).toBeGreaterThan(10);
    for (const { name } of changed) expect(answers.has(name)).toBe(true);
  });

  test('a configuration dumps to the same text', () => {
    const text = readFileSync(join(ROOT, 'client-options-quiet', 'torrc'), 'utf8');
    const folder = join(ROOT, 'client-options-quiet');
    const built = ours(text, folder);
    if (typeof built === 'string') throw new Error(built);
    for (const mode of ['short', 'full'] as const) {
      const dumped = Bun.spawnSync([TOR!, '-f', join(folder, 'torrc'), '--dump-config', mode]);
      expect(dumpConfig(built, mode)).toBe(dumped.stdout.toString());
    }
  });

  test('its password hash is one of ours', () => {
    const hash = tor(['--hash-password', 'open sesame'], scratch).text.trim().split('\n').at(-1)!;
    expect(checkPassword('open sesame', hash)).toBe(true);
    expect(checkPassword('open  sesame', hash)).toBe(false);
  });

  const names = readdirSync(ROOT, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  for (const { name } of names) {
    const folder = join(ROOT, name);
    if (SKIPPED.has(name)) continue;
    if (existsSync(join(folder, 'cmdline')) || existsSync(join(folder, 'defaults'))) continue;
    test(`judges ${name} alike`, () => {
      const { code, text } = tor(['-f', join(folder, 'torrc'), '--verify-config'], folder);
      const mine = ours(readFileSync(join(folder, 'torrc'), 'utf8'), folder);
      if (name in STRICTER) {
        expect(typeof mine).toBe('string');
        expect(code).toBe(0);
      } else if ((typeof mine !== 'string') !== (code === 0)) {
        throw new Error(`we: ${typeof mine === 'string' ? mine : 'accepted'}\nC tor: ${text}`);
      }
    });
  }

  test('judges odd values alike', () => {
    const disagreements: string[] = [];
    for (const [i, line] of ODD_LINES.entries()) {
      const path = join(scratch, `odd-${i}`);
      writeFileSync(path, `ORPort 9001\nContactInfo x\n${line}\n`);
      const { code } = tor(['-f', path, '--verify-config'], scratch);
      const mine = ours(readFileSync(path, 'utf8'), scratch);
      if ((typeof mine !== 'string') !== (code === 0)) {
        disagreements.push(`${line}: C tor ${code === 0 ? 'accepts' : 'refuses'}; we: ${mine}`);
      }
    }
    expect(disagreements).toEqual([]);
  });
});

const AMOUNTS = [
  '1 mb',
  '1MB',
  '1.5 GBytes',
  '100000',
  '+100000',
  '1e6',
  '1.5e3 kb',
  '.5 mb',
  '1 g',
  '1 k',
  '1 m',
];
const SPANS = [
  '5',
  '5 minute',
  '2 weeks',
  '1 month',
  '1 year',
  '-1',
  '1.5 hours',
  '5 MINUTES',
  '5 s',
  '24855 days',
];

const ODD_LINES = [
  ...AMOUNTS.map((value) => `BandwidthBurst ${value}`),
  ...['1 gbits', '800 kbits', '1 tb', '2147483647', '2147483648', '2147483649', '2 GB'].map(
    (value) => `BandwidthBurst ${value}`,
  ),
  ...SPANS.map((value) => `ShutdownWaitLength ${value}`),
  ...['5', '5 msec', '1 second', '5 s', '1 month', '0.5 seconds'].map(
    (value) => `MaxOnionQueueDelay ${value}`,
  ),
  ...['0', '1', '2', 'on', 'true', 'AUTO', 'auto'].flatMap((value) => [
    `AddressDisableIPv6 ${value}`,
    `GeoIPExcludeUnknown ${value}`,
  ]),
  ...['1', '-1', '1.5', '+3', '0x10', '2147483648', ' 7'].map((value) => `PathBiasUseThreshold ${value}`),
  ...['0.5', '.5', '5.', '1e-2', 'abc', '1,5', '2'].map((value) => `PathBiasNoticeRate ${value}`),
  ...['{de}', '{??}', 'Foo,Bar', '$AAAA', '192.0.2.0/24', '!x', '[2001:db8::]/32'].map(
    (v) => `ExcludeNodes ${v}`,
  ),
  ...['9051', '127.0.0.1:9051', 'unix:/tmp/c', '0', 'auto', 'x', '127.0.0.1:x'].map(
    (v) => `ControlPort ${v}`,
  ),
  ...['notice', 'notice stdout', 'notice-err stderr', 'err-notice stdout', 'notice file', 'notice foo'].map(
    (value) => `Log ${value}`,
  ),
  ...['[]notice', '[net]', '[net]info', '[NET,~or]info notice stdout', 'stdout', '[*]debug file /x'].map(
    (value) => `Log ${value}`,
  ),
  ...['1', '0', 'v3', 'V3', 'bridge', '1,v3', 'v2', 'none'].map(
    (value) => `PublishServerDescriptor ${value}`,
  ),
  ...['reject *:*', 'reject 1.2.3.4/33:*', 'reject [::]/0:80-70', 'reject private:*', 'accept6 *:*'].map(
    (value) => `DirPolicy ${value}`,
  ),
  ...['reject *', 'reject 1.2.3.4', 'deny *:*', 'reject *:65536', 'reject *:1-65535'].map(
    (v) => `DirPolicy ${v}`,
  ),
  ...['month 1 00:00', 'week 8 00:00', 'day 24:00', 'day 00:00', 'month 29 1:00'].map(
    (v) => `AccountingStart ${v}`,
  ),
  'Schedulers KIST,Foo',
  'ConstrainedSockets 1',
  'TokenBucketRefillInterval 1001 msec',
  'LogTimeGranularity 0',
  'LogTimeGranularity 7 msec',
  'FetchDirInfoExtraEarly 1',
  'NumEntryGuards 5',
  'TransProxyType TPROXY',
  'VirtualAddrNetworkIPv4 127.192.0.0/17',
  'SocksPort 9050 Nonsense',
  'ORPort 9001',
  'ORPort 1.2.3.4:0',
  'OutboundBindAddress 1.2.3.4',
  'OutboundBindAddressOR 1.2.3.4.5',
  'DataDirectory relative',
  'Nickname 1',
  'Nickname a_b',
  'AssumeReachable',
  'SafeLogging RELAY',
  'UseBridges 1',
  'ClientUseIPv4 0',
  'FascistFirewall 1',
  'BridgeDistribution any',
  'DirCache 0',
  'MyFamily $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA, BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB',
  'FamilyId *',
  'FamilyId x',
  ...[
    '80',
    '80 NoListen',
    '80 NoAdvertise',
    '[::1]:80',
    '0',
    '80\nDirPort 81',
    '80 NoAdvertise\nDirPort 81',
  ].map((value) => `DirPort ${value}`),
  ...['x 0.0.0.0:443', 'x [::]:443', 'x 443', 'x'].map(
    (v) => `ServerTransportPlugin x exec /bin/true\nExtORPort auto\nServerTransportListenAddr ${v}`,
  ),
  'NumCPUs 4',
];
