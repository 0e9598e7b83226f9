/**
 * Who has a usable link to which relay: one row per channel to an authenticated or dialled peer, for all workers.
 *
 * `circuit/extend` asks it for the channel that an EXTEND2 should use, the worker that owns a channel keeps the
 * row's state, and the main thread drops the rows of a worker that died. Every call takes one striped lock for
 * microseconds at most (`roster-rows`). Apart from marking a row bad, only its owner changes a row.
 *
 * Several channels to one peer may live side by side. Which of them an EXTEND2 gets is decided as C tor does: the
 * identities must match; bad channels are out; an open channel counts if it is canonical or at the address that was
 * asked for; a dial in progress is waited for only if it goes to that address, so that a dial to a black hole holds
 * up nobody else. Clients have no rows: a peer that did not authenticate has no identity to be found by.
 *
 * One RSA identity can vouch for any number of Ed25519 identities, and a client can name any RSA identity to dial.
 * Therefore so many rows of an RSA identity are listed and no more: a chain stays short, whoever makes its rows.
 *
 * @source tor-spec "Creating circuits", "Canonical connections"
 */

import { assert } from '../fault.ts';
import {
  CHANNEL_GENERATION,
  ED25519_AT,
  ED25519_BYTES,
  FLAGS,
  HOST_AT,
  HOST_BYTES,
  PORT,
  RosterRows,
  RowState,
  RSA_AT,
  RSA_BYTES,
  SLOT,
} from './roster-rows.ts';

/** Whom an EXTEND2 names, and where. Hosts have 4 and 16 bytes; an all-zero Ed25519 id counts as null. */
export interface RosterTarget {
  readonly rsaId: Uint8Array;
  readonly ed25519Id: Uint8Array | null;
  readonly ipv4: Uint8Array | null;
  readonly ipv6: Uint8Array | null;
}

/** A new row of ours. `address` is the peer's end of the connection, 4 or 16 bytes. */
export interface RosterRow {
  readonly rsaId: Uint8Array;
  readonly ed25519Id: Uint8Array | null;
  readonly address: Uint8Array;
  readonly port: number;
  /** The channel on its worker; -1 while it has no slot yet. */
  readonly slot: number;
  readonly generation: number;
  readonly state: 'dialling' | 'open';
  /** The peer opened it: used only for an EXTEND2 that names its Ed25519 id. */
  readonly inbound: boolean;
  readonly canonical: boolean;
  /** Monotonic milliseconds. */
  readonly createdMs: number;
}

/** What a finished link handshake learnt. */
export interface RosterOpening {
  readonly ed25519Id: Uint8Array | null;
  /** The peer lists the address that we reached it at. */
  readonly canonical: boolean;
  /** The peer will see us as canonical too. */
  readonly canonicalToPeer?: boolean;
}

/** Where a channel is. `slot` is -1 in the moment between winning a dial and `setSlot`. */
export interface RosterPlace {
  readonly worker: number;
  readonly slot: number;
  readonly generation: number;
  readonly handle: number;
}

/**
 * What to do about a target: use the `open` channel, wait for the one `dialling`, or none of both. `mine` is the
 * row just inserted for the caller, who dials; its handle is IDENTITY_FULL if the peer has its fill of rows: then the
 * caller dials as well, and nobody else finds that channel. `full` means that no row could be had.
 */
export interface RosterChoice extends RosterPlace {
  readonly verdict: 'open' | 'dialling' | 'none' | 'mine' | 'full';
}

/** Rows by state, as counted without a lock. */
export interface RosterCount {
  readonly dialling: number;
  readonly open: number;
  readonly bad: number;
}

/** A channel older than this takes no new circuits. */
const TOO_OLD_MS = 7 * 24 * 3_600_000;
/** Rows for all channels to relays: some ten thousand relays, with room for duplicates. 4 MB. */
const ROWS_DEFAULT = 32_768;

/** Rows that one RSA identity may have: channels that it opened, and those that we dialled. */
const INBOUND_PER_IDENTITY = 64;
const DIALLED_PER_IDENTITY = 256;

/** What `insert` returns instead of a handle. */
export const ROSTER_FULL = -1;
export const IDENTITY_FULL = -2;

