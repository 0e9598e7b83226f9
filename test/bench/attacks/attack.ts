/** What every attack on a relay's ORPort is given, and how it is run. */
import { buildCell, CELL_BYTES } from '../../../src/cell/cell.ts';
import type { LinkCredentials } from '../../../src/shm/link-credentials.ts';
import { makeTestRelay } from '../../channel/credentials.ts';
import { dialTestLink, type TestLink } from '../../net/test-link.ts';

/** Whom to attack, and from where. Byte strings are hex, so that it all fits into an argument. */
export interface AttackPlan {
  readonly port: number;
  readonly rsaId: string;
  readonly ed25519Id: string;
  readonly onionKey: string;
  /** Our address: marks are by address, and honest traffic has another. */
  readonly from: string;
  /** Connections that are made anew per second, at most. */
  readonly connectsPerSec: number;
  /** Links of an attack that keeps its links. */
  readonly links: number;
}

/** One kind of attack that runs until it is stopped. */
export interface Attack {
  start(): Promise<void>;
  stop(): Promise<void>;
  /** What it did and what it met, for people. */
  readonly tally: Record<string, number>;
}

export const TICK_MS = 10;
const CELLS_PER_BUFFER = 127;
/** Writes to one link in a row, before the event loop gets its turn. */
const WRITES_PER_TURN = 4;

let identity: LinkCredentials | null = null;

/** Who we are on links: anybody. */
export function ownCredentials(): LinkCredentials {
  identity ??= makeTestRelay(Math.floor(Date.now() / 1000)).credentials;
  return identity;
}

/** Dial the relay and shake hands as a client. What it sends is thrown away. @throws Error when it refuses */
export async function openLink(plan: AttackPlan): Promise<TestLink> {
  const link = dialTestLink({ port: plan.port, from: plan.from, credentials: ownCredentials() });
  link.onCell = () => true;
  await link.opened;
  return link;
}

/** Does something so many times a second, in small portions. */
export class Pace {
  readonly #perSec: number;
  readonly #act: () => void;
  #timer: ReturnType<typeof setInterval> | null = null;
  #lastMs = 0;
  #owed = 0;

  constructor(perSec: number, act: () => void) {
    this.#perSec = perSec;
    this.#act = act;
  }

  start(): void {
    this.#lastMs = performance.now();
    this.#timer = setInterval(() => {
      const nowMs = performance.now();
      this.#owed = Math.min(
        this.#owed + ((nowMs - this.#lastMs) * this.#perSec) / 1000,
        Math.max(1, this.#perSec / 4),
      );
      this.#lastMs = nowMs;
      for (; this.#owed >= 1; this.#owed--) this.#act();
    }, TICK_MS);
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }
}

/** Sends cells on one open link as fast as the relay reads them. */
export class Hose {
  readonly #link: TestLink;
  readonly #refill: (buffer: Uint8Array) => void;
  readonly #buffer = new Uint8Array(CELLS_PER_BUFFER * CELL_BYTES);
  #from = 0;
  #going = true;
  cells = 0;

  /** @param refill writes 127 cells into the buffer; asked before each time that it is sent */
  constructor(link: TestLink, refill: (buffer: Uint8Array) => void) {
    this.#link = link;
    this.#refill = refill;
    refill(this.#buffer);
    this.#turn();
  }

  readonly #turn = (): void => {
    if (!this.#going || this.#link.isClosed) return;
    for (let writes = 0; writes < WRITES_PER_TURN; writes++) {
      const left = this.#buffer.length - this.#from;
      const taken = Math.max(0, this.#link.socket!.write(this.#buffer, this.#from, left));
      this.#from += taken;
      if (taken < left) {
        setTimeout(this.#turn, 1);
        return;
      }
      this.cells += CELLS_PER_BUFFER;
      this.#from = 0;
      this.#refill(this.#buffer);
    }
    setImmediate(this.#turn);
  };

  stop(): void {
    this.#going = false;
  }
}

/** Fill a buffer with copies of cells that `make` gives. */
export function fillCells(
  buffer: Uint8Array,
  make: (index: number) => { circId: number; command: number; body: Uint8Array },
): void {
  for (let at = 0, index = 0; at < buffer.length; at += CELL_BYTES, index++) {
    const { circId, command, body } = make(index);
    buffer.set(buildCell(circId, command, body), at);
  }
}

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
export const unhex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));
