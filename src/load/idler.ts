/** Links that are opened, held, and asked at the end whether they still live. They come from several addresses. */
import { BODY_AT, buildCell, CELL_BYTES } from '../cell/cell.ts';
import { Command } from '../cell/command.ts';
import { encodeCreateFast } from '../cell/create.ts';
import { encodeDestroy } from '../cell/destroy.ts';
import { FAST_HALF_BYTES } from '../crypto/handshake/fast.ts';
import type { LinkCredentials } from '../shm/link-credentials.ts';
import type { Hop } from './client.ts';
import { randomBytes } from './identity.ts';
import { dialLink, type LinkUser, type LoadLink } from './link.ts';

const CIRC_ID = 0x80000001;
/** Links that are asked at once. */
const ASKING = 256;
const ANSWER_MS = 20_000;

/** The n-th source address: 127.1.0.1, 127.1.0.2 and so on. Not the relays' 127.0.0.1, which a test may limit. */
export function sourceAddress(n: number): string {
  return `127.1.${Math.floor(n / 250)}.${(n % 250) + 1}`;
}

/** All idle links of one thread. */
export class Idler implements LinkUser {
  readonly #relay: Hop;
  readonly #credentials: LinkCredentials;
  readonly #links = new Set<LoadLink>();
  readonly #asked = new Map<LoadLink, (alive: boolean) => void>();
  readonly reasons: Record<string, number> = {};
  readonly #cell = buildCell(CIRC_ID, Command.CREATE_FAST, encodeCreateFast(randomBytes(FAST_HALF_BYTES)));
  readonly #destroy = buildCell(CIRC_ID, Command.DESTROY, encodeDestroy(0));

  constructor(relay: Hop, credentials: LinkCredentials) {
    this.#relay = relay;
    this.#credentials = credentials;
  }

  /** Links open now. */
  get held(): number {
    return this.#links.size;
  }

  /** Open so many links from so many addresses, `opening` at a time. `onLink` hears of each, open or failed. */
  async open(links: number, addresses: number, opening: number, onLink: () => void): Promise<void> {
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < links) {
        const from = sourceAddress(next++ % addresses);
        await this.#openOne(from);
        onLink();
      }
    };
    await Promise.all(Array.from({ length: Math.min(opening, links) }, lane));
  }

  async #openOne(from: string): Promise<void> {
    const { host = '127.0.0.1', port } = this.#relay;
    const link = dialLink({ host, port, from }, this.#credentials, this);
    try {
      await link.opened;
      if (!link.gone) this.#links.add(link);
    } catch (fault) {
      this.#note(fault instanceof Error ? fault.message : String(fault));
    }
  }

  /** Ask each link for a circuit: how many answer, be it with a refusal. */
  async ask(): Promise<number> {
    const waiting = [...this.#links];
    let alive = 0;
    const lane = async (): Promise<void> => {
      for (let link = waiting.pop(); link !== undefined; link = waiting.pop()) {
        if (await this.#askOne(link)) alive++;
      }
    };
    await Promise.all(Array.from({ length: ASKING }, lane));
    return alive;
  }

  #askOne(link: LoadLink): Promise<boolean> {
    if (link.gone) return Promise.resolve(false);
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#asked.get(link)?.(false), ANSWER_MS);
      this.#asked.set(link, (alive) => {
        clearTimeout(timer);
        this.#asked.delete(link);
        resolve(alive);
      });
      link.send(this.#cell);
    });
  }

  /** Close all. */
  close(): void {
    for (const link of this.#links) link.close();
    this.#links.clear();
  }

  onCell(link: LoadLink, command: number, _circId: number, bytes: Uint8Array, at: number): void {
    if (command === Command.CREATED_FAST) {
      link.send(this.#destroy);
      this.#asked.get(link)?.(bytes.subarray(at + BODY_AT, at + CELL_BYTES).some((byte) => byte !== 0));
    } else if (command === Command.DESTROY) this.#asked.get(link)?.(true);
  }

  onDrain(): void {}

  onGone(link: LoadLink): void {
    if (this.#links.delete(link)) this.#note('the relay closed the link');
    this.#asked.get(link)?.(false);
  }

  #note(why: string): void {
    this.reasons[why] = (this.reasons[why] ?? 0) + 1;
  }
}
