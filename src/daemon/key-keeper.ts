/**
 * The relay's keys while it runs: which are in force, when they are renewed, and that every worker has them.
 *
 * Link keys change at most every two hours, onion keys by the consensus's parameters, the signing key before its
 * certificate ends. One change at a time: each is lettered to all workers and acknowledged before the next begins,
 * and before a descriptor speaks of it. Waits are measured by the clock that never jumps, certificates by the wall
 * clock; when that one jumps, everything is looked at again.
 */
import { OperatorError } from '../fault.ts';
import {
  loadOrCreateIdentity,
  MASTER_SECRET_FILE,
  type RelayIdentity,
  refreshIdentity,
  type SigningPolicy,
} from '../keys/identity.ts';
import { hasKeyFile, type KeyStore } from '../keys/key-store.ts';
import { type LinkKeyPolicy, makeLinkCredentials } from '../keys/link-key.ts';
import {
  loadOrCreateOnionKeys,
  maintainOnionKeys,
  type OnionKeyParams,
  type OnionKeys,
  type StateTimes,
} from '../keys/onion-key.ts';
import { log } from '../log.ts';
import type { OnionKeysLetter } from '../shm/letter.ts';
import type { LinkCredentials } from '../shm/link-credentials.ts';
import type { RelayOptions } from '../torrc/relay-options.ts';

const MINUTE_SEC = 60;
const HOUR_SEC = 3600;
const HOUR_MS = HOUR_SEC * 1000;
const DAY_SEC = 24 * HOUR_SEC;
/** C tor's bound on the life of a link key. */
const LINK_KEY_SEC = 2 * HOUR_SEC;
/** A signing key that nobody here can renew is warned of this long before its end, once a day. */
const WARN_SEC = 7 * DAY_SEC;

/** Takes new keys to the workers; resolves when all of them acknowledged. */
export interface KeyDelivery {
  setCredentials(credentials: LinkCredentials): Promise<void>;
  setOnionKeys(onionKeys: OnionKeysLetter): Promise<void>;
}

/** What the keeper is given. */
export interface KeyKeeperConfig {
  readonly options: RelayOptions;
  readonly store: KeyStore;
  readonly state: StateTimes;
  readonly onionParams: () => OnionKeyParams;
  readonly random: (bytes: number) => Uint8Array;
  /** Our descriptor must be made anew. */
  readonly onDirty: (reason: string) => void;
  /**
   * `state` must be written now: a process that dies between a rotation and the next write would rotate again at its
   * start, and forget the key that clients still have.
   */
  readonly onRotated: () => void;
  /** The signing key has ended and cannot be renewed: the relay is of no use any more. */
  readonly onExpired: (error: OperatorError) => void;
}

/** Keeps the keys. One per process. */
export class KeyKeeper {
  private readonly config: KeyKeeperConfig;
  private options: RelayOptions;
  private store: KeyStore;
  private who: RelayIdentity;
  private onionKeys!: OnionKeys;
  private described!: OnionKeys;
  private onionGeneration = 1;
  private linkGeneration = 0;
  private delivery: KeyDelivery | null = null;
  private nextLinkMs = 0;
  private nextLookMs = 0;
  private warnedMs = Number.NEGATIVE_INFINITY;
  private work: Promise<void> = Promise.resolve();

  /**
   * Load the identity, or make one where there is none.
   * @throws OperatorError (`EXIT_KEYS`)
   */
  constructor(config: KeyKeeperConfig, nowSec: number) {
    this.config = config;
    this.options = config.options;
    this.store = config.store;
    this.who = loadOrCreateIdentity(config.store, nowSec, signingPolicy(config.options));
  }

  /**
   * Load the onion keys, make those that are missing, and rotate them if they are too old: before anything else
   * that has to do with them.
   * @throws OperatorError (`EXIT_KEYS`)
   */
  openOnionKeys(nowSec: number): void {
    const { store, state, onionParams } = this.config;
    const params = onionParams();
    const loaded = loadOrCreateOnionKeys(store, state, nowSec, params);
    this.onionKeys = maintainOnionKeys(store, state, loaded, nowSec, params);
    if (this.onionKeys.current !== loaded.current) this.config.onRotated();
    this.described = this.onionKeys;
  }

  get identity(): RelayIdentity {
    return this.who;
  }

  /** The onion keys that every worker answers to, and that a descriptor may name. */
  get describedOnionKeys(): OnionKeys {
    return this.described;
  }

  /** The onion keys as workers get them. */
  onionLetter(): OnionKeysLetter {
    const { current, previous } = this.onionKeys;
    return { generation: this.onionGeneration, current: bare(current), previous: previous && bare(previous) };
  }

  /** Make a generation of link credentials under the present identity. */
  async makeCredentials(nowSec: number, nowMs: number): Promise<LinkCredentials> {
    this.linkGeneration++;
    this.nextLinkMs = nowMs + linkKeySec(this.options) * 1000;
    return makeLinkCredentials(
      this.who,
      this.linkGeneration,
      nowSec,
      this.config.random,
      linkKeyPolicy(this.options),
    );
  }

  /** From now on, changes go to these workers. */
  deliverTo(delivery: KeyDelivery, nowMs: number): void {
    this.delivery = delivery;
    this.nextLookMs = nowMs + HOUR_MS;
  }

  /** Do what is due. Called once a second. */
  tick(nowSec: number, nowMs: number): void {
    if (nowMs >= this.nextLinkMs) {
      this.nextLinkMs = nowMs + MINUTE_SEC * 1000;
      void this.rotateLinkKey(nowSec, nowMs);
    }
    if (nowMs >= this.nextLookMs) {
      this.nextLookMs = nowMs + HOUR_MS;
      void this.maintain(nowSec, nowMs);
    }
  }