const CANONICAL = 1;
const CANONICAL_TO_PEER = 2;
const INBOUND = 4;
const HAS_ED25519 = 8;

const NO_ED25519 = new Uint8Array(ED25519_BYTES);

const NOWHERE: RosterPlace = { worker: -1, slot: -1, generation: -1, handle: -1 };

export class Roster {
  readonly #worker: number;
  readonly #rows: RosterRows;

  /** Make an empty roster of so many rows (a power of two). @param key eight random bytes, secret from peers. */
  static create(rows: number = ROWS_DEFAULT, key: Uint8Array = randomKey()): SharedArrayBuffer {
    return RosterRows.create(rows, key);
  }

  /** @param worker who we are: a worker's number, or the number of workers on the main thread. */
  constructor(sab: SharedArrayBuffer, worker: number) {
    this.#worker = worker;
    this.#rows = new RosterRows(sab, worker);
  }

  /** Hash bytes under a key that all threads share and no peer knows. Returns an unsigned 32-bit number. */
  hash(bytes: Uint8Array): number {
    return this.#rows.hash(bytes);
  }

  /** Add a row of ours. Returns its handle; ROSTER_FULL or IDENTITY_FULL, which are negative, if it isn't listed. */
  insert(row: RosterRow): number {
    const at = this.#rows.take(row.inbound);
    if (at < 0) return ROSTER_FULL;
    const bucket = this.#rows.bucketOf(row.rsaId);
    const handle = this.#rows.locked(bucket, () => this.#insert(bucket, at, row));
    if (handle < 0) this.#rows.free(at);
    return handle;
  }

  /** Choose a channel for an EXTEND2; `none` if someone must dial. */
  choose(target: RosterTarget): RosterChoice {
    const bucket = this.#rows.bucketOf(target.rsaId);
    return this.#rows.locked(bucket, () => this.#choose(bucket, target));
  }

  /**
   * Choose a channel, or make a dialling row of ours in the same breath, so that of several workers that need one
   * peer at one address only one dials. After `mine` the caller dials and calls `setSlot` before its turn ends, or
   * `remove` if it can't dial. Never answers `none`.
   */
  chooseOrDial(target: RosterTarget, row: RosterRow): RosterChoice {
    const bucket = this.#rows.bucketOf(target.rsaId);
    assert(this.#rows.bucketOf(row.rsaId) === bucket, 'roster: a dial to someone else than the target');
    const first = this.#rows.locked(bucket, () => this.#choose(bucket, target));
    if (first.verdict !== 'none') return first;
    const at = this.#rows.take(row.inbound);
    if (at < 0) return { verdict: 'full', ...NOWHERE };
    // Somebody else may have begun to dial while we looked for a row.
    const choice = this.#rows.locked(bucket, (): RosterChoice => {
      const again = this.#choose(bucket, target);
      if (again.verdict !== 'none') return again;
      const handle = this.#insert(bucket, at, row);
      return { verdict: 'mine', worker: this.#worker, slot: row.slot, generation: row.generation, handle };
    });
    if (choice.verdict !== 'mine' || choice.handle < 0) this.#rows.free(at);
    return choice;
  }

