/** A cache that has just opened its ports: the first who asks gets what lies on disk, from ours as from C tor. */
import { afterAll, describe, expect, test } from 'bun:test';
import { join } from 'node:path';
import { makePaperNetwork } from '../../src/bench/paper-network.ts';
import { DIRECTORY_TORRC } from '../../src/bench/suite.ts';
import { killStarted, type RelayKind, startTarget } from '../../src/bench/target.ts';
import { wallSec } from '../../src/time/clock.ts';
import { DirectoryLink } from './begin-dir.ts';
import { HAS_C_TOR } from './c-tor.ts';

const MAIN = join(import.meta.dir, '../../src/main.ts');
const DEADLINE_MS = 120_000;
/** So many that they take a while to be read, compressed and shelved. */
const network = makePaperNetwork(3000, wallSec());
const digests = [...network.microdescriptors.keys()];

afterAll(killStarted);

/** Ask for these as soon as the relay listens. Returns the status lines. */
async function askAtOnce(kind: RelayKind, paths: readonly string[]): Promise<string[]> {
  const command = kind === 'tor' ? ['tor'] : [process.execPath, MAIN];
  const target = await startTarget({
    kind,
    command,
    workers: 2,
    torrc: DIRECTORY_TORRC,
    cores: null,
    network,
  });
  const link = new DirectoryLink(target.load.port);
  try {
    const answers = await Promise.all(
      // Long documents are not wanted whole: 304 tells as well that they are there.
      paths.map((path) =>
        link.ask(
          `GET ${path} HTTP/1.0\r\nAccept-Encoding: x-zstd, deflate\r\nIf-Modified-Since: Fri, 01 Jan 2038 00:00:00 GMT\r\n\r\n`,
        ),
      ),
    );
    return answers.map(({ bytes }) => bytes.toString('latin1', 0, bytes.indexOf('\r\n')));
  } finally {
    link.close();
    await target.stop();
  }
}

const PATHS = [
  `/tor/micro/d/${digests[0]}`,
  `/tor/micro/d/${digests[2999]}`,
  '/tor/status-vote/current/consensus-microdesc',
  '/tor/keys/all',
  // Nobody has it, which is told when all has been read.
  `/tor/micro/d/${'A'.repeat(43)}`,
];
const STATUS = [
  'HTTP/1.0 200 OK',
  'HTTP/1.0 200 OK',
  'HTTP/1.0 304 Not modified',
  'HTTP/1.0 304 Not modified',
  'HTTP/1.0 404 Not found',
];

test(
  'of ours, answers the first who asks from what lies on disk',
  async () => {
    expect(await askAtOnce('ours', PATHS)).toEqual(STATUS);
  },
  DEADLINE_MS,
);

describe.skipIf(!HAS_C_TOR)('C tor', () => {
  test(
    'answers so, too',
    async () => {
      expect(await askAtOnce('tor', PATHS)).toEqual(STATUS);
    },
    DEADLINE_MS,
  );
});