  /** The wall clock jumped: certificates may have ended, or not begun. */
  onClockJump(nowSec: number, nowMs: number): void {
    void this.rotateLinkKey(nowSec, nowMs);
    void this.maintain(nowSec, nowMs);
  }

  /** Give later connections a new TLS key. Resolves when every worker serves it. */
  rotateLinkKey(nowSec: number, nowMs: number): Promise<void> {
    return this.enqueue(() => this.renewLinkKey(nowSec, nowMs));
  }

  /** Rotate the onion keys before their time. */
  rotateOnionKeysNow(): Promise<void> {
    const dueSec = this.onionKeys.rotatedSec + this.config.onionParams().rotationDays * DAY_SEC;
    return this.enqueue(() => this.rotateOnionKeys(dueSec));
  }

  /** Rotate the onion keys and renew the signing key, if it is time. */
  maintain(nowSec: number, nowMs: number): Promise<void> {
    return this.enqueue(async () => {
      await this.rotateOnionKeys(nowSec);
      await this.renewSigningKey(nowSec, nowMs);
    });
  }

  /**
   * Look at the signing key under new options, without using it yet: on a reload, where an operator may have
   * copied a new one here.
   * @throws OperatorError when the files are damaged or have ended; nothing has changed then
   */
  prepare(options: RelayOptions, store: KeyStore, nowSec: number): RelayIdentity {
    return refreshIdentity(store, this.who, nowSec, signingPolicy(options));
  }

  /** Use what `prepare` gave. Resolves when every worker shows the identity's certificates. */
  adopt(
    options: RelayOptions,
    store: KeyStore,
    identity: RelayIdentity,
    nowSec: number,
    nowMs: number,
  ): Promise<void> {
    this.options = options;
    this.store = store;
    return this.enqueue(() => this.useIdentity(identity, nowSec, nowMs));
  }

  /** One after another; a failure is logged and holds up nothing. */
  private enqueue(run: () => Promise<void>): Promise<void> {
    this.work = this.work.then(run).catch((error: unknown) => {
      log.warn('fs', `Key maintenance failed: ${error instanceof Error ? error.message : String(error)}`);
    });
    return this.work;
  }

  private async renewLinkKey(nowSec: number, nowMs: number): Promise<void> {
    const credentials = await this.makeCredentials(nowSec, nowMs);
    await this.delivery?.setCredentials(credentials);
    log.info('handshake', `Link key ${credentials.generation} is in use.`);
  }

  private async rotateOnionKeys(nowSec: number): Promise<void> {
    const before = this.onionKeys;
    const after = maintainOnionKeys(this.store, this.config.state, before, nowSec, this.config.onionParams());
    if (after === before) return;
    this.onionKeys = after;
    if (after.current !== before.current) this.config.onRotated();
    this.onionGeneration++;
    await this.delivery?.setOnionKeys(this.onionLetter());
    this.described = after;
    if (after.current === before.current) return;
    log.info('or', 'A new onion key is in use; the one before is answered for some days more.');
    this.config.onDirty('rotated onion key');
  }

  private async renewSigningKey(nowSec: number, nowMs: number): Promise<void> {
    try {
      await this.useIdentity(this.prepare(this.options, this.store, nowSec), nowSec, nowMs);
    } catch (error) {
      if (!(error instanceof OperatorError) || nowSec < this.who.signing.expiresSec) throw error;
      this.config.onExpired(error);
      return;
    }
    this.warnOfEnd(nowSec, nowMs);
  }

  private async useIdentity(identity: RelayIdentity, nowSec: number, nowMs: number): Promise<void> {
    if (identity === this.who) return;
    this.who = identity;
    log.notice('general', 'A new Ed25519 signing key is in use.');
    await this.renewLinkKey(nowSec, nowMs);
    this.config.onDirty('new signing key');
  }

  private warnOfEnd(nowSec: number, nowMs: number): void {
    const { expiresSec } = this.who.signing;
    const isAlone = this.options.offlineMasterKey || !hasKeyFile(this.store, MASTER_SECRET_FILE);
    if (!isAlone || nowSec < expiresSec - WARN_SEC || nowMs < this.warnedMs + DAY_SEC * 1000) return;
    this.warnedMs = nowMs;
    const days = Math.max(0, Math.floor((expiresSec - nowSec) / DAY_SEC));
    log.warn(
      'or',
      `The Ed25519 signing key ends in ${days} day(s), and with it this relay: make a new one where the master ` +
        `secret key is (onionrelay keygen), copy both signing files to ${this.store.keyDirectory} and send HUP.`,
    );
  }
}

function bare({ publicKey, secretKey }: { publicKey: Uint8Array; secretKey: Uint8Array }) {
  return { publicKey, secretKey };
}

/** What torrc wants of the signing key. */
export function signingPolicy(options: RelayOptions): SigningPolicy {
  return {
    lifetimeSec: options.signingKeyLifetimeSec,
    slopSec: options.testing.signingKeySlopSec,
    offlineMaster: options.offlineMasterKey,
  };
}

function linkKeyPolicy({ testing }: RelayOptions): LinkKeyPolicy {
  return {
    tlsLifetimeSec: 0,
    linkCertSec: testing.linkCertLifetimeSec,
    authCertSec: testing.authKeyLifetimeSec,
  };
}

/** How long a link key is used: C tor's bound, or less where its certificates end earlier. */
export function linkKeySec({ testing }: RelayOptions): number {
  const slop = Math.max(testing.linkKeySlopSec, testing.authKeySlopSec);
  const least = Math.min(testing.linkCertLifetimeSec, testing.authKeyLifetimeSec);
  return Math.max(MINUTE_SEC, Math.min(LINK_KEY_SEC, least - slop));
}
