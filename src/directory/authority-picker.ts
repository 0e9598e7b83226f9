/**
 * Which authority is asked next: one at random by weight, passing over those that failed lately while others are left.
 */
import type { DirectoryAuthority } from './authority.ts';
import type { RandomUnit } from './timing.ts';

/** Picks among authorities. One for all errands: an authority that is down is down for all of them. */
export class AuthorityPicker {
  readonly all: readonly DirectoryAuthority[];
  readonly #random: RandomUnit;
  readonly #shunned = new Set<DirectoryAuthority>();

  constructor(all: readonly DirectoryAuthority[], random: RandomUnit) {
    this.all = all;
    this.#random = random;
  }

  /**
   * Pick one.
   * @param isFree - leaves out those that are busy
   * @returns null when all are busy
   */
  pick(isFree: (authority: DirectoryAuthority) => boolean = () => true): DirectoryAuthority | null {
    const free = this.all.filter(isFree);
    if (free.length === 0) return null;
    let candidates = free.filter((authority) => !this.#shunned.has(authority));
    if (candidates.length === 0) {
      // All that failed get another chance; with some busy, only those that are asked now.
      for (const authority of free) this.#shunned.delete(authority);
      candidates = free;
    }
    let at = this.#random() * candidates.reduce((sum, { weight }) => sum + weight, 0);
    for (const authority of candidates) {
      at -= authority.weight;
      if (at < 0) return authority;
    }
    return candidates[candidates.length - 1]!;
  }

  /** Pass this one over while others are left. */
  shun(authority: DirectoryAuthority): void {
    this.#shunned.add(authority);
  }

  /** Give all of them another chance. */
  forgive(): void {
    this.#shunned.clear();
  }
}
