/**
 * Main's side of the client: its thread, and the paths that it asks for.
 */
import { Bug } from '../fault.ts';
import { log } from '../log.ts';
import type {
  ClientCircuitReport,
  ClientStart,
  LetterFromClient,
  LetterToClient,
  PathWish,
} from '../shm/client-letter.ts';
import type { OriginHop } from '../shm/origin-letter.ts';
import { CLIENT_URL } from '../thread-entry.ts';

const STOP_MS = 2000;

/** A path, for the thread and for people. */
export interface NamedPath {
  readonly hops: readonly OriginHop[];
  readonly nicknames: readonly string[];
}

/** What a client asks and tells. */
export interface ClientHost {
  /** Choose a path; null when there is none now. */
  choosePath(wish: PathWish): NamedPath | null;
  /** Its thread died. */
  onDeath(text: string): void;
}

/** A circuit of the client, as people see it. */
export interface NamedCircuit extends ClientCircuitReport {
  /** Nicknames of its relays; empty while none are chosen. */
  readonly nicknames: readonly string[];
}

/** The thread of the client. */
export class ClientThread {
  /** Settles with the SOCKS port when it listens. */
  readonly ready: Promise<number>;
  private readonly host: ClientHost;
  private readonly worker: Worker;
  private readonly open = new Map<number, NamedCircuit>();
  private readonly nicknames = new Map<number, readonly string[]>();
  private readonly onReady: (port: number) => void;
  private readonly onFailed: (error: Error) => void;
  private readonly stopped = Promise.withResolvers<void>();
  private isStopping = false;
  /** Circuits that were built. */
  built = 0;

  constructor(host: ClientHost, start: ClientStart, socks: { readonly host: string; readonly port: number }) {
    this.host = host;
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    this.ready = promise;
    this.onReady = resolve;
    this.onFailed = reject;
    this.worker = new Worker(CLIENT_URL);
    this.worker.onmessage = ({ data }: MessageEvent<LetterFromClient>) => this.take(data);
    this.worker.addEventListener('error', (event: ErrorEvent) => this.die(event.message));
    this.worker.addEventListener('close', () => this.die('its thread ended'));
    this.post({ kind: 'start', start, ...socks });
  }

  /** Circuits that are being made or used now, in the order of their numbers. */
  get circuits(): readonly NamedCircuit[] {
    return [...this.open.values()].sort((a, b) => a.circuit - b.circuit);
  }

  private post(letter: LetterToClient): void {
    this.worker.postMessage(letter);
  }

  private take(letter: LetterFromClient): void {
    switch (letter.kind) {
      case 'ready':
        this.onReady(letter.port);
        return;
      case 'want-path': {
        const path = this.host.choosePath(letter.wish);
        if (path !== null) this.nicknames.set(letter.circuit, path.nicknames);
        this.post({ kind: 'path', circuit: letter.circuit, path: path?.hops ?? null });
        return;
      }
      case 'circuits':
        for (const report of letter.circuits) this.note(report);
        return;
      case 'stopped':
        this.stopped.resolve();
        return;
      case 'log':
        log[letter.record.severity](letter.record.domain, letter.record.text);
        return;
      case 'bug':
        this.die(letter.text);
    }
  }

  private note(report: ClientCircuitReport): void {
    const before = this.open.get(report.circuit);
    if (report.state === 'open' && before?.state !== 'open') this.built++;
    if (report.state === 'closed') {
      this.open.delete(report.circuit);
      this.nicknames.delete(report.circuit);
      return;
    }
    this.open.set(report.circuit, { ...report, nicknames: this.nicknames.get(report.circuit) ?? [] });
  }

  private die(text: string): void {
    this.stopped.resolve();
    this.onFailed(new Bug(`the client: ${text}`));
    if (!this.isStopping) this.host.onDeath(text);
    this.isStopping = true;
  }

  /** Close the SOCKS port and every circuit. */
  async stop(): Promise<void> {
    this.isStopping = true;
    this.ready.catch(() => undefined);
    this.post({ kind: 'stop' });
    await Promise.race([this.stopped.promise, Bun.sleep(STOP_MS)]);
    this.worker.terminate();
  }
}
