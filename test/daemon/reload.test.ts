/** HUP: all of the new configuration takes effect and every worker has it, or nothing does. */

import { expect, test } from 'bun:test';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import {
  folder,
  PATIENCE_MS,
  quietRelay,
  type RelayProcess as Relay,
  RelayProcess,
  startRelay,
  textOf,
  until,
  writeTorrc,
} from './relay-process.ts';

async function refused(relay: Relay, times: number): Promise<string> {
  return (await relay.said(/Reload refused, the old configuration stays in force: (.*)/, times))[1]!;
}

test(
  'refusals name place or option and leave everything as it was; what is good then takes effect',
  async () => {
    const at = folder();
    const lines = quietRelay(at, `Log notice file ${at}/log`, 'Log notice stdout', 'Nickname one');
    const torrc = writeTorrc(at, lines);
    const relay = startRelay(at, lines);
    await relay.up();

    writeTorrc(at, [...lines, 'NumCPUs nine']);
    relay.signal('SIGHUP');
    expect(await refused(relay, 1)).toStartWith(`${torrc}:12: `);

    writeTorrc(at, [...lines, 'Nickname two', 'PidFile /tmp/x', `DataDirectory ${at}/other`]);
    relay.signal('SIGHUP');
    expect(await refused(relay, 2)).toStartWith(
      `${torrc}:14: DataDirectory can't change while running; ${torrc}:13: PidFile can't change while running: ` +
        `restart the relay, or write DataDirectory ${at}/data, remove PidFile;`,
    );

    // A fault that shows only while things are opened comes before anything has changed, too.
    writeTorrc(at, [...lines, 'Nickname two', `Log notice file ${at}/none/log`]);
    relay.signal('SIGHUP');
    expect(await refused(relay, 3)).toContain(`torrc:13: cannot open the log file ${at}/none/log`);

    writeFileSync(`${at}/moved`, '');
    renameSync(torrc, `${at}/moved`);
    relay.signal('SIGHUP');
    expect(await refused(relay, 4)).toContain('there is no such file');
    expect(textOf(`${at}/data/fingerprint`)).toStartWith('one ');

    writeTorrc(at, [...lines, 'Nickname two', 'HeartbeatPeriod 2 hours', 'ExtORPort auto']);
    relay.signal('SIGHUP');
    await relay.said(/Reloaded: 3 options changed \(ExtORPort, HeartbeatPeriod, Nickname\)/);
    expect(relay.out).toContain('torrc:14: ExtORPort has no effect yet');
    expect(textOf(`${at}/data/fingerprint`)).toStartWith('two ');
    expect(relay.out).not.toContain('No answer to');

    // The same again is no change, and its notes were said.
    relay.signal('SIGHUP');
    await relay.said(/Reloaded: 0 options changed\./);
    expect(relay.out.split('ExtORPort has no effect yet')).toHaveLength(2);
    await relay.stop();
  },
  PATIENCE_MS,
);

test(
  'a burst of HUPs is worked off one by one',
  async () => {
    const at = folder();
    const lines = quietRelay(at, 'Log info stdout');
    const relay = startRelay(at, lines);
    await relay.up();
    for (let i = 0; i < 5; i++) {
      relay.signal('SIGHUP');
      await Bun.sleep(1);
    }
    relay.signal('SIGUSR1');
    await relay.said(/Counters: |All counters are 0/);
    await relay.said(/Reloaded: 0 options changed/);
    await relay.stop();
    expect(relay.out).not.toMatch(/refused|\[(err|warn)\] .*bug/);
  },
  PATIENCE_MS,
);

test(
  'logrotate: HUP writes on in a new file; TruncateLogFile empties only what an earlier run left',
  async () => {
    const at = folder();
    writeFileSync(`${at}/log`, 'an earlier run\n');
    const lines = quietRelay(at, `Log notice file ${at}/log`, 'Log notice stdout', 'TruncateLogFile 1');
    const relay = startRelay(at, lines);
    await relay.up();
    expect(textOf(`${at}/log`)).not.toContain('an earlier run');
    expect(textOf(`${at}/log`)).toMatch(
      /^\w{3} \d\d \d\d:\d\d:\d\d\.000 \[notice\] onionrelay \S+ \(\S+\) opening log file\.\n/,
    );
    relay.signal('SIGHUP');
    await relay.said(/Reloaded/);
    await until(() => textOf(`${at}/log`)!.includes('Reloaded'));
    expect(textOf(`${at}/log`)).toContain('starting with');
    renameSync(`${at}/log`, `${at}/log.1`);
    relay.signal('SIGHUP');
    await relay.said(/Reloaded/, 2);
    await until(() => textOf(`${at}/log`)?.includes('Reloaded') ?? false);
    await relay.stop();
    expect(textOf(`${at}/log`)).toContain('Stopped.');
    expect(textOf(`${at}/log.1`)).not.toContain('Stopped.');
  },
  PATIENCE_MS,
);

test(
  '__ReloadTorrcOnSIGHUP 0 reads no torrc, but opens logs anew',
  async () => {
    const at = folder();
    const lines = quietRelay(at, `Log notice file ${at}/log`, 'Log notice stdout', '__ReloadTorrcOnSIGHUP 0');
    const relay = startRelay(at, lines);
    await relay.up();
    writeTorrc(at, ['this is no torrc']);
    renameSync(`${at}/log`, `${at}/log.1`);
    relay.signal('SIGHUP');
    await relay.said(/__ReloadTorrcOnSIGHUP is 0/);
    await until(() => textOf(`${at}/log`) !== null);
    expect(relay.out).not.toContain('refused');
    await relay.stop();
  },
  PATIENCE_MS,
);

test(
  'a torrc from standard input is kept for HUP',
  async () => {
    const at = folder();
    const text = new TextEncoder().encode(`${quietRelay(at).join('\n')}\n`);
    const relay = new RelayProcess(['-f', '-'], { stdin: text });
    await relay.up();
    relay.signal('SIGHUP');
    await relay.said(/Reloaded: 0 options changed/);
    await relay.stop();
  },
  PATIENCE_MS,
);

test(
  'a signing key that the operator copied here comes into force by HUP, in later links',
  async () => {
    const at = folder();
    const relay = startRelay(at, quietRelay(at, 'Log info stdout'));
    await relay.up();
    const cert = `${at}/data/keys/ed25519_signing_cert`;
    const before = readFileSync(cert);
    const made = new RelayProcess(['-f', `${at}/torrc`, '--keygen']);
    expect(await made.ended()).toBe(0);
    expect(readFileSync(cert)).not.toEqual(before);
    relay.signal('SIGHUP');
    await relay.said(/A new Ed25519 signing key is in use\./);
    await relay.said(/Link key 2 is in use\./);
    await relay.said(/Reloaded: 0 options changed/);
    // Damage is refused, and the key in use stays good.
    writeFileSync(cert, 'x');
    relay.signal('SIGHUP');
    expect(await refused(relay, 1)).toContain('ed25519_signing_cert: is damaged');
    await relay.stop();
  },
  PATIENCE_MS,
);
