/**
 * Ours as directory cache and directory guard of a private network of C tor.
 *
 * The network: three C tor authorities, a C tor cache with a DirPort, a C tor relay and exit, ours with a DirPort and
 * two workers, and a C tor client that can reach nobody but ours. The tests run in this order on one network.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeHex } from '../../src/bytes/base.ts';
import { DiffCache } from '../../src/directory/diff-cache.ts';
import { parseConsensus } from '../../src/netdoc/consensus.ts';
import { signedSha3 } from '../../src/netdoc/consensus-diff.ts';
import { parseServerDescriptor } from '../../src/netdoc/server-descriptor.ts';
import { type Answered, takeApart } from '../edge/directory-desk.ts';
import { askDirPort, DirectoryLink, type RawAnswer } from './begin-dir.ts';
import { warningsAgainst } from './c-tor-warnings.ts';
import { findEntry } from './consensus-entry.ts';
import type { ControlPort } from './control-port.ts';
import { Network, type NodePlan, needsCTor, waitUntil } from './network.ts';
import { download, expectedTransfer, PayloadServer } from './socks.ts';

const WAIT_MS = 200_000;
const DEADLINE_MS = 420_000;
const SAMPLE_BYTES = 1_000_000;
const CONSENSUS = '/tor/status-vote/current/consensus';
const PAGE = '<html><body>This is a Tor relay.</body></html>\n';
/** What is all of a kind, in no order. */
const SETS: readonly string[] = ['/tor/server/all', '/tor/extra/all', '/tor/keys/all'];
const RELAYS = 7;
const TRIES = 5;
const AUTHORITIES = ['auth1', 'auth2', 'auth3'];
/** What C tors say of circuits that a C tor client lays on its own, at times back to where they come from. */
const OWN_CIRCUITS = /extend back to the previous hop|process_relay_cell \(away from origin\) failed/;

const cacheLines: string[] = ['DownloadExtraInfo 1'];
const oursLines: string[] = ['DownloadExtraInfo 1'];
const PLANS: NodePlan[] = [
  ...AUTHORITIES.map(
    // A client fetches the next consensus late in the life of the one before.
    (name) => ({ name, software: 'tor', role: 'authority', instead: ['V3AuthNIntervalsValid 4'] }) as const,
  ),
  { name: 'cache', software: 'tor', role: 'relay', torrc: cacheLines },
  { name: 'relay1', software: 'tor', role: 'relay' },
  { name: 'exit1', software: 'tor', role: 'exit' },
  { name: 'ours', software: 'onionrelay', role: 'relay', torrc: oursLines },
  { name: 'client', software: 'tor', role: 'client', late: true },
];

