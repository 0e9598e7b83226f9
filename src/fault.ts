/**
 * The four ways something can be wrong, and whose fault each one is.
 *
 * Every layer throws these and nothing else. A `Malformed` is caught around one cell or one document, a
 * `Violation` closes just its scope, an `OperatorError` is printed without a stack, and a `Bug` ends the
 * worker it happened in.
 */

/** Bytes or text of a peer or a document that cannot be what they claim to be. */
export class Malformed extends Error {
  override readonly name = 'Malformed';
  /** What was being read, e.g. `EXTEND2`. */
  readonly noun: string;
  /** What is wrong with it. */
  readonly why: string;
  /** Byte offset (cells) or line number (documents) of the fault; -1 when it has none. */
  readonly offset: number;

  constructor(noun: string, why: string, offset = -1) {
    super(offset < 0 ? `${noun}: ${why}` : `${noun}: ${why} (at ${offset})`);
    this.noun = noun;
    this.why = why;
    this.offset = offset;
  }
}

/** What a violation of the protocol costs the peer: just this much is closed. */
export type Scope = 'channel' | 'circuit' | 'stream';

/** Well-formed bytes that the peer may not send now. */
export class Violation extends Error {
  override readonly name = 'Violation';
  readonly scope: Scope;
  /** The DESTROY or END reason to send. */
  readonly reason: number;
  /** Name of the counter that is bumped for it. */
  readonly counter: string;

  constructor(scope: Scope, reason: number, counter: string, why: string) {
    super(why);
    this.scope = scope;
    this.reason = reason;
    this.counter = counter;
  }
}

/** Exit codes that an operator's scripts can rely on. */
export const EXIT_CONFIG = 1;
export const EXIT_KEYS = 2;
export const EXIT_PORTS = 3;

/** Something that the operator can mend: torrc, keys, disk, ports. */
export class OperatorError extends Error {
  override readonly name = 'OperatorError';
  /** What is wrong. */
  readonly what: string;
  /** Where: `torrc:41`, a file's path, an address. */
  readonly where: string;
  /** What to do about it. */
  readonly hint: string;
  /** Exit code if it ends the process. */
  readonly exitCode: number;

  constructor(what: string, where: string, hint: string, exitCode: number = EXIT_CONFIG) {
    super(`${where}: ${what}${hint ? `: ${hint}` : ''}`);
    this.what = what;
    this.where = where;
    this.hint = hint;
    this.exitCode = exitCode;
  }
}

/** A broken invariant of ours. */
export class Bug extends Error {
  override readonly name = 'Bug';
}

/** Stop on a broken invariant. Never tests what a peer or an operator sent. */
export function assert(condition: boolean, invariant: string): asserts condition {
  if (!condition) throw new Bug(invariant);
}

/**
 * Let what a handler of a socket throws end the thread, as a bug must. Bun would hand it to the socket's `error` handler,
 * where it looks like a fault of the peer's, and go on.
 */
export function orDie(handle: () => void): void {
  try {
    handle();
  } catch (error) {
    die(error);
  }
}

/** A handler whose bugs end the thread. */
export function guarded<S, X>(handler: (socket: S, argument: X) => void): (socket: S, argument: X) => void {
  return (socket, argument) => {
    try {
      handler(socket, argument);
    } catch (error) {
      die(error);
    }
  };
}

function die(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
