/**
 * Where circuits of different workers find each other: which worker is home to the set of a key.
 *
 * The registry of a key is on one worker, by a hash that all share and no peer knows. Who first asks for a key becomes
 * its home; every ask, the first too, is passed on to the home, which answers the asker itself. An entry lives as long
 * as asks are with its home: it counts those that it passed on, and the home says how many it had taken when its set
 * ended, so that one on its way meanwhile keeps the entry. What a dead worker kept here is told anew by the survivors;
 * until all have told, asks wait, and as each waits for a circuit that waits, they are bounded as circuits are.
 * Pure: what it has to say goes out through `RegistryMail`.
 */

/** A circuit's wish to join the set of a key. */
export interface Ask {
  /** The worker of the circuit, and what the circuit is called there. */
  readonly worker: number;
  readonly token: number;
  /** The key, in hex. */
  readonly key: string;
  /** What is only passed on. */
  readonly terms: Uint8Array;
}

/** Sends what the registry has to say. */
export interface RegistryMail {
  /** Tell a set's home of an ask. */
  pass(home: number, ask: Ask): void;
}

interface Entry {
  home: number;
  /** Asks passed on that its home has not reported as over. */
  asks: number;
}

/** The keys that hash to one worker. */
export class Registry {
  private readonly entries = new Map<string, Entry>();
  /** Workers that have not told us yet which of our keys they are home to. */
  private readonly awaited = new Set<number>();
  private held: Ask[] = [];
  private readonly mail: RegistryMail;

  constructor(mail: RegistryMail) {
    this.mail = mail;
  }

  get size(): number {
    return this.entries.size;
  }

  /** Asks that wait until all workers have told. */
  get heldCount(): number {
    return this.held.length;
  }

  /** The home of a key's set; -1 when there is none. */
  homeOf(key: string): number {
    return this.entries.get(key)?.home ?? -1;
  }

  /** Take an ask. */
  take(ask: Ask): void {
    if (this.awaited.size > 0) {
      this.held.push(ask);
      return;
    }
    let entry = this.entries.get(ask.key);
    if (entry === undefined) {
      entry = { home: ask.worker, asks: 0 };
      this.entries.set(ask.key, entry);
    }
    entry.asks++;
    this.mail.pass(entry.home, ask);
  }

  /** A home's set ended after so many asks. */
  release(home: number, key: string, asks: number): void {
    const entry = this.entries.get(key);
    if (entry === undefined || entry.home !== home) return;
    entry.asks -= asks;
    if (entry.asks <= 0) this.entries.delete(key);
  }

  /** A worker is there from now on: it will tell what it is home to. */
  expect(worker: number): void {
    this.awaited.add(worker);
  }

  /** A home tells of a set with a key of ours, which has taken so many asks. */
  restore(home: number, key: string, asks: number): void {
    this.entries.set(key, { home, asks });
  }

  /** A worker has told all. */
  onTold(worker: number): void {
    this.awaited.delete(worker);
    this.goOn();
  }

  /** A worker died, and with it the sets that it was home to, and what its circuits asked for. */
  forget(worker: number): void {
    for (const [key, { home }] of this.entries) if (home === worker) this.entries.delete(key);
    this.held = this.held.filter((ask) => ask.worker !== worker);
    this.onTold(worker);
  }

  private goOn(): void {
    if (this.awaited.size > 0 || this.held.length === 0) return;
    const asks = this.held;
    this.held = [];
    for (const ask of asks) this.take(ask);
  }
}