describe.skipIf(!needsCTor('test/net/directory-guard'))('a directory cache among C tors', () => {
  let net: Network;
  let server: PayloadServer;
  let client: ControlPort;
  const links: DirectoryLink[] = [];

  beforeAll(async () => {
    server = new PayloadServer();
    net = new Network(PLANS);
    const page = join(net.directory, 'page.html');
    writeFileSync(page, PAGE);
    for (const [name, lines] of [
      ['cache', cacheLines],
      ['ours', oursLines],
    ] as const) {
      lines.push(`DirPort 127.0.0.1:${net.node(name).dirPort}`, `DirPortFrontPage ${page}`);
    }
    await net.start();
    await waitUntil('ours to be V2Dir and Guard', WAIT_MS, async () => {
      for (const node of net.nodes) node.assertRuns();
      const fingerprint = net.node('ours').fingerprint();
      const entry = fingerprint === null ? null : findEntry(await net.consensus('auth1'), fingerprint);
      return entry !== null && ['V2Dir', 'Guard', 'Running'].every((flag) => entry.flags.includes(flag));
    });
  }, DEADLINE_MS);

  afterAll(async () => {
    for (const link of links) link.close();
    server?.stop();
    await net?.stop();
  }, DEADLINE_MS);

  const requestOf = (path: string, headers: readonly string[]): string =>
    [`GET ${path} HTTP/1.0`, 'Host: 127.0.0.1', ...headers, '', ''].join('\r\n');

  /** Ask the DirPort of a relay. */
  async function direct(name: string, path: string, ...headers: string[]): Promise<Answered> {
    const { bytes } = await askDirPort(net.node(name).dirPort, requestOf(path, headers));
    return takeApart(bytes, 0);
  }

  test(
    'the descriptor says what we do, and authorities believe it',
    async () => {
      const { fingerprint, dirPort } = {
        fingerprint: net.node('ours').fingerprint()!,
        dirPort: net.node('ours').dirPort,
      };
      const consensus = await net.consensus('auth1');
      expect(findEntry(consensus, fingerprint)!.protocols).toContain('DirCache=2');
      const answered = await direct('auth1', `/tor/server/fp/${fingerprint}`);
      const descriptor = parseServerDescriptor(Buffer.from(answered.body, 'latin1'));
      expect([descriptor.tunnelledDirServer, descriptor.cachesExtraInfo]).toEqual([true, true]);
      // As C tor's, a relay's DirPort is not advertised.
      expect(answered.body).not.toContain(` ${dirPort}\n`);
    },
    DEADLINE_MS,
  );

  /** Wait until ours serves everything that its consensuses name. */
  async function complete(): Promise<void> {
    await waitUntil('ours to have everything', WAIT_MS, async () => {
      const consensus = await direct('ours', `${CONSENSUS}-microdesc`);
      if (!consensus.statusLine.includes(' 200 ')) return false;
      const { routers } = parseConsensus(Buffer.from(consensus.body, 'latin1'));
      const digests = Array.from({ length: routers.count }, (_, row) => routers.digest(row));
      const names = digests.map((digest) => Buffer.from(digest).toString('base64').replace(/=+$/, ''));
      const micro = await direct('ours', `/tor/micro/d/${names.join('-')}`);
      const extra = await direct('ours', '/tor/extra/all');
      const count = (body: string, keyword: string): number => body.split(`${keyword}`).length - 1;
      return count(micro.body, 'onion-key\n-----') >= RELAYS && count(extra.body, 'extra-info ') >= RELAYS;
    });
  }

  test(
    'a C tor client bootstraps through ours alone, and goes out through it',
    async () => {
      await complete();
      const { orPort, dirPort } = net.node('ours');
      const fingerprint = net.node('ours').fingerprint()!;
      const torrc = join(net.node('client').directory, 'torrc');
      const lines = readFileSync(torrc, 'utf8')
        .split('\n')
        .filter(
          (line) =>
            !/^(UseEntryGuards|FetchDirInfo|__LeaveStreams|__DisablePredicted|ClientPreferIPv6|ClientUseIPv6)/.test(
              line,
            ),
        );
      writeFileSync(torrc, lines.join('\n'));
      appendFileSync(
        torrc,
        [
          'UseEntryGuards 1',
          'ClientUseIPv6 0',
          `EntryNodes ${fingerprint}`,
          `FallbackDir 127.0.0.1:${dirPort} orport=${orPort} id=${fingerprint}`,
          // Whatever else it might want to reach, it cannot.
          `ReachableAddresses accept 127.0.0.1:${orPort}, reject *:*`,
          '',
        ].join('\n'),
      );
      net.node('client').start();
      client = await net.control('client');
      await waitUntil(
        'the client to be ready',
        WAIT_MS,
        async () => (await client.getInfo('status/bootstrap-phase'))?.includes('PROGRESS=100') === true,
        () => net.node('client').log().slice(-3000),
      );
      const links = (await client.getInfo('orconn-status')) ?? '';
      expect(links.match(/\$[0-9A-F]{40}/g)?.every((id) => id === `$${fingerprint}`)).toBe(true);
      const got = await download(net.node('client').socksPort, server.port, SAMPLE_BYTES);
      expect(got).toEqual(expectedTransfer(SAMPLE_BYTES));
    },
    DEADLINE_MS,
  );

  test(
    'later it fetches consensus diffs from ours',
    async () => {
      await waitUntil('a consensus diff at the client', WAIT_MS, () =>
        net.node('client').log().includes('Applied consensus diff'),
      );
      const counters = await net.node('ours').counters();
      const count = (name: string): number => counters.get(name) ?? 0;
      expect(count('directory_tunnelled_finished')).toBeGreaterThanOrEqual(2);
      expect(count('directory_tunnelled_finished')).toBeLessThanOrEqual(count('directory_tunnelled_begun'));
      expect(count('directory_bytes_written')).toBeGreaterThan(1000);
      expect(count('directory_request_refused')).toBe(0);
    },
    DEADLINE_MS,
  );

  test(
    'stem reads all documents over the DirPort and the ORPort',
    async () => {
      const { dirPort, orPort } = net.node('ours');
      for (const [kind, port, encoding] of [
        ['dir', dirPort, 'plain'],
        ['dir', dirPort, 'gzip'],
        ['or', orPort, 'plain'],
        ['or', orPort, 'gzip'],
      ] as const) {
        const script = join(import.meta.dir, 'stem-client.py');
        const run = Bun.spawn(['/usr/bin/python3', script, kind, String(port), encoding], {
          stdout: 'pipe',
          stderr: 'pipe',
        });
        const [out, fault] = await Promise.all([
          new Response(run.stdout).text(),
          new Response(run.stderr).text(),
        ]);
        expect([await run.exited, fault]).toEqual([0, '']);
        const counts = new Map(
          out
            .trim()
            .split('\n')
            .map((line) => [line.split(' ')[0], Number(line.split(' ')[1])]),
        );
        expect(counts.get('certificates')).toBe(3);
        for (const what of ['consensus', 'microdescriptors', 'descriptors', 'extra-infos']) {
          expect(counts.get(what)).toBeGreaterThanOrEqual(RELAYS);
        }
      }
    },
    DEADLINE_MS,
  );

  test('no C tor warns of ours', () => {
    const marks = [net.node('ours').marks()];
    for (const node of net.nodes) {
      if (node.plan.software !== 'tor') continue;
      const warnings = warningsAgainst(marks, node.log('tor')).filter((line) => !OWN_CIRCUITS.test(line));
      expect(warnings.map((line) => `${node.plan.name}: ${line}`)).toEqual([]);
    }
  });

  /** What keeps both caches from holding the newest consensuses that there are and the same documents; null: nothing. */
  async function disagreement(): Promise<string | null> {
    for (const path of [CONSENSUS, `${CONSENSUS}-microdesc`]) {
      const [newest, theirs, ours] = await Promise.all(
        ['auth1', 'cache', 'ours'].map((name) => direct(name, path).catch(() => null)),
      );
      const bodies = [theirs?.body ?? '', ours?.body ?? ''];
      // An authority that is stopped has nothing newer any more.
      if (newest !== null) bodies.push(newest!.body);
      if (bodies.includes('') || new Set(bodies).size > 1) {
        const times = bodies.map((body) => body.match(/^valid-after (.*)$/m)?.[1] ?? 'none');
        return `${path}: theirs, ours, the newest: ${times.join(', ')}`;
      }
    }
    for (const path of SETS) {
      const [theirs, ours] = await Promise.all(['cache', 'ours'].map((name) => direct(name, path)));
      const [left, right] = [documentsOf(theirs!.body), documentsOf(ours!.body)];
      if (JSON.stringify(left) === JSON.stringify(right)) continue;
      const more = left.filter((one) => !right.includes(one));
      const less = right.filter((one) => !left.includes(one));
      return `${path}: only theirs has ${JSON.stringify(more)}, only ours ${JSON.stringify(less)}`;
    }
    return null;
  }

  /**
   * Stop the authorities while both caches hold the same. A relay may have published since, and one of the caches
   * have fetched what it published before the authorities were gone: then it begins again.
   */
  async function freeze(): Promise<void> {
    const authorities = AUTHORITIES.map((name) => net.node(name));
    let differs: string | null = null;
    const frozen = async (): Promise<boolean> => {
      differs = await disagreement();
      if (differs !== null) return false;
      await Promise.all(authorities.map((node) => node.kill()));
      // What was asked for is answered by then, or never.
      await Bun.sleep(1000);
      differs = await disagreement();
      if (differs !== null) for (const node of authorities) node.start();
      return differs === null;
    };
    await waitUntil('both caches to have the same', WAIT_MS, frozen, () => `${differs}`);
    await complete();
  }

  /** An answer without what may differ: dates, but not how they lie to each other. */
  function comparable({ statusLine, headers, date, body, endReason }: Answered, isSet: boolean): unknown {
    const now = date === null ? 0 : Date.parse(date.slice(6));
    const told = headers.map((line) => {
      if (!line.startsWith('Expires: ')) return line;
      return `Expires in ${Math.round((Date.parse(line.slice(9)) - now) / 1000)} s`;
    });
    const documents = isSet ? documentsOf(body) : body;
    return { statusLine, headers: told, date: date !== null, documents, endReason };
  }

  /** What the two caches answer to one request. */
  interface Pair {
    readonly theirs: unknown;
    readonly ours: unknown;
  }

  /** Ask both caches for everything that there is, in every way; returns the first answers that differ. */
  async function firstDifference(): Promise<Pair | null> {
    const ns = await direct('cache', CONSENSUS);
    const md = await direct('cache', `${CONSENSUS}-microdesc`);
    const nsConsensus = parseConsensus(Buffer.from(ns.body, 'latin1'));
    const mdConsensus = parseConsensus(Buffer.from(md.body, 'latin1'));
    const own = new Set(['cache', 'ours'].map((name) => net.node(name).fingerprint()!));
    const rows = (consensus: typeof nsConsensus): number[] =>
      Array.from({ length: consensus.routers.count }, (_, row) => row);
    const foreign = rows(nsConsensus).filter((row) => !own.has(encodeHex(nsConsensus.routers.rsaId(row))));
    const fps = foreign.map((row) => encodeHex(nsConsensus.routers.rsaId(row)));
    const digests = foreign.map((row) => encodeHex(nsConsensus.routers.digest(row)));
    const micro = rows(mdConsensus).map((row) =>
      Buffer.from(mdConsensus.routers.digest(row)).toString('base64').replace(/=+$/, ''),
    );
    const extras = (await direct('cache', `/tor/server/d/${digests.join('+')}`)).body
      .match(/^extra-info-digest [0-9A-F]{40}/gm)!
      .map((line) => line.slice(18));
    const signers = [...new Set(nsConsensus.signatures.map(({ authorityId }) => encodeHex(authorityId)))];
    const keys = nsConsensus.signatures.map(
      ({ authorityId, signingKeyDigest }) => [encodeHex(authorityId), encodeHex(signingKeyDigest)] as const,
    );
    const current = encodeHex(signedSha3(Buffer.from(md.body, 'latin1')));
    const nothing = '09'.repeat(20);
    const paths: [string, ...string[]][] = [
      [CONSENSUS],
      [`${CONSENSUS}.z`],
      [`${CONSENSUS}-microdesc`],
      [`${CONSENSUS}-microdesc.z`],
      [`${CONSENSUS}-nonesuch`],
      [`${CONSENSUS}/`],
      [`${CONSENSUS}/${signers.map((id) => id.slice(0, 6)).join('+')}`],
      [`${CONSENSUS}-microdesc/${signers.join('+')}.z`],
      [`${CONSENSUS}/${signers[0]!.slice(0, 6)}+000000`],
      [`${CONSENSUS}/000000+111111`],
      [`${CONSENSUS}-microdesc/diff/${current}/${signers[0]}`],
      [`${CONSENSUS}-microdesc/diff/${'00'.repeat(32)}/${signers[0]}`],
      [`${CONSENSUS}-microdesc/diff/xyz`],
      [`${CONSENSUS}-microdesc`, `X-Or-Diff-From-Consensus: ${current}`],
      [`${CONSENSUS}-microdesc`, `X-Or-Diff-From-Consensus: ${'00'.repeat(32)} nonsense`],
      [CONSENSUS, `If-Modified-Since: ${new Date(nsConsensus.validAfterSec * 1000).toUTCString()}`],
      [CONSENSUS, `If-Modified-Since: ${new Date(nsConsensus.validAfterSec * 1000 + 1000).toUTCString()}`],
      [CONSENSUS, 'If-Modified-Since: yesterday'],
      [`/tor/micro/d/${micro.join('-')}`],
      [`/tor/micro/d/${micro[0]}.z`],
      [`/tor/micro/d/${micro[0]}-nonsense-${micro[0]}`],
      ['/tor/micro/d/nonsense'],
      ['/tor/micro/d/'],
      [`/tor/server/d/${digests.join('+')}`],
      [`/tor/server/d/${digests[0]}.z`],
      [`/tor/server/d/${digests[0]}+${nothing}`],
      [`/tor/server/d/${nothing}`],
      [`/tor/server/fp/${fps.join('+')}`],
      [`/tor/server/fp/${fps[0]!.toLowerCase()}`],
      [`/tor/server/fp/${nothing}`],
      ['/tor/server/fp/nonsense'],
      ['/tor/server/nonesuch'],
      [`/tor/extra/d/${extras.join('+')}`],
      [`/tor/extra/fp/${fps.join('+')}`],
      [`/tor/extra/fp/${nothing}`],
      [`/tor/keys/fp/${signers.join('+')}`],
      [`/tor/keys/fp/${signers[0]}.z`],
      [`/tor/keys/sk/${keys.map(([, key]) => key).join('+')}`],
      [`/tor/keys/fp-sk/${keys.map((pair) => pair.join('-')).join('+')}`],
      [`/tor/keys/fp/${nothing}`],
      [`/tor/keys/fp/${signers[0]}`, 'If-Modified-Since: Mon, 01 Jan 2035 00:00:00 GMT'],
      ['/tor/keys/authority'],
      ['/tor/keys/nonesuch'],
      ['/tor/robots.txt'],
      ['/robots.txt'],
      ['/'],
      ['/tor/'],
      ['/tor/nonesuch'],
      ['http://127.0.0.1/tor/robots.txt'],
      ['/tor/hs/3/nonsense'],
      ['/tor/status-vote/next/authority'],
      ['/tor/status-vote/next/bandwidth'],
      ['/tor/status-vote/current/authority'],
    ];
    const encodings = [
      '',
      'identity',
      'deflate',
      'gzip',
      'x-gzip',
      'x-zstd',
      'x-zstd, deflate, gzip',
      'GZIP, *',
    ];
    for (const way of ['DirPort', 'circuit'] as const) {
      const ask = await askers(way);
      for (const [path, ...headers] of [...paths, ...SETS.map((set) => [set] as [string])]) {
        for (const encoding of encodings) {
          const more = encoding === '' ? headers : [...headers, `Accept-Encoding: ${encoding}`];
          const isSet = SETS.includes(path);
          const label = `${way} ${path} [${more.join('; ')}]`;
          const compared = async (asked: Promise<Answered>): Promise<object> => ({
            label,
            ...(comparable(await asked, isSet) as object),
          });
          // A second may begin between the two answers, and with it another distance to a fixed time.
          for (let tries = 1; ; tries++) {
            const both = [compared(ask.theirs(path, more)), compared(ask.ours(path, more))] as const;
            const [theirs, ours] = await Promise.all(both);
            if (Bun.deepEquals(ours, theirs, true)) break;
            if (tries === TRIES) return { theirs, ours };
          }
        }
      }
    }
    return null;
  }

  test(
    'answers are those of a C tor cache, byte for byte',
    async () => {
      for (;;) {
        await freeze();
        const pair = await firstDifference();
        // A relay's own cache has its new descriptor at once, and nobody else without authorities.
        if (pair !== null && (await disagreement()) !== null) {
          for (const name of AUTHORITIES) net.node(name).start();
          continue;
        }
        expect(pair?.ours).toEqual(pair?.theirs);
        return;
      }
    },
    DEADLINE_MS,
  );

  type Ask = (path: string, headers: readonly string[]) => Promise<Answered>;

  async function askers(way: 'DirPort' | 'circuit'): Promise<{ theirs: Ask; ours: Ask }> {
    const make = (name: string): Ask => {
      const { dirPort, orPort } = net.node(name);
      let raw: (request: string) => Promise<RawAnswer> = (request) => askDirPort(dirPort, request);
      if (way === 'circuit') {
        const link = new DirectoryLink(orPort);
        links.push(link);
        raw = (request) => link.ask(request);
      }
      return async (path, headers) => {
        const { bytes, endReason } = await raw(requestOf(path, headers));
        return takeApart(bytes, endReason);
      };
    };
    return { theirs: make('cache'), ours: make('ours') };
  }

  test(
    'so are answers to other methods and to nonsense',
    async () => {
      const requests = [
        'HEAD /tor/robots.txt HTTP/1.0\r\n\r\n',
        'PUT /tor/robots.txt HTTP/1.0\r\n\r\n',
        'GET /tor/robots.txt HTTP/1.1\r\n\r\n',
        'GET /tor/robots.txt HTTP/2.0\r\n\r\n',
        'GET /tor/robots.txt\r\n\r\n',
        'get /tor/robots.txt HTTP/1.0\r\n\r\n',
        'GETX /tor/robots.txt HTTP/1.0\r\n\r\n',
        'GET /tor/robots.txt HTTP/1.0\r\nContent-Length: x\r\n\r\n',
        'GET /tor/robots.txt HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc',
        'POST /tor/ HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc',
        'POST /tor/post/vote HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc',
        'POST /tor/hs/3/publish HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc',
        'POST nonsense\r\n\r\n',
        'nonsense\r\n\r\n',
      ];
      for (const way of ['DirPort', 'circuit'] as const) {
        for (const request of requests) {
          const raw = (name: string): Promise<RawAnswer> => {
            const { dirPort, orPort } = net.node(name);
            if (way === 'DirPort') return askDirPort(dirPort, request);
            const link = new DirectoryLink(orPort);
            links.push(link);
            return link.ask(request);
          };
          const [theirs, ours] = await Promise.all([raw('cache'), raw('ours')]);
          const label = `${way} ${request}`;
          const of = ({ bytes, endReason }: RawAnswer): object => ({
            label,
            ...(comparable(takeApart(bytes, endReason), false) as object),
          });
          expect(of(ours)).toEqual(of(theirs));
        }
      }
    },
    DEADLINE_MS,
  );

  test(
    'a C tor that takes over makes diffs from the consensuses that ours kept',
    async () => {
      const ours = net.node('ours');
      await net.stopNode('ours');
      const newest = (await direct('cache', `${CONSENSUS}-microdesc`)).body;
      const current = encodeHex(signedSha3(Buffer.from(newest, 'latin1')));
      const bases = new DiffCache(ours.directory)
        .load()
        .filter(({ labels }) => labels.get('consensus-flavor') === 'microdesc')
        .map(({ labels }) => labels.get('sha3-digest-as-signed')!)
        .filter((digest) => digest !== current);
      expect(bases.length).toBeGreaterThan(0);
      ours.software = 'tor';
      ours.start();
      const from = `X-Or-Diff-From-Consensus: ${bases.at(-1)}`;
      await waitUntil('a diff from the C tor', WAIT_MS, async () => {
        const answered = await direct('ours', `${CONSENSUS}-microdesc`, from).catch(() => null);
        return answered?.body.startsWith('network-status-diff-version 1\n') === true;
      });
      expect(ours.log('tor')).not.toContain('consensus cache; removing it');
      expect(warningsAgainst([], ours.log('tor')).filter((line) => /cache|diff/i.test(line))).toEqual([]);
    },
    DEADLINE_MS,
  );
});

/** The documents of a set in one order. */
function documentsOf(body: string): string[] {
  // C tor ends its own descriptor with an empty line, which nobody else keeps.
  return body
    .split(/(?=^(?:router|extra-info|dir-key-certificate-version) )/m)
    .map((document) => document.replace(/\n+$/, '\n'))
    .sort();
}
