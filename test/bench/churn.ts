/**
 * Benchmark: 100,000 circuits made and destroyed and 5,000 links opened and closed, with the relay's memory at every
 * tenth. It must come back to where it stood after the first, within 10 % or 10 MB.
 *
 *   bun test/bench/churn.ts [--target ours|tor] [--circuits N] [--links N] [--workers N] [--json]
 */
import { parseArgs } from 'node:util';
import { allowedRss, churn } from './churn-load.ts';
import { startTarget } from './target.ts';

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      target: { type: 'string', default: 'ours' },
      circuits: { type: 'string', default: '100000' },
      links: { type: 'string', default: '5000' },
      workers: { type: 'string', default: '2' },
      json: { type: 'boolean', default: false },
    },
  });
  if (values.target !== 'ours' && values.target !== 'tor') {
    process.stderr.write('bench: --target takes "ours" or "tor": nothing else is on loopback\n');
    return 2;
  }
  const target = await startTarget({ kind: values.target, workers: Number(values.workers) });
  try {
    const plan = {
      circuits: Number(values.circuits),
      links: Number(values.links),
      extendEvery: 10,
      settleMs: 15_000,
    };
    const out = values.json ? process.stderr : process.stdout;
    const startMs = performance.now();
    const figures = await churn(target, plan, (tenth, rssBytes) => {
      const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
      out.write(
        `${String(tenth * 10).padStart(3)} %  RSS ${(rssBytes / 1e6).toFixed(1)} MB  after ${seconds} s\n`,
      );
    });
    const last = figures.rss.at(-1)!;
    const held = last <= allowedRss(figures.rss) && figures.losses.length === 0;
    out.write(
      `${values.target}: ${(last / 1e6).toFixed(1)} MB at the end, ${(allowedRss(figures.rss) / 1e6).toFixed(1)} MB allowed, ` +
        `${figures.cpuSec.toFixed(2)} CPU s, ${figures.losses.length} circuits lost\n`,
    );
    if (values.json) process.stdout.write(`${JSON.stringify({ plan, ...figures, held }, null, 2)}\n`);
    return held ? 0 : 1;
  } catch (fault) {
    process.stderr.write(`the relay's log ends:\n${target.log().slice(-2000)}\n`);
    throw fault;
  } finally {
    await target.stop();
  }
}

process.exit(await main());
