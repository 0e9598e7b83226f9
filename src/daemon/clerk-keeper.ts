/**
 * Keeps the clerk: started when there is a job, given one job at a time, replaced when it dies, ended when it is idle.
 *
 * A job whose clerk died is repeated, once: a job that ends two clerks in a row is given up, so that no document can
 * keep us restarting. An idle clerk is ended since what it held of documents then comes back at once.
 */
import { log } from '../log.ts';
import type { ClerkAnswer, ClerkJob, LetterFromClerk, LetterToClerk } from '../shm/clerk-letter.ts';
import { CLERK_URL } from '../thread-entry.ts';

/** No job of any honest size takes so long, on any machine. */
const JOB_TIMEOUT_MS = 300_000;
const IDLE_MS = 20_000;
const DEATHS_MOST = 2;

interface Waiting {
  readonly job: ClerkJob;
  readonly done: (answer: ClerkAnswer) => void;
  readonly failed: (error: Error) => void;
  deaths: number;
}

export interface ClerkKeeperConfig {
  /** Where the thread is; tests bring their own. */
  readonly url?: string;
  readonly jobTimeoutMs?: number;
  readonly idleMs?: number;
}

/** The clerk's employer. */
export class ClerkKeeper {
  /** Clerks that died over a job. */
  deaths = 0;
  private readonly config: ClerkKeeperConfig;
  private readonly queue: Waiting[] = [];
  private current: Waiting | null = null;
  private clerk: Worker | null = null;
  private nextId = 1;
  private deadline: ReturnType<typeof setTimeout> | null = null;
  private stopped = false;

  constructor(config: ClerkKeeperConfig = {}) {
    this.config = config;
  }

  get isRunning(): boolean {
    return this.clerk !== null;
  }

  /**
   * Have a job done, behind those asked for before.
   * @throws Error when its document or file does not read, when no clerk survives it, or when we stop
   */
  ask(job: ClerkJob): Promise<ClerkAnswer> {
    return new Promise((done, failed) => {
      if (this.stopped) {
        failed(new Error('the clerk is gone'));
        return;
      }
      this.queue.push({ job, done, failed, deaths: 0 });
      this.next();
    });
  }

  private next(): void {
    if (this.current !== null || this.stopped) return;
    const waiting = this.queue.shift();
    if (waiting === undefined) {
      this.setDeadline(this.config.idleMs ?? IDLE_MS, () => this.dismiss());
      return;
    }
    this.current = waiting;
    this.clerk ??= this.hire();
    const letter: LetterToClerk = { id: this.nextId++, job: waiting.job };
    this.clerk.postMessage(letter);
    this.setDeadline(this.config.jobTimeoutMs ?? JOB_TIMEOUT_MS, () => this.clerk?.terminate());
  }

  private hire(): Worker {
    const clerk = new Worker(this.config.url ?? CLERK_URL);
    clerk.onmessage = (event: MessageEvent<LetterFromClerk>) => this.take(event.data);
    clerk.addEventListener('error', (event: ErrorEvent) => log.err('bug', `Clerk: ${event.message}`));
    clerk.addEventListener('close', () => this.onClosed(clerk));
    return clerk;
  }

  private setDeadline(delayMs: number, run: () => void): void {
    if (this.deadline !== null) clearTimeout(this.deadline);
    this.deadline = setTimeout(run, delayMs);
    this.deadline.unref();
  }

  private take(letter: LetterFromClerk): void {
    const { current } = this;
    // One that answers after it was given up for dead is not listened to.
    if (current === null || letter.id !== this.nextId - 1) return;
    this.current = null;
    if ('answer' in letter) current.done(letter.answer);
    else current.failed(new Error(letter.fault));
    this.next();
  }

  private onClosed(clerk: Worker): void {
    if (this.clerk !== clerk) return;
    this.clerk = null;
    const { current } = this;
    if (current === null || this.stopped) return;
    this.current = null;
    this.deaths++;
    current.deaths++;
    if (current.deaths < DEATHS_MOST) {
      log.warn('general', 'The clerk died over a directory document; a successor takes its place.');
      this.queue.unshift(current);
    } else {
      log.err('bug', 'The clerk died twice over the same directory document, which is given up.');
      current.failed(new Error('no clerk survives it'));
    }
    this.next();
  }

  /** Nothing to do: let it go, with all that it holds. */
  private dismiss(): void {
    const { clerk } = this;
    this.clerk = null;
    clerk?.terminate();
  }

  /** End the clerk; whoever waits is told. */
  stop(): void {
    this.stopped = true;
    if (this.deadline !== null) clearTimeout(this.deadline);
    const waiting = this.current === null ? this.queue : [this.current, ...this.queue];
    this.current = null;
    this.dismiss();
    for (const { failed } of waiting.splice(0)) failed(new Error('the clerk is gone'));
  }
}
