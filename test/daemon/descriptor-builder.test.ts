/** Our descriptor as an authority gets it from a running relay: what it says, and when it is made anew. */

import { afterEach, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { parseServerDescriptor } from '../../src/netdoc/server-descriptor.ts';
import { folder, PATIENCE_MS, quietRelay, startRelay, until, writeTorrc } from './relay-process.ts';

const servers: Bun.Server<undefined>[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.stop(true);
});

/** Serve nothing and take everything. */
function scribe(): { port: number; uploads: string[] } {
  const uploads: string[] = [];
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    async fetch(request) {
      if (request.method !== 'POST') return new Response('', { status: 404 });
      uploads.push(await request.text());
      return new Response('');
    },
  });
  servers.push(server);
  return { port: server.port!, uploads };
}

function linesFor(at: string, port: number, ...more: string[]): string[] {
  const usual = quietRelay(at).filter((line) => !/^(DirAuthority|PublishServerDescriptor)/.test(line));
  const authority = `DirAuthority scribe orport=1 v3ident=${'1'.repeat(40)} 127.0.0.1:${port} ${'2'.repeat(40)}`;
  return [...usual, authority, 'Log info stdout', ...more];
}

const lineOf = (document: string, keyword: string) => new RegExp(`^${keyword} .*$`, 'm').exec(document)?.[0];

test(
  'a descriptor at the start, and a new one when torrc changes something in it',
  async () => {
    const at = folder();
    const { port, uploads } = scribe();
    const relay = startRelay(
      at,
      linesFor(at, port, 'Address localhost', 'BandwidthRate 200 KBytes', 'DownloadExtraInfo 1'),
    );
    const orPort = await relay.up();
    await until(() => uploads.length === 1);
    const document = uploads[0]!;
    expect(lineOf(document, 'router')).toBe(`router Unnamed 127.0.0.1 ${orPort} 0 0`);
    expect(lineOf(document, 'contact')).toBe('contact test@example.org');
    expect(lineOf(document, 'bandwidth')).toStartWith('bandwidth 204800 ');
    expect(document).toContain('\nreject *:*\n');
    expect(document).toMatch(/\nextra-info-digest .*\ncaches-extra-info\n/);
    expect(document).toContain('\ntunnelled-dir-server\n');
    expect(lineOf(document, 'proto')).toContain(' DirCache=2 ');
    const ntor = readFileSync(`${at}/data/keys/secret_onion_key_ntor`).subarray(64, 96);
    expect(lineOf(document, 'ntor-onion-key')).toBe(`ntor-onion-key ${ntor.toBase64()}`.replace(/=+$/, ''));
    const router = document.slice(0, document.indexOf('extra-info Unnamed'));
    expect(parseServerDescriptor(new TextEncoder().encode(router)).nickname).toBe('Unnamed');

    writeTorrc(
      at,
      linesFor(
        at,
        port,
        'Address localhost',
        'BandwidthRate 200 KBytes',
        'DownloadExtraInfo 1',
        'ShutdownWaitLength 9',
      ),
    );
    relay.signal('SIGHUP');
    await relay.said(/Reloaded: 1 option changed \(ShutdownWaitLength\)/);
    const next = linesFor(at, port, 'Address localhost', 'BandwidthRate 300 KBytes', 'Nickname other');
    writeTorrc(at, next);
    relay.signal('SIGHUP');
    await until(() => uploads.length >= 2);
    expect(uploads).toHaveLength(2);
    expect(lineOf(uploads[1]!, 'router')).toBe(`router other 127.0.0.1 ${orPort} 0 0`);
    expect(lineOf(uploads[1]!, 'bandwidth')).toStartWith('bandwidth 307200 ');
    expect(uploads[1]!).not.toContain('caches-extra-info');

    writeTorrc(at, [...next, 'PublishServerDescriptor 0', 'ContactInfo nobody']);
    relay.signal('SIGHUP');
    await relay.said(/Reloaded: 2 options changed \(ContactInfo, PublishServerDescriptor\)/);
    await relay.said(/PublishServerDescriptor is 0: nothing is published/);
    await relay.stop();
    expect(uploads).toHaveLength(2);
  },
  PATIENCE_MS,
);

test(
  'a bridge is never given to the authorities, and a relay that nobody vouches for says what is missing',
  async () => {
    const { port, uploads } = scribe();
    for (const [lines, wanted] of [
      [['Address 127.0.0.1', 'BridgeRelay 1'], /PublishServerDescriptor is 0: nothing is published/],
      [
        ['Address 127.0.0.1', 'DirAllowPrivateAddresses 0'],
        /Publishing nothing: 127\.0\.0\.1 is not a public/,
      ],
      [
        ['Address 127.0.0.1', 'AssumeReachable 0'],
        /Publishing nothing yet: nobody is known to reach our ORPort at 127\.0\.0\.1:\d+/,
      ],
    ] as const) {
      const at = folder();
      const relay = startRelay(at, linesFor(at, port, ...lines));
      await relay.said(wanted);
      // What to write is told once, and USR1 tells it again in one line.
      relay.signal('SIGUSR1');
      await relay.said(wanted, 2);
      await relay.stop();
    }
    expect(uploads).toEqual([]);
  },
  PATIENCE_MS,
);
