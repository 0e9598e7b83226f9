/**
 * RESOLVE: names and addresses that a client asks about, answered by RESOLVED.
 *
 * A request is no stream: it has a number, and while it waits that number is taken.
 * @source tor-spec "Remote hostname lookup"; C tor 0.4.9 dns.c
 */
import { RelayCommand } from '../cell/relay-message.ts';
import { decodeResolve, encodeResolved, type Resolved, ResolvedType } from '../cell/stream-message.ts';
import { type NameAnswer, RESOLVED_TTL_SEC } from './resolver.ts';
import type { Stream } from './stream.ts';
import type { StreamEnd } from './stream-end.ts';

const ERROR_TEXT = new TextEncoder().encode('Error resolving hostname');

/** What a RESOLVE asks about. */
export function nameOf(data: Uint8Array): string {
  return decodeResolve(data);
}

/** The RESOLVED for an answer. */
export function resolvedOf(answer: NameAnswer): Uint8Array {
  const answers: Resolved[] = [];
  const ttl = RESOLVED_TTL_SEC;
  if (answer.hostname !== null) {
    answers.push({ type: ResolvedType.HOSTNAME, value: Buffer.from(answer.hostname, 'latin1'), ttl });
  }
  if (answer.ipv4 !== null) answers.push({ type: ResolvedType.IPV4, value: answer.ipv4, ttl });
  if (answer.ipv6 !== null) answers.push({ type: ResolvedType.IPV6, value: answer.ipv6, ttl });
  return answers.length > 0 ? encodeResolved(answers) : resolvedError(answer.failure === 'transient');
}

/** The RESOLVED that says that there is no answer, now or at all. */
export function resolvedError(transient: boolean): Uint8Array {
  const type = transient ? ResolvedType.ERROR_TRANSIENT : ResolvedType.ERROR;
  return encodeResolved([{ type, value: ERROR_TEXT, ttl: RESOLVED_TTL_SEC }]);
}

/** Holds the place of a RESOLVE among the streams of its circuit until the answer is there. */
export class ResolveEnd implements StreamEnd {
  readonly endReason = 0;
  readonly heldBytes = 0;
  readonly storedBytes = 0;
  readonly waitsSinceMs = Number.POSITIVE_INFINITY;
  cancel: (() => void) | null = null;
  private readonly stream: Stream;

  constructor(stream: Stream) {
    this.stream = stream;
  }

  take(): void {}

  pull(): number {
    return 0;
  }

  close(): void {
    this.cancel?.();
    this.cancel = null;
  }

  /** Answer, unless nobody waits any more. */
  answer(data: Uint8Array): void {
    if (!this.stream.isGone) this.stream.answer(RelayCommand.RESOLVED, data);
  }
}
