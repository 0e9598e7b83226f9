/**
 * A client put together: the loop of a worker without listeners, circuits along paths that main chooses, a SOCKS port.
 *
 * Runs in a thread of its own (`src/client.ts`). It dials as a client does: without saying who it is.
 */
import { type LogRecord, SEVERITIES, setLogSink, setLogThreshold, setSafeLogging } from '../log.ts';
import type { LetterFromClient, LetterToClient } from '../shm/client-letter.ts';
import { Loop } from '../worker/loop.ts';
import { ClientCircuits } from './client-circuits.ts';
import { SocksPort } from './socks-port.ts';

const TICK_MS = 100;

/** Sends a letter to main. */
export type PostToMain = (letter: LetterFromClient) => void;

/** The client of one thread. */
export class Client {
  private readonly post: PostToMain;
  private readonly leave: () => void;
  private loop: Loop | null = null;
  private circuits: ClientCircuits | null = null;
  private socks: SocksPort | null = null;
  private ticker: ReturnType<typeof setInterval> | null = null;

  /** @param leave ends the thread */
  constructor(post: PostToMain, leave: () => void) {
    this.post = post;
    this.leave = leave;
  }

  /** Take a letter. */
  take(letter: LetterToClient): void {
    switch (letter.kind) {
      case 'start':
        this.start(letter);
        return;
      case 'path':
        this.loop?.beginBatch();
        this.circuits?.takePath(letter.circuit, letter.path);
        return;
      case 'stop':
        this.stop();
    }
  }

  private start({ start, host, port }: Extract<LetterToClient, { kind: 'start' }>): void {
    const { options } = start;
    setLogSink((record: LogRecord) => this.post({ kind: 'log', record }));
    setSafeLogging(options.safeLogging);
    setLogThreshold((severity) => SEVERITIES.indexOf(severity) >= options.logThreshold);
    const nothing = (): void => undefined;
    const loop = new Loop(start, { origin: nothing, addressSeen: nothing }, nothing, nothing);
    const { origins } = loop.data;
    const circuits = new ClientCircuits(
      origins,
      (circuit, wish) => this.post({ kind: 'want-path', circuit, wish }),
      () => loop.plane.nowMs,
    );
    this.loop = loop;
    this.circuits = circuits;
    this.socks = new SocksPort(host, port, circuits, () => void loop.beginBatch());
    this.ticker = setInterval(() => this.tick(loop, circuits), TICK_MS);
    this.post({ kind: 'ready', port: this.socks.port });
  }

  private tick(loop: Loop, circuits: ClientCircuits): void {
    loop.beginBatch();
    circuits.tick();
    const reports = circuits.takeReports();
    if (reports.length > 0) this.post({ kind: 'circuits', circuits: reports });
  }

  private stop(): void {
    if (this.ticker !== null) clearInterval(this.ticker);
    this.socks?.stop();
    this.loop?.data.origins.closeAll();
    this.loop?.stop();
    this.post({ kind: 'stopped' });
    this.leave();
  }
}
