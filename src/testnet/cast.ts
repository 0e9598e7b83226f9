/**
 * Who plays what in a test network: guards, middles and exits in about equal parts.
 *
 * Pure. The authority makes the roles true by C tor's rules: a relay without a directory is never a guard, and only one
 * whose policy lets streams out is an exit.
 */

/** What a relay of a test network is for. */
export type Role = 'guard' | 'middle' | 'exit';

/** One relay to start. */
export interface Part {
  readonly nickname: string;
  readonly role: Role;
  /** Threads that relay. */
  readonly workers: number;
}

/** A circuit takes three. */
export const RELAYS_LEAST = 3;
export const RELAYS_MOST = 100;
export const RELAYS_USUAL = 6;

/**
 * Cast so many relays. The first guard answers for the authority, too.
 *
 * @param cores - cores of this machine, shared out among the relays; each has one at least
 */
export function castRelays(count: number, cores: number): Part[] {
  const exits = Math.max(1, Math.round(count / 3));
  const guards = Math.max(1, Math.round((count - exits) / 2));
  const workers = Math.max(1, Math.floor(cores / count));
  const parts: Part[] = [];
  const add = (role: Role, number: number): void => {
    for (let i = 1; i <= number; i++) parts.push({ nickname: `${role}${i}`, role, workers });
  };
  add('guard', guards);
  add('middle', count - guards - exits);
  add('exit', exits);
  return parts;
}
