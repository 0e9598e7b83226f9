/** Idle links, driven: one thread holds them. */
import { OperatorError } from '../fault.ts';
import { getFileLimit, isFault } from '../libc.ts';
import type { Hop } from './client.ts';
import { EndThread } from './end-thread.ts';
import {
  type IdlePlan,
  type IdleReport,
  type LoadCheck,
  type LoadMode,
  type MeasureHooks,
  NO_PLACES,
  type OpenPlaces,
} from './plan.ts';
import { metered } from './progress.ts';

const PROGRESS_MS = 100;
/** Files that this process needs besides the links. */
const OTHER_FILES = 256;

/** @throws OperatorError when this process may not have so many files open */
function requireFiles(files: number): void {
  const limit = getFileLimit();
  if (isFault(limit) || limit.soft >= files) return;
  throw new OperatorError(
    `${files} open files are needed and ${limit.soft} allowed`,
    'idle links',
    'ask for fewer links, or raise the limit (ulimit -n)',
  );
}

/** The thread that holds the links. */
export class IdlePart implements LoadMode {
  readonly #plan: IdlePlan;
  readonly #relay: Hop;
  readonly #client = new EndThread();
  #openSec = 0;

  constructor(plan: IdlePlan, relay: Hop) {
    this.#plan = plan;
    this.#relay = relay;
  }

  /** Open the links. Those that fail are reported, not thrown. */
  async connect(onProgress: (part: number) => void): Promise<OpenPlaces> {
    const { links, addresses, opening } = this.#plan;
    requireFiles(links + OTHER_FILES);
    const setup = { relay: this.#relay, links, addresses, opening };
    const startMs = performance.now();
    await metered(
      (meter) => this.#client.call('openIdle', { ...setup, meter }),
      (opened) => onProgress(opened / links),
    );
    this.#openSec = (performance.now() - startMs) / 1000;
    return NO_PLACES;
  }

  /** Idle links carry nothing, so there is nothing to build. */
  async prepare(): Promise<void> {}

  /** Hold the links. */
  async measure(hooks: MeasureHooks): Promise<IdleReport> {
    const { holdMs, links } = this.#plan;
    hooks.begin();
    const startMs = performance.now();
    const timer = setInterval(
      () => hooks.progress?.(Math.min(1, (performance.now() - startMs) / holdMs)),
      PROGRESS_MS,
    );
    await Bun.sleep(holdMs);
    clearInterval(timer);
    const seconds = (performance.now() - startMs) / 1000;
    hooks.end();
    const { held, reasons } = await this.#client.call('idle', null);
    return { mode: 'idle', asked: links, held, reasons, openSec: this.#openSec, seconds };
  }

  /** Ask every link for an answer. */
  async check(): Promise<LoadCheck> {
    const inStep = await this.#client.call('askIdle', null);
    return { expected: this.#plan.links, inStep, lost: 0, corrupt: 0, sampled: 0, closed: [] };
  }

  close(): void {
    this.#client.stop();
  }
}
