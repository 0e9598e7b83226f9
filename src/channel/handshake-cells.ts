/**
 * Cuts the bytes of a link that is still shaking hands into cells.
 *
 * Sits between the TLS socket and `LinkHandshake`; once the link is open, `framer.ts` takes over. Unlike that
 * one it judges a cell by its first bytes: a command that the state does not allow, a circuit id where none may
 * be, or a length over the command's bound is refused before any of the body has to be waited for. It therefore
 * never holds more than one cell and one chunk, and it does linear work however the bytes are cut up.
 * Until VERSIONS was read circuit ids have 2 bytes, afterwards 4 (link protocols 4 and 5).
 * @source tor-spec "Cell Packet format", "Negotiating and initializing channels"
 */

import { BODY_BYTES } from '../cell/cell.ts';
import { Command, commandName, isVariableLength } from '../cell/command.ts';
import { DestroyReason } from '../cell/reason.ts';
import { Violation } from '../fault.ts';

/** All bytes that one side may send until its NETINFO is through. Real handshakes need about 2,500. */
export const HANDSHAKE_BYTES_MAX = 65536;

/** The longest body of each variable-length cell; real ones stay far below. */
const BODY_BYTES_MAX: ReadonlyMap<number, number> = new Map([
  [Command.VERSIONS, 512],
  [Command.VPADDING, 16384],
  [Command.CERTS, 16384],
  [Command.AUTH_CHALLENGE, 1024],
  [Command.AUTHENTICATE, 1024],
  [Command.AUTHORIZE, 16384],
]);

/** A cell of the handshake. The views live until the next `push`. */
export interface HandshakeCell {
  readonly command: number;
  /** The body alone: 509 bytes, or what a variable-length cell says. */
  readonly body: Uint8Array;
  /** The whole cell as it came, for the handshake's logs. */
  readonly wire: Uint8Array;
}

/** Make the error that closes a channel for `counter`. */
export function channelViolation(counter: string, why: string): Violation {
  return new Violation('channel', DestroyReason.PROTOCOL, counter, why);
}

/** A stream of chunks, read cell by cell. */
export class HandshakeCells {
  #buffer: Uint8Array = new Uint8Array(0);
  #at = 0;
  #end = 0;
  /** Whether `buffer` is ours; else it is the caller's chunk. */
  #owned = true;
  #taken = 0;
  #versionsRead = false;

  /** Bytes of the buffer that is kept between chunks. */
  get heldBytes(): number {
    return this.#owned ? this.#buffer.length : 0;
  }

  /** Add a chunk. It is borrowed until `keep`. */
  push(chunk: Uint8Array): void {
    const held = this.#end - this.#at;
    if (held === 0) {
      this.#buffer = chunk;
      this.#owned = false;
      this.#at = 0;
      this.#end = chunk.length;
      return;
    }
    const needed = held + chunk.length;
    if (!this.#owned || this.#end + chunk.length > this.#buffer.length) {
      const grown =
        this.#owned && needed <= this.#buffer.length
          ? this.#buffer
          : new Uint8Array(Math.max(1024, 2 * needed));
      grown.set(this.#buffer.subarray(this.#at, this.#end));
      this.#buffer = grown;
      this.#owned = true;
      this.#at = 0;
      this.#end = held;
    }
    this.#buffer.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /** Copy what is left of a borrowed chunk, so that its owner can reuse it. */
  keep(): void {
    if (this.#owned) return;
    this.#buffer = this.#buffer.slice(this.#at, this.#end);
    this.#end -= this.#at;
    this.#at = 0;
    this.#owned = true;
  }

  /**
   * Take the next cell, or null while it is incomplete.
   *
   * @param allowed the commands that may come now
   * @throws Violation for a command, circuit id or length that may not come now
   */
  next(allowed: ReadonlySet<number>): HandshakeCell | null {
    const idBytes = this.#versionsRead ? 4 : 2;
    const held = this.#end - this.#at;
    if (held <= idBytes) return null;
    const bytes = this.#buffer;
    const at = this.#at;
    const command = bytes[at + idBytes]!;
    if (!allowed.has(command)) throw this.#refusal(command);
    if (command !== Command.VPADDING && command !== Command.AUTHORIZE) this.#checkCircId(command, idBytes);

    let bodyAt = at + idBytes + 1;
    let bodyBytes = BODY_BYTES;
    if (isVariableLength(command)) {
      if (held < idBytes + 3) return null;
      bodyBytes = (bytes[bodyAt]! << 8) | bytes[bodyAt + 1]!;
      bodyAt += 2;
      const most = BODY_BYTES_MAX.get(command) ?? 0;
      if (bodyBytes > most) {
        const why = `${commandName(command)} of ${bodyBytes} bytes in a link handshake (at most ${most})`;
        throw channelViolation('link_handshake_oversized_cell', why);
      }
    }
    const cellEnd = bodyAt + bodyBytes;
    if (this.#taken + cellEnd - at > HANDSHAKE_BYTES_MAX) {
      throw channelViolation(
        'link_handshake_too_long',
        `a link handshake of more than ${HANDSHAKE_BYTES_MAX} bytes`,
      );
    }
    if (cellEnd > this.#end) return null;
    this.#at = cellEnd;
    this.#taken += cellEnd - at;
    if (command === Command.VERSIONS) this.#versionsRead = true;
    return { command, body: bytes.subarray(bodyAt, cellEnd), wire: bytes.subarray(at, cellEnd) };
  }

  /** Give back the bytes after the last cell: a view of the last chunk or of our own buffer. */
  rest(): Uint8Array {
    return this.#buffer.subarray(this.#at, this.#end);
  }

  #refusal(command: number): Violation {
    const name = commandName(command);
    if (this.#versionsRead) {
      return channelViolation(
        'link_handshake_unexpected_cell',
        `${name} may not come now in a link handshake`,
      );
    }
    return channelViolation('link_handshake_before_versions', `${name} before VERSIONS`);
  }

  #checkCircId(command: number, idBytes: number): void {
    for (let i = 0; i < idBytes; i++) {
      if (this.#buffer[this.#at + i] === 0) continue;
      const why = `${commandName(command)} with a circuit id in a link handshake`;
      throw channelViolation('link_handshake_nonzero_circuit_id', why);
    }
  }
}
