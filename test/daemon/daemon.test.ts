/** Starting: what refuses with which exit code, what is opened, made and owned. */

import { describe, expect, test } from 'bun:test';
import { chmodSync, chownSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { closeFd, findUser, isFault, listenTcp } from '../../src/libc.ts';
import { HAS_TOR, startTor } from '../keys/c-tor.ts';
import {
  COMMAND,
  folder,
  freePort,
  PATIENCE_MS,
  quietRelay,
  RelayProcess,
  runToEnd,
  startRelay,
  textOf,
  writeTorrc,
} from './relay-process.ts';

const ROOT = process.getuid!() === 0;

describe('refuses', () => {
  test(
    'a bad line with 1, naming file and line',
    async () => {
      const at = folder();
      const torrc = writeTorrc(at, ['', 'NumCPUs many']);
      const { code, out, err } = await runToEnd(['-f', torrc]);
      expect([code, out]).toEqual([1, '']);
      expect(err).toStartWith(`onionrelay: ${torrc}:2: `);
      expect(err).not.toContain('    at ');
    },
    PATIENCE_MS,
  );

  test(
    'a damaged key with 2, naming the file; the log file has it too',
    async () => {
      const at = folder();
      mkdirSync(`${at}/data/keys`, { recursive: true, mode: 0o700 });
      chmodSync(`${at}/data`, 0o700);
      writeFileSync(`${at}/data/keys/secret_id_key`, 'x', { mode: 0o600 });
      const relay = startRelay(at, quietRelay(at, `Log notice file ${at}/log`));
      expect(await relay.ended()).toBe(2);
      expect(relay.err).toContain(`${at}/data/keys`);
      expect(relay.err).toContain('ed25519_master_id_public_key');
      expect(textOf(`${at}/log`)).toMatch(/\[err\] .*identity files are missing/);
    },
    PATIENCE_MS,
  );

  test(
    'a port in use with 3, naming line and address, also when its owner shares it',
    async () => {
      for (const reusePort of [false, true]) {
        const at = folder();
        const other = listenTcp({ host: Uint8Array.of(127, 0, 0, 1), port: 0, reusePort });
        if (isFault(other)) throw new Error(other.text);
        const relay = startRelay(at, quietRelay(at, 'Nickname x', `+ORPort 127.0.0.1:${other.port}`));
        expect(await relay.ended()).toBe(3);
        expect(relay.err).toMatch(
          new RegExp(`torrc:10: cannot listen on 127\\.0\\.0\\.1:${other.port} \\(EADDRINUSE`),
        );
        expect(textOf(`${at}/data/keys/secret_id_key`)).toBeNull();
        closeFd(other.fd);
      }
    },
    PATIENCE_MS,
  );

  test(
    'an address that is not ours with 3, and a log that cannot be opened with 1',
    async () => {
      const at = folder();
      const elsewhere = startRelay(at, [`DataDirectory ${at}/data`, 'ORPort 192.0.2.1:9001']);
      expect(await elsewhere.ended()).toBe(3);
      expect(elsewhere.err).toContain('torrc:2: cannot listen on 192.0.2.1:9001 (EADDRNOTAVAIL');
      const noLog = startRelay(at, quietRelay(at, `Log notice file ${at}/none/log`));
      expect(await noLog.ended()).toBe(1);
      expect(noLog.err).toContain(`torrc:9: cannot open the log file ${at}/none/log`);
    },
    PATIENCE_MS,
  );

  test(
    'a PidFile that cannot be written, naming its line',
    async () => {
      const at = folder();
      const relay = startRelay(at, quietRelay(at, `PidFile ${at}/none/pid`));
      expect(await relay.ended()).toBe(1);
      expect(relay.err).toContain(`torrc:9: PidFile ${at}/none/pid cannot be written`);
    },
    PATIENCE_MS,
  );
});

test(
  'a running relay has its PidFile, ports, files and modes; its end removes the PidFile',
  async () => {
    const at = folder();
    mkdirSync(`${at}/data`, { mode: 0o755 });
    chmodSync(`${at}/data`, 0o755);
    const lines = quietRelay(at, `PidFile ${at}/pid`, `CacheDirectory ${at}/cache`, 'Nickname kt');
    const relay = startRelay(at, lines);
    await relay.up();
    expect(textOf(`${at}/pid`)).toBe(`${relay.pid}\n`);
    expect(relay.out).toContain(`${at}/data: mode 0755 lets others in; set to 0700`);
    for (const name of ['data', 'data/keys', 'cache'])
      expect(statSync(join(at, name)).mode & 0o777).toBe(0o700);
    for (const name of ['secret_id_key', 'secret_onion_key_ntor', 'ed25519_signing_secret_key']) {
      expect(statSync(join(at, 'data/keys', name)).mode & 0o777).toBe(0o600);
    }
    expect(textOf(`${at}/data/fingerprint`)).toMatch(/^kt [0-9A-F]{40}\n$/);
    expect(textOf(`${at}/data/fingerprint-ed25519`)).toMatch(/^kt \S{43}\n$/);
    await relay.stop();
    expect(textOf(`${at}/pid`)).toBeNull();
    expect(textOf(`${at}/data/state`)).toContain('TorVersion onionrelay ');
  },
  PATIENCE_MS,
);

test(
  'group-readable directories are what torrc says',
  async () => {
    const at = folder();
    const lines = quietRelay(at, 'DataDirectoryGroupReadable 1', 'KeyDirectoryGroupReadable 1');
    const relay = startRelay(at, [...lines, `CacheDirectory ${at}/cache`, 'CacheDirectoryGroupReadable 1']);
    await relay.up();
    for (const name of ['data', 'data/keys', 'cache'])
      expect(statSync(join(at, name)).mode & 0o777).toBe(0o750);
    await relay.stop();
  },
  PATIENCE_MS,
);

test(
  'one port over IPv4 and IPv6, several ORPorts, auto, NoListen and NoAdvertise',
  async () => {
    const at = folder();
    const [port, other] = [freePort(), freePort()];
    const lines = quietRelay(at).filter((line) => !line.startsWith('ORPort'));
    const relay = startRelay(at, [
      ...lines,
      `ORPort 127.0.0.1:${port} NoAdvertise`,
      `ORPort [::1]:${port}`,
      'ORPort 127.0.0.1:auto NoAdvertise',
      `ORPort 127.0.0.1:${other} NoListen`,
    ]);
    await relay.up(3);
    const heard = [...relay.out.matchAll(/Listening for OR connections on (\S+)/g)].map((match) => match[1]);
    expect(heard.slice(0, 2)).toEqual([`127.0.0.1:${port}`, `[::1]:${port}`]);
    expect(heard[2]).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(heard).not.toContain(`127.0.0.1:${other}`);
    for (const [hostname, listening] of [
      ['127.0.0.1', port],
      ['::1', port],
    ] as const) {
      const socket = await Bun.connect({ hostname, port: listening, socket: { data() {} } });
      socket.end();
    }
    await relay.stop();
  },
  PATIENCE_MS,
);

test(
  'NumCPUs 0 takes one worker per core that affinity leaves',
  async () => {
    const at = folder();
    const lines = quietRelay(at).map((line) => (line.startsWith('NumCPUs') ? 'NumCPUs 0' : line));
    const torrc = writeTorrc(at, lines);
    const pinned = new RelayProcess([...COMMAND, '-f', torrc], {
      command: ['taskset', '-c', '0'],
    });
    await pinned.said(/starting with 1 worker\(s\)/);
    await pinned.up();
    await pinned.stop();
  },
  PATIENCE_MS,
);

test(
  'DisableNetwork opens no port and fetches nothing',
  async () => {
    const at = folder();
    const relay = startRelay(at, quietRelay(at, 'DisableNetwork 1', 'Log info stdout'));
    await relay.said(/DisableNetwork is 1/);
    await relay.stop();
    expect(relay.out).not.toMatch(/Listening|Fetching|Asking/);
    expect(textOf(`${at}/data/fingerprint`)).not.toBeNull();
  },
  PATIENCE_MS,
);

test(
  'a second relay on the same DataDirectory is refused, naming the first',
  async () => {
    const at = folder();
    const first = startRelay(at, quietRelay(at));
    await first.up();
    const second = startRelay(at, quietRelay(at));
    expect(await second.ended()).toBe(1);
    expect(second.err).toContain(
      `${at}/data/lock: process ${first.pid} already runs with this DataDirectory`,
    );
    await first.stop();
  },
  PATIENCE_MS,
);

describe.skipIf(!HAS_TOR)('beside C tor', () => {
  test(
    'neither runs on the directory of the other, and each goes on with its keys',
    async () => {
      const at = folder();
      const ours = startRelay(at, quietRelay(at));
      await ours.up();
      const refused = await startTor(`${at}/data`);
      expect(await refused.stop()).toMatch(/another Tor process is running with the same data directory/);
      await ours.stop();
      const fingerprint = textOf(`${at}/data/fingerprint`)!.split(' ')[1]!;

      const theirs = await startTor(`${at}/data`);
      const shut = startRelay(at, quietRelay(at));
      expect(await shut.ended()).toBe(1);
      expect(shut.err).toContain(`process ${theirs.pid} already runs`);
      expect(await theirs.stop()).toContain(fingerprint.trim());

      const again = startRelay(at, quietRelay(at));
      await again.said(new RegExp(`identity fingerprint is Unnamed ${fingerprint.trim()}`));
      await again.up();
      await again.stop();
    },
    PATIENCE_MS,
  );
});

describe.skipIf(!ROOT)('User', () => {
  const user = findUser('debian-tor') ?? findUser('nobody')!;

  test(
    'owns keys and logs, and cannot become root again; the limit of files is raised',
    async () => {
      const at = folder();
      chownSync(at, user.uid, user.gid);
      const lines = quietRelay(at, `User ${user.name}`, `Log notice file ${at}/log`, `PidFile ${at}/pid`);
      const relay = startRelay(at, [...lines, 'Log notice stdout', `ORPort 127.0.0.1:${lowPort()}`]);
      await relay.up(2);
      for (const name of ['data', 'data/keys/secret_id_key', 'data/lock', 'data/fingerprint', 'log', 'pid']) {
        const { uid, gid } = statSync(join(at, name));
        expect([name, uid, gid]).toEqual([name, user.uid, user.gid]);
      }
      const status = readFileSync(`/proc/${relay.pid}/status`, 'latin1');
      expect(status).toContain(`Uid:\t${Array(4).fill(user.uid).join('\t')}`);
      const limit = /Max open files +(\d+) +(\d+)/.exec(readFileSync(`/proc/${relay.pid}/limits`, 'latin1'))!;
      expect(limit[1]).toBe(limit[2]!);
      // What a debugger could read belongs to root: its own user cannot look at it.
      expect(statSync(`/proc/${relay.pid}/mem`).uid).toBe(0);
      // Logs are opened anew by the user, too.
      relay.signal('SIGHUP');
      await relay.said(/Reloaded: 0 options changed/);
      await relay.stop();
      expect(textOf(`${at}/pid`)).toBeNull();
    },
    PATIENCE_MS,
  );

  test(
    'that does not exist is refused with its line; a directory of somebody else with 2',
    async () => {
      const at = folder();
      const nobody = startRelay(at, quietRelay(at, 'User no-such-user-here'));
      expect(await nobody.ended()).toBe(1);
      expect(nobody.err).toContain('torrc:9: there is no user "no-such-user-here"');
      chmodSync(at, 0o755);
      mkdirSync(`${at}/data`, { mode: 0o700 });
      const foreign = startRelay(at, quietRelay(at, `User ${user.name}`));
      expect(await foreign.ended()).toBe(2);
      expect(foreign.err).toContain(`${at}/data: belongs to root, but this relay runs as ${user.name}`);
    },
    PATIENCE_MS,
  );
});

/** A port below 1024 that nobody has. */
function lowPort(): number {
  for (let port = 1023; port > 600; port--) {
    const socket = listenTcp({ host: Uint8Array.of(127, 0, 0, 1), port, reusePort: false });
    if (isFault(socket)) continue;
    closeFd(socket.fd);
    return port;
  }
  throw new Error('no low port is free');
}
