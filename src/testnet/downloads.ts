/** Downloads through a test network, several at a time, one after the other; and how they went. */
import type { Download, DownloadPlan } from './download.ts';
import type { DownloadsView } from './view.ts';

/** How long to wait behind a failure: others would soon follow it. */
const PAUSE_MS = 1000;

/** What downloads are made of. */
export interface DownloadsSettings {
  readonly atATime: number;
  start(plan: Pick<DownloadPlan, 'name'>): Download;
  nowMs(): number;
}

/** Keeps so many downloads under way. */
export class Downloads {
  private readonly settings: DownloadsSettings;
  private readonly running = new Set<Download>();
  private done = 0;
  private failed = 0;
  private lastFailure: string | null = null;
  /** Of those that are over. */
  private bytes = 0;
  private count = 0;
  private startedMs = 0;
  private endedMs = 0;
  private isStopped = false;

  constructor(settings: DownloadsSettings) {
    this.settings = settings;
  }

  /** Begin. */
  start(): void {
    this.startedMs = this.settings.nowMs();
    for (let i = 0; i < this.settings.atATime; i++) void this.keepOne();
  }

  private async keepOne(): Promise<void> {
    while (!this.isStopped) {
      this.count++;
      const download = this.settings.start({ name: `download-${this.count}` });
      this.running.add(download);
      const why = await download.ended;
      this.running.delete(download);
      this.bytes += download.received;
      // What was under way at the end is neither.
      if (this.isStopped) return;
      if (why === null) {
        this.done++;
        continue;
      }
      this.failed++;
      this.lastFailure = why;
      await Bun.sleep(PAUSE_MS);
    }
  }

  /** Payload that came and was right. */
  get received(): number {
    let bytes = this.bytes;
    for (const download of this.running) bytes += download.received;
    return bytes;
  }

  /** How they go. @param rate - bytes per second lately */
  view(rate: number): DownloadsView {
    const bytes = this.received;
    const endMs = this.isStopped ? this.endedMs : this.settings.nowMs();
    const seconds = (endMs - this.startedMs) / 1000;
    return {
      done: this.done,
      failed: this.failed,
      lastFailure: this.lastFailure,
      bytes,
      rate,
      meanRate: this.startedMs === 0 || seconds <= 0 ? 0 : bytes / seconds,
      running: this.running.size,
    };
  }

  /** Give up what is under way. */
  stop(): void {
    if (this.isStopped) return;
    this.endedMs = this.settings.nowMs();
    this.isStopped = true;
    for (const download of this.running) download.abort();
  }
}
