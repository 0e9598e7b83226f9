/**
 * `onionrelay testnet`: a whole private Tor network on this machine, to look at, to try things in, to join.
 *
 * A terminal gets a page that is drawn anew in place; anything else a line now and then. The summary goes to standard
 * output. Exit codes: 0 when downloads went through and none failed, 1 otherwise, 2 for a wrong command line.
 */
import type { ArgsDef } from 'citty';
import { setLogSink } from '../log.ts';
import { LiveArea } from '../testnet/live-area.ts';
import { PAYLOAD_NAME } from '../testnet/name-server.ts';
import { parseTestnet, TESTNET_OPTIONS, type TestnetWish } from '../testnet/options.ts';
import { REAPER_WORD, runReaper } from '../testnet/reaper.ts';
import { drawLine, drawPage } from '../testnet/screen.ts';
import { COLOURS, PLAIN, type Style } from '../testnet/style.ts';
import { printSummary, printSummaryJson, summarize } from '../testnet/summary.ts';
import { type Invitation, Testnet } from '../testnet/testnet.ts';
import { ownCommand } from './own-command.ts';

const EXIT_FAILED = 1;
/** How often the page is drawn, and how often a line is written. */
const PAGE_MS = 250;
const LINE_MS = 5000;
/** How long when nobody watches and nothing was said. */
const UNWATCHED_MINUTES = 1;
const COLUMNS_USUAL = 100;
const ROWS_USUAL = 40;

/** The options, for the help. */
export const TESTNET_ARGS: ArgsDef = Object.fromEntries(
  TESTNET_OPTIONS.map(({ name, hint, text }) => [
    name,
    hint === null
      ? { type: 'boolean' as const, description: text }
      : { type: 'string' as const, description: text, valueHint: hint },
  ]),
);

/** What stands below the options in the help. */
export const TESTNET_EXAMPLES = `EXAMPLES

  onionrelay testnet                          six relays, until Ctrl-C
  onionrelay testnet --relays 12 --minutes 5
  onionrelay testnet --downloads 0 --socks-port 9150
                                              a quiet network to try things in
  onionrelay testnet --minutes 0.5 --json     for a CI job

It starts a directory authority for tests, guards, middles and exits, and a client with a SOCKS port, all on loopback,
and downloads through three hops of it. C tor clients and relays join with the lines that it prints. Nothing leaves this
machine, and nothing is left behind. Exit status: 0 when downloads went through and none failed.
`;

/** Run the subcommand; resolves with the exit code. @throws OperatorError */
export async function testnet(words: readonly string[]): Promise<number> {
  if (words[0] === REAPER_WORD) {
    await runReaper();
    return 0;
  }
  const wish = parseTestnet(words);
  const out = wish.json ? process.stderr : process.stdout;
  const isWatched = out.isTTY === true;
  const minutes = wish.minutes ?? (isWatched ? null : UNWATCHED_MINUTES);
  return new Show({ ...wish, minutes }, out, isWatched).run();
}

/** One network and the people who look at it. */
class Show {
  private readonly wish: TestnetWish;
  private readonly out: NodeJS.WriteStream;
  private readonly style: Style;
  private readonly area: LiveArea | null;
  private readonly network: Testnet;
  private readonly interrupted = Promise.withResolvers<null>();
  private timer: ReturnType<typeof setInterval> | null = null;

  constructor(wish: TestnetWish, out: NodeJS.WriteStream, isWatched: boolean) {
    this.wish = wish;
    this.out = out;
    this.style = isWatched && process.env['NO_COLOR'] === undefined ? COLOURS : PLAIN;
    const size = () => ({ columns: out.columns || COLUMNS_USUAL, rows: out.rows || ROWS_USUAL });
    this.area = isWatched ? new LiveArea({ write: (text) => void out.write(text), size }) : null;
    this.network = new Testnet(wish, ownCommand());
  }

  async run(): Promise<number> {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => this.interrupted.resolve(null));
    }
    // The page shows what there is to know; a line in between would tear it.
    setLogSink(() => undefined);
    this.say(`${this.style.bold('onionrelay testnet')}: a private Tor network on this machine\n\n`);
    this.timer = setInterval(() => this.show(), this.area === null ? LINE_MS : PAGE_MS);
    try {
      const invitation = await this.orInterrupted(this.network.start());
      if (invitation !== null) await this.live(invitation);
      return await this.end();
    } catch (error) {
      this.hide();
      await this.network.stop();
      throw error;
    }
  }

  /** Wait for something, but no longer than until somebody wants to end. */
  private orInterrupted<T>(work: Promise<T>): Promise<T | null> {
    work.catch(() => undefined);
    return Promise.race([work, this.interrupted.promise]);
  }

  private async live(invitation: Invitation): Promise<void> {
    this.area?.clear();
    this.say(this.inviting(invitation));
    this.show();
    const { minutes } = this.wish;
    const broken = this.network.broken.then((error) => Promise.reject(error));
    const over = minutes === null ? broken : Promise.race([broken, Bun.sleep(minutes * 60_000)]);
    await this.orInterrupted(over);
  }

  private inviting({ torrc, socksPort, payloadPort }: Invitation): string {
    const { dim, accent } = this.style;
    return [
      dim('  to join it, with C tor or with onionrelay, put into a torrc:'),
      ...torrc.map((line) => `    ${accent(line)}`),
      dim(`  to use it, SOCKS is on 127.0.0.1:${socksPort}, for example:`),
      `    ${accent(`curl -o /dev/null -x socks5h://127.0.0.1:${socksPort} http://${PAYLOAD_NAME}:${payloadPort}/10MB`)}`,
      '',
      '',
    ].join('\n');
  }

  private show(): void {
    const view = this.network.view();
    if (this.area === null) this.say(`${drawLine(view)}\n`);
    else this.area.draw(drawPage(view, this.out.columns || COLUMNS_USUAL, this.style));
  }

  private say(text: string): void {
    this.out.write(text);
  }

  private hide(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.area?.clear();
  }

  private async end(): Promise<number> {
    await this.network.stop();
    const summary = summarize(this.network.view());
    this.hide();
    if (this.wish.json) process.stdout.write(printSummaryJson(summary));
    else this.say(printSummary(summary, this.style));
    const isFine = summary.ok || (this.wish.downloads === 0 && summary.consensuses > 0);
    return isFine ? 0 : EXIT_FAILED;
  }
}
