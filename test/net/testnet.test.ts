/**
 * `onionrelay testnet` as a whole: downloads through three of our hops, a C tor client and a C tor relay that join with
 * the printed lines, and nothing left behind when it ends, in good order or killed.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Subprocess } from 'bun';
import { Download } from '../../src/testnet/download.ts';
import { PayloadCheck } from '../../src/testnet/payload.ts';
import { FOLDER_PREFIX } from '../../src/testnet/reaper.ts';
import { warningsAgainst } from './c-tor-warnings.ts';
import { freePorts } from './free-ports.ts';
import { needsCTor } from './network.ts';
import { onionrelayCommand, waitUntil } from './network-node.ts';

const HOST = '127.0.0.1';
const WAIT_MS = 100_000;
const DEADLINE_MS = 240_000;
const RELAYS = 4;

/** A network that runs, and what it wrote. */
class RunningTestnet {
  readonly child: Subprocess<'ignore', 'pipe', 'pipe'>;
  told = '';
  summary = '';
  private readonly readers: Promise<void>[];

  constructor(...args: string[]) {
    this.child = Bun.spawn([...onionrelayCommand(), 'testnet', '--json', ...args], {
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
    });
    const read = async (stream: ReadableStream<Uint8Array>, take: (text: string) => void) => {
      for await (const chunk of stream) take(Buffer.from(chunk).toString());
    };
    this.readers = [
      read(this.child.stderr, (text) => void (this.told += text)),
      read(this.child.stdout, (text) => void (this.summary += text)),
    ];
  }

  async tells(what: string, pattern: RegExp, from = 0): Promise<RegExpMatchArray> {
    let match: RegExpMatchArray | null = null;
    const found = () => {
      match = this.told.slice(from).match(pattern);
      return match !== null || this.child.exitCode !== null;
    };
    await waitUntil(what, WAIT_MS, found, () => this.told.slice(-3000));
    if (match === null) throw new Error(`the network ended before ${what}: ${this.told.slice(-3000)}`);
    return match;
  }

  /** Lines of torrc to join it. */
  get torrc(): string[] {
    return [...this.told.matchAll(/^ {4}((?:TestingTorNetwork|DirAuthority) .*)$/gm)].map(
      ([, line]) => line!,
    );
  }

  /** Its children, by process id, and the folder that relays work in; empty while none does. */
  get children(): { pids: number[]; folder: string } {
    const pids = readdirSync('/proc')
      .map(Number)
      .filter((pid) => pid > 0 && parentOf(pid) === this.child.pid);
    const inFolder = pids.map(workplaceOf).find((path) => path.includes(FOLDER_PREFIX)) ?? '';
    return { pids, folder: inFolder.slice(0, inFolder.lastIndexOf('/')) };
  }

  async end(signal: NodeJS.Signals): Promise<number> {
    this.child.kill(signal);
    const code = await this.child.exited;
    await Promise.all(this.readers);
    return code;
  }
}

function parentOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return Number(stat.slice(stat.lastIndexOf(') ') + 2).split(' ')[1]);
  } catch {
    return 0;
  }
}

function workplaceOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return '';
  }
}

async function listens(port: number): Promise<boolean> {
  const socket = await Bun.connect({ hostname: HOST, port, socket: { data() {} } }).catch(() => null);
  socket?.end();
  return socket !== null;
}