  /** Say which slot our row's channel got. Returns false if the row is gone. */
  setSlot(handle: number, slot: number, generation: number): boolean {
    return this.#change(handle, (at) => {
      this.#rows.words[at + SLOT] = slot;
      this.#rows.words[at + CHANNEL_GENERATION] = generation;
    });
  }

  /** Our row's channel finished its handshake. Returns false if the row is gone. A bad row stays bad. */
  setOpen(handle: number, opening: RosterOpening): boolean {
    return this.#change(handle, (at) => {
      let flags = this.#rows.words[at + FLAGS]! & ~(CANONICAL | CANONICAL_TO_PEER | HAS_ED25519);
      if (opening.canonical) flags |= CANONICAL;
      if (opening.canonicalToPeer === true) flags |= CANONICAL_TO_PEER;
      this.#rows.words[at + FLAGS] = flags | this.#writeEd25519(at, opening.ed25519Id);
      if (this.#rows.stateOf(at) === RowState.DIALLING) this.#rows.setState(at, RowState.OPEN);
    });
  }

  /** Tell whether a row was marked bad: too old, or a better channel superseded it. */
  isBad(handle: number): boolean {
    const at = this.#rows.find(handle);
    return at >= 0 && this.#rows.stateOf(at) === RowState.BAD;
  }

  /** Remove our row: the channel closed. Returns false if it is gone already. */
  remove(handle: number): boolean {
    let gone = -1;
    const removed = this.#change(handle, (at) => {
      this.#rows.unlink(this.#rows.bucketAt(at), at);
      gone = at;
    });
    if (removed) this.#rows.free(gone);
    return removed;
  }

  /** Find a row's channel: for a worker that is asked for one of its rows by handle. Null if the row is gone. */
  locate(handle: number): RosterPlace | null {
    const at = this.#rows.find(handle);
    if (at < 0) return null;
    const place = this.#place(at);
    // Read without the lock: it counts only if the row is still the same one.
    return this.#rows.find(handle) < 0 ? null : place;
  }

  /**
   * Mark what should take no new circuits among the channels of one peer, a pair of identities: those too old, and
   * those that a better one supersedes. Each owner finds out by `isBad`. Returns how many were marked.
   */
  markSuperseded(
    rsaId: Uint8Array,
    ed25519Id: Uint8Array | null,
    nowMs: number,
    tooOldMs: number = TOO_OLD_MS,
  ): number {
    const rows = this.#rows;
    const bucket = rows.bucketOf(rsaId);
    const named = ed25519Id ?? NO_ED25519;
    return rows.locked(bucket, () => {
      const group: number[] = [];
      let marked = 0;
      for (let at = rows.first(bucket); at >= 0; at = rows.next(at)) {
        if (!rows.holds(at, RSA_AT, rsaId) || !rows.holds(at, ED25519_AT, named)) continue;
        if (nowMs - rows.createdMs(at) > tooOldMs) marked += Number(rows.markBad(at));
        else if (rows.stateOf(at) === RowState.OPEN) group.push(at);
      }
      return marked + this.#markGroup(group);
    });
  }

  /** Do the same for all peers; skips what others hold locked just now. Returns how many were marked. */
  markAllSuperseded(nowMs: number, tooOldMs: number = TOO_OLD_MS): number {
    let marked = 0;
    for (let bucket = 0; bucket < this.#rows.capacity; bucket++) {
      if (this.#rows.first(bucket) < 0) continue;
      this.#rows.lockedSoon(bucket, () => {
        marked += this.#markBucket(bucket, nowMs, tooOldMs);
      });
    }
    return marked;
  }

  /**
   * Free the locks and rows of a worker that is dead for certain. Returns false if another thread held a lock all
   * the while (it may be dead too, and its end not yet known): call again later, before a successor starts.
   */
  dropWorker(dead: number): boolean {
    return this.#rows.dropWorker(dead);
  }

  /**
   * Free the locks of a worker that is dead for certain, and nothing else: at once, since others wait for them. Its
   * rows are whole at any moment.
   */
  freeLocks(dead: number): void {
    this.#rows.freeLocks(dead);
  }

  /** Count the rows by state, without a lock. */
  count(): RosterCount {
    const byState = [0, 0, 0, 0, 0];
    for (let index = 0; index < this.#rows.capacity; index++) {
      byState[this.#rows.stateOf(this.#rows.rowAt(index))]!++;
    }
    return {
      dialling: byState[RowState.DIALLING]!,
      open: byState[RowState.OPEN]!,
      bad: byState[RowState.BAD]!,
    };
  }

  /** Change a row of ours under its lock. */
  #change(handle: number, body: (at: number) => void): boolean {
    const at = this.#rows.find(handle);
    if (at < 0) return false;
    assert(this.#rows.ownerOf(at) === this.#worker, 'roster: a row of another worker is being changed');
    this.#rows.locked(this.#rows.bucketAt(at), () => body(at));
    return true;
  }

  /**
   * Whether open channels prove that the relay with this RSA identity has another Ed25519 identity than the one
   * claimed. False while none is open, or when they disagree: then the claim has to be tried.
   */
  contradicts(rsaId: Uint8Array, ed25519Id: Uint8Array): boolean {
    const rows = this.#rows;
    const bucket = rows.bucketOf(rsaId);
    return rows.locked(bucket, () => {
      let proven: Uint8Array | null = null;
      for (let at = rows.first(bucket); at >= 0; at = rows.next(at)) {
        if (rows.stateOf(at) !== RowState.OPEN || !rows.holds(at, RSA_AT, rsaId)) continue;
        if ((rows.words[at + FLAGS]! & HAS_ED25519) === 0 || rows.holds(at, ED25519_AT, ed25519Id))
          return false;
        if (proven !== null && !rows.holds(at, ED25519_AT, proven)) return false;
        proven = rows.view(at, ED25519_AT, 32).slice();
      }
      return proven !== null;
    });
  }

  /** Whether there is a channel to a relay, open or on its way, whoever dialled. */
  isLinked(rsaId: Uint8Array): boolean {
    const rows = this.#rows;
    const bucket = rows.bucketOf(rsaId);
    return rows.locked(bucket, () => {
      for (let at = rows.first(bucket); at >= 0; at = rows.next(at)) {
        if (rows.holds(at, RSA_AT, rsaId)) return true;
      }
      return false;
    });
  }

  /**
   * Mark all open channels to a relay bad: they take no new circuits, and each owner closes its own once nothing uses
   * it. Returns how many were marked.
   */
  retire(rsaId: Uint8Array): number {
    const rows = this.#rows;
    const bucket = rows.bucketOf(rsaId);
    return rows.locked(bucket, () => {
      let marked = 0;
      for (let at = rows.first(bucket); at >= 0; at = rows.next(at)) {
        if (rows.stateOf(at) === RowState.OPEN && rows.holds(at, RSA_AT, rsaId))
          marked += Number(rows.markBad(at));
      }
      return marked;
    });
  }

  #choose(bucket: number, target: RosterTarget): RosterChoice {
    const rows = this.#rows;
    const ipv4 = target.ipv4 === null ? null : widen(target.ipv4);
    const ipv6 = target.ipv6 === null ? null : widen(target.ipv6);
    let best = -1;
    let dialling = -1;
    for (let at = rows.first(bucket); at >= 0; at = rows.next(at)) {
      if (!this.#fits(at, target)) continue;
      const there =
        (ipv4 !== null && rows.holds(at, HOST_AT, ipv4)) || (ipv6 !== null && rows.holds(at, HOST_AT, ipv6));
      const state = rows.stateOf(at);
      if (state === RowState.DIALLING) {
        // Of several dials our own is the nearest.
        if (there && (dialling < 0 || rows.ownerOf(at) === this.#worker)) dialling = at;
      } else if (state === RowState.OPEN && (there || (rows.words[at + FLAGS]! & CANONICAL) !== 0)) {
        if (best < 0 || this.#isBetter(at, best)) best = at;
      }
    }
    if (best >= 0) return { verdict: 'open', ...this.#place(best) };
    if (dialling >= 0) return { verdict: 'dialling', ...this.#place(dialling) };
    return { verdict: 'none', ...NOWHERE };
  }

  /** Whether a row's peer is the one that the target names. */
  #fits(at: number, target: RosterTarget): boolean {
    if (!this.#rows.holds(at, RSA_AT, target.rsaId)) return false;
    const flags = this.#rows.words[at + FLAGS]!;
    if (target.ed25519Id === null || isZero(target.ed25519Id)) return (flags & INBOUND) === 0;
    return (flags & HAS_ED25519) !== 0 && this.#rows.holds(at, ED25519_AT, target.ed25519Id);
  }

  /** Canonical first, then canonical to the peer, then the older: a new link can't draw circuits to itself. */
  #isBetter(a: number, b: number): boolean {
    const flagsA = this.#rows.words[a + FLAGS]!;
    const flagsB = this.#rows.words[b + FLAGS]!;
    for (let flag = CANONICAL; flag <= CANONICAL_TO_PEER; flag <<= 1) {
      if ((flagsA & flag) !== (flagsB & flag)) return (flagsA & flag) !== 0;
    }
    const createdA = this.#rows.createdMs(a);
    const createdB = this.#rows.createdMs(b);
    return createdA === createdB ? a < b : createdA < createdB;
  }

  #markBucket(bucket: number, nowMs: number, tooOldMs: number): number {
    const rows = this.#rows;
    // A chain may hold several peers, and a peer several Ed25519 ids: each pair is judged by itself.
    const groups = new Map<string, number[]>();
    let marked = 0;
    for (let at = rows.first(bucket); at >= 0; at = rows.next(at)) {
      if (nowMs - rows.createdMs(at) > tooOldMs) {
        marked += Number(rows.markBad(at));
      } else if (rows.stateOf(at) === RowState.OPEN) {
        const peer = String.fromCharCode(...rows.view(at, RSA_AT, RSA_BYTES + ED25519_BYTES));
        const group = groups.get(peer);
        if (group === undefined) groups.set(peer, [at]);
        else group.push(at);
      }
    }
    for (const group of groups.values()) marked += this.#markGroup(group);
    return marked;
  }

  /** Keep the best of a peer's open channels, and what is neither better nor at the same address. */
  #markGroup(group: readonly number[]): number {
    if (group.length < 2) return 0;
    let best = group[0]!;
    for (const at of group) if (this.#isBetter(at, best)) best = at;
    const bestIsCanonical = (this.#rows.words[best + FLAGS]! & CANONICAL) !== 0;
    const bestHost = this.#rows.view(best, HOST_AT, HOST_BYTES);
    let marked = 0;
    for (const at of group) {
      if (at === best || !(bestIsCanonical || this.#rows.holds(at, HOST_AT, bestHost))) continue;
      if (this.#rows.markBad(at)) marked++;
    }
    return marked;
  }

  /** Fill a row that was taken and link it, under the lock of its bucket, unless its peer has its fill of rows. */
  #insert(bucket: number, at: number, row: RosterRow): number {
    assert(row.rsaId.length === RSA_BYTES, 'roster: an RSA id has 20 bytes');
    const rows = this.#rows;
    let left = row.inbound ? INBOUND_PER_IDENTITY : DIALLED_PER_IDENTITY;
    for (let other = rows.first(bucket); other >= 0; other = rows.next(other)) {
      const sameWay = ((rows.words[other + FLAGS]! & INBOUND) !== 0) === row.inbound;
      if (sameWay && rows.holds(other, RSA_AT, row.rsaId) && --left === 0) return IDENTITY_FULL;
    }
    rows.write(at, RSA_AT, row.rsaId);
    rows.write(at, HOST_AT, widen(row.address));
    rows.words[at + PORT] = row.port;
    rows.words[at + SLOT] = row.slot;
    rows.words[at + CHANNEL_GENERATION] = row.generation;
    rows.words[at + FLAGS] =
      (row.canonical ? CANONICAL : 0) | (row.inbound ? INBOUND : 0) | this.#writeEd25519(at, row.ed25519Id);
    rows.setCreatedMs(at, row.createdMs);
    rows.link(bucket, at, row.state === 'open' ? RowState.OPEN : RowState.DIALLING);
    return rows.handleOf(at);
  }

  /** Write an Ed25519 id and return the flag that says whether there is one. */
  #writeEd25519(at: number, ed25519Id: Uint8Array | null): number {
    if (ed25519Id === null || isZero(ed25519Id)) {
      this.#rows.write(at, ED25519_AT, NO_ED25519);
      return 0;
    }
    assert(ed25519Id.length === ED25519_BYTES, 'roster: an Ed25519 id has 32 bytes');
    this.#rows.write(at, ED25519_AT, ed25519Id);
    return HAS_ED25519;
  }

  #place(at: number): RosterPlace {
    return {
      worker: this.#rows.ownerOf(at),
      slot: this.#rows.words[at + SLOT]!,
      generation: this.#rows.words[at + CHANNEL_GENERATION]!,
      handle: this.#rows.handleOf(at),
    };
  }
}

/** Every address as 16 bytes, IPv4 mapped, so that both forms of one address are equal. */
function widen(host: Uint8Array): Uint8Array {
  if (host.length === HOST_BYTES) return host;
  assert(host.length === 4, 'roster: an address has 4 or 16 bytes');
  const wide = new Uint8Array(HOST_BYTES);
  wide[10] = 255;
  wide[11] = 255;
  wide.set(host, 12);
  return wide;
}

function isZero(bytes: Uint8Array): boolean {
  for (const byte of bytes) if (byte !== 0) return false;
  return true;
}

function randomKey(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(8));
}
