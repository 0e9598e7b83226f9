/**
 * Benchmark: the memory of a relay whose clients never read, against what its ledger says.
 *
 *   bun test/bench/unread.ts [--links N] [--circuits N] [--megabytes N] [--seconds N] [--workers N] [--rate MB-PER-SECOND]
 *     [--bound R]
 *
 * Clients open links with circuits to a next hop and stop reading; the next hop sends on all of them. Once
 * MaxMemInQueues (--megabytes) is reached, the relay ends the oldest circuits, again and again. RSS is compared with
 * the ledger plus the RSS of the same links and circuits before anything was sent. Exit status 1 when the limit was not
 * reached, or the ratio was past the bound, on the way to it or from then on.
 */
import { parseArgs } from 'node:util';
import { parseIp } from '../../src/bytes/address.ts';
import { makeTestRelay } from '../channel/credentials.ts';
import { FloodRelay } from '../net/flood-relay.ts';
import { TestCircuit } from '../net/test-circuit.ts';
import { dialTestLink, type TestLink } from '../net/test-link.ts';
import { startTarget, type Target } from './target.ts';
import { readVitals } from './vitals.ts';

const MB = 2 ** 20;
const GB = 2 ** 30;
const IDLE_MS = 4000;
const SAMPLE_MS = 500;
const CELLS_PER_TURN = 2000;
const BOUND = 1.3;

const { values } = parseArgs({
  options: {
    links: { type: 'string', default: '200' },
    circuits: { type: 'string', default: '5' },
    megabytes: { type: 'string', default: '256' },
    seconds: { type: 'string', default: '40' },
    workers: { type: 'string', default: '2' },
    rate: { type: 'string', default: '60' },
    bound: { type: 'string', default: String(BOUND) },
  },
});
const number = (name: keyof typeof values): number => Number(values[name]);

/** Bytes that the relay says its ledger holds, and how much of it is unused. */
function ledgerOf(target: Target): { held: number; unused: number; kinds: string } {
  const found = [
    ...target.log().matchAll(/Memory of what waits: (\S+ \S+) of .*, (\S+ \S+) of it unused: (.*)\./g),
  ];
  const [, held, unused, kinds] = found.at(-1)!;
  return { held: bytesOf(held!), unused: bytesOf(unused!), kinds: kinds! };
}

function bytesOf(text: string): number {
  const [amount, unit] = text.split(' ');
  return Number(amount) * (unit === 'GB' ? GB : unit === 'MB' ? MB : 1024);
}

async function openClients(target: Target, hop: FloodRelay): Promise<TestLink[]> {
  const { credentials } = makeTestRelay(Math.floor(Date.now() / 1000));
  const links: TestLink[] = [];
  for (let i = 0; i < number('links'); i++) {
    const link = dialTestLink({ port: target.hop.port, credentials });
    await link.opened;
    for (let c = 0; c < number('circuits'); c++) {
      const circuit = await TestCircuit.createFast(link);
      await circuit.extend(hop.hop, { host: parseIp('127.0.0.1')!, port: hop.port });
    }
    links.push(link);
  }
  return links;
}

const megabytes = (bytes: number): string => (bytes / MB).toFixed(1).padStart(8);

async function run(): Promise<boolean> {
  const target = await startTarget({
    kind: 'ours',
    workers: number('workers'),
    torrc: [`MaxMemInQueues ${number('megabytes')} MB`, 'DisableDebuggerAttachment 0'],
  });
  try {
    const hop = new FloodRelay();
    const links = await openClients(target, hop);
    for (const link of links) link.socket!.pause();
    await Bun.sleep(IDLE_MS);
    const idle = (await readVitals(target)).rssBytes;
    console.log(`${links.length} links, ${hop.alive} circuits, idle: RSS ${megabytes(idle)} MB`);
    console.log('   sec    poured       RSS    ledger    unused   ratio  rounds  killed  circuits');
    const began = performance.now();
    const end = began + number('seconds') * 1000;
    let nextMs = began + SAMPLE_MS;
    let before = 0;
    let worst = 0;
    while (performance.now() < end) {
      const due = ((performance.now() - began) / 1000) * number('rate') * MB;
      hop.pour(Math.min(CELLS_PER_TURN, Math.ceil((due - hop.poured * 514) / 514)));
      await Bun.sleep(1);
      if (performance.now() < nextMs) continue;
      nextMs = performance.now() + SAMPLE_MS;
      const { rssBytes, counters, circuits } = await readVitals(target);
      const { held, unused } = ledgerOf(target);
      const ratio = rssBytes / (idle + held);
      // Apart, because until much waits the garbage of relaying itself is more than what the ledger holds.
      if (counters.has('oom_rounds')) worst = Math.max(worst, ratio);
      else before = Math.max(before, ratio);
      console.log(
        `${((performance.now() - began) / 1000).toFixed(1).padStart(6)}  ${megabytes(hop.poured * 514)}  ${megabytes(rssBytes)}  ` +
          `${megabytes(held)}  ${megabytes(unused)}   ${ratio.toFixed(2).padStart(5)}  ` +
          `${String(counters.get('oom_rounds') ?? 0).padStart(6)}  ` +
          `${String(counters.get('circuit_memory_killed') ?? 0).padStart(6)}  ${String(circuits).padStart(8)}`,
      );
      if (hop.alive === 0) break;
    }
    console.log(ledgerOf(target).kinds);
    for (const line of target.log().match(/^.*Low on memory.*$/gm) ?? []) console.log(line);
    for (const link of links) link.close();
    await Bun.sleep(IDLE_MS);
    console.log(
      `links closed: RSS ${megabytes((await readVitals(target)).rssBytes)} MB, ${ledgerOf(target).kinds}`,
    );
    console.log(
      `worst ratio ${before.toFixed(2)} on the way to the limit, ${worst.toFixed(2)} from there on, bound ${number('bound')}`,
    );
    return worst > 0 && Math.max(before, worst) <= number('bound');
  } finally {
    await target.stop();
  }
}

process.exit((await run()) ? 0 : 1);