/** Ask for the payload through a SOCKS port by the server's name; the exit looks it up. */
async function fetchByName(socksPort: number, name: string, port: number, bytes: number): Promise<number> {
  const check = new PayloadCheck();
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  let stage = 0;
  let head = Buffer.alloc(0);
  await Bun.connect({
    hostname: HOST,
    port: socksPort,
    socket: {
      open: (socket) => void socket.write(Uint8Array.of(5, 1, 0)),
      data: (socket, chunk) => {
        stage++;
        if (stage === 1) {
          socket.write(
            Buffer.concat([
              Uint8Array.of(5, 1, 0, 3, name.length),
              Buffer.from(name),
              Uint8Array.of(port >> 8, port & 255),
            ]),
          );
        } else if (stage === 2) {
          if (chunk[1] !== 0) reject(new Error(`SOCKS reply ${chunk[1]}`));
          socket.write(`GET /${bytes} HTTP/1.1\r\n\r\n`);
        } else {
          const isHead = check.received === 0 && !head.includes('\r\n\r\n');
          if (isHead) head = Buffer.concat([head, chunk]);
          const end = head.indexOf('\r\n\r\n');
          const body = isHead ? (end < 0 ? new Uint8Array(0) : head.subarray(end + 4)) : chunk;
          if (!check.take(body)) reject(new Error(`wrong byte behind ${check.received}`));
        }
      },
      close: () => resolve(check.received),
    },
  });
  return promise;
}

describe.skipIf(!needsCTor('test/net/testnet'))('a test network', () => {
  const files = mkdtempSync(join(tmpdir(), 'onionrelay-join-'));
  const joined: Subprocess[] = [];
  let network: RunningTestnet;
  let socksPort = 0;
  let payloadPort = 0;
  let clientPort = 0;

  function joinAs(name: string, lines: readonly string[]): string {
    const directory = join(files, name);
    mkdirSync(directory, { mode: 0o700 });
    const torrc = [
      `DataDirectory ${directory}`,
      `Log info file ${directory}/log`,
      'SafeLogging 0',
      ...network.torrc,
      ...lines,
      '',
    ];
    writeFileSync(join(directory, 'torrc'), torrc.join('\n'));
    joined.push(
      Bun.spawn(['tor', '--__OwningControllerProcess', String(process.pid), '-f', join(directory, 'torrc')], {
        stdin: 'ignore',
        stdout: 'ignore',
        stderr: 'ignore',
      }),
    );
    return join(directory, 'log');
  }
  const textOf = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8') : '');

  beforeAll(async () => {
    network = new RunningTestnet('--relays', String(RELAYS), '--minutes', '30', '--size', '2MB');
    const [, socks] = await network.tells('its SOCKS port', /SOCKS is on 127\.0\.0\.1:(\d+)/);
    const [, payload] = await network.tells('its payload', /http:\/\/payload\.testnet:(\d+)\//);
    [socksPort, payloadPort] = [Number(socks), Number(payload)];
  }, DEADLINE_MS);

  afterAll(async () => {
    for (const child of joined) child.kill('SIGKILL');
    network?.child.kill('SIGTERM');
    await network?.child.exited;
    rmSync(files, { recursive: true, force: true });
  }, DEADLINE_MS);

  test(
    'downloads through three of its relays',
    async () => {
      await network.tells('ten whole downloads', /\b\d\d+ downloads whole, 0 failed/);
      expect(network.told).toMatch(/(guard|middle)\d→(guard|middle)\d→exit1/);
    },
    DEADLINE_MS,
  );

  test(
    'has a SOCKS port for others, by name and by address',
    async () => {
      expect(await fetchByName(socksPort, 'payload.testnet', payloadPort, 1_000_000)).toBe(1_000_000);
      const plan = { host: HOST, socksPort, serverPort: payloadPort, bytes: 1_000_000, name: 'mine' };
      expect(await new Download(plan).ended).toBeNull();
      expect(await fetchByName(socksPort, 'example.com', 80, 1).catch((error: Error) => error.message)).toBe(
        'SOCKS reply 4',
      );
      expect(await fetchByName(socksPort, '192.0.2.1', 80, 1).catch((error: Error) => error.message)).toBe(
        'SOCKS reply 2',
      );
    },
    DEADLINE_MS,
  );

  test(
    'takes a C tor client, which bootstraps and downloads through ours',
    async () => {
      clientPort = freePorts(1)[0]!;
      const log = joinAs('client', [`SocksPort ${HOST}:${clientPort}`]);
      await waitUntil(
        'the client to bootstrap',
        WAIT_MS,
        () => textOf(log).includes('Bootstrapped 100%'),
        () => textOf(log).slice(-2000),
      );
      const plan = {
        host: HOST,
        socksPort: clientPort,
        serverPort: payloadPort,
        bytes: 5_000_000,
        name: 'client',
      };
      expect(await new Download(plan).ended).toBeNull();
    },
    DEADLINE_MS,
  );

  test(
    'takes a C tor relay, which is listed and used',
    async () => {
      const [orPort] = freePorts(1);
      joinAs('newcomer', [
        'Nickname newcomer',
        `ORPort ${HOST}:${orPort}`,
        `Address ${HOST}`,
        'SocksPort 0',
        'AssumeReachable 1',
        'ContactInfo nobody@example.com',
      ]);
      await network.tells('a fifth relay', new RegExp(`${RELAYS + 1} relays listed`));
      await network.tells('a circuit through it', /newcomer/);
    },
    DEADLINE_MS,
  );

  test('gives C tor nothing to warn of', () => {
    const ours = network.torrc.join(' ').match(/\b[0-9A-F]{40}$/)![0];
    const marks = [{ nickname: 'authority', identities: [ours], ports: [] }];
    const usual = [
      /ContactInfo config option is not set/,
      /Nickname .* is not set/,
      /SocksPort .*open proxy/,
    ];
    for (const name of ['client', 'newcomer']) {
      const warnings = warningsAgainst(marks, textOf(join(files, name, 'log')));
      expect(warnings.filter((line) => !usual.some((known) => known.test(line)))).toEqual([]);
    }
  });

  test(
    'ends on Ctrl-C with a summary, and leaves no process, port or file',
    async () => {
      const { pids, folder } = network.children;
      const dirPort = Number(/127\.0\.0\.1:(\d+) [0-9A-F]{40}$/.exec(network.torrc.at(-1)!)![1]);
      const orPort = Number(/orport=(\d+)/.exec(network.torrc.at(-1)!)![1]);
      const ports = [socksPort, payloadPort, dirPort, orPort];
      expect(pids.length).toBe(RELAYS + 1);
      expect(existsSync(folder)).toBe(true);
      expect(await Promise.all(ports.map(listens))).toEqual([true, true, true, true]);
      expect(await network.end('SIGINT')).toBe(0);
      const summary = JSON.parse(network.summary) as {
        ok: boolean;
        downloads: { failed: number; bytes: number };
      };
      expect(summary).toMatchObject({ ok: true, downloads: { failed: 0 } });
      expect(summary.downloads.bytes).toBeGreaterThan(20_000_000);
      expect(pids.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]);
      expect(existsSync(folder)).toBe(false);
      expect(await Promise.all(ports.map(listens))).toEqual([false, false, false, false]);
    },
    DEADLINE_MS,
  );

  test(
    'leaves nothing when it is killed, either',
    async () => {
      const other = new RunningTestnet('--relays', '3', '--minutes', '5');
      await other.tells('its SOCKS port', /SOCKS is on/);
      const { pids, folder } = other.children;
      await other.end('SIGKILL');
      await waitUntil('its children to be gone', WAIT_MS, () =>
        pids.every((pid) => !existsSync(`/proc/${pid}`)),
      );
      expect(existsSync(folder)).toBe(false);
    },
    DEADLINE_MS,
  );

  test(
    'ends before it is up when it is told to',
    async () => {
      const other = new RunningTestnet('--relays', '3', '--minutes', '5');
      await waitUntil('its first relay', WAIT_MS, () => other.children.folder !== '');
      const { pids, folder } = other.children;
      expect(await other.end('SIGTERM')).toBe(1);
      expect(JSON.parse(other.summary)).toMatchObject({ ok: false, downloads: { done: 0 } });
      expect(pids.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]);
      expect(existsSync(folder)).toBe(false);
    },
    DEADLINE_MS,
  );
});
