/**
 * An HTTP reply as it comes over a directory stream: status line, headers, body until the stream ends.
 *
 * Fed in pieces, bounded, and without a connection to keep: directory servers close after each reply.
 * @source dir-spec "Standards compliance"
 */
import { joinAll } from '../bytes/join.ts';
import { Malformed } from '../fault.ts';

/** A whole reply; the body as it came. */
export interface RawReply {
  readonly status: number;
  readonly reason: string;
  /** Names in lower case; of two with one name the first counts. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

const HEAD_BYTES_MAX = 64 * 1024;
const NOUN = 'directory reply';

/** Gathers one reply. */
export class ReplyReader {
  /** Bytes of the body so far. */
  bodyBytes = 0;
  private readonly chunks: Uint8Array[] = [];
  private head = '';
  private hasHead = false;
  private readonly bytesMax: number;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  /** Take the next bytes; kept. @throws Malformed when head or body are longer than they may be */
  take(bytes: Uint8Array): void {
    if (this.hasHead) {
      this.takeBody(bytes);
      return;
    }
    const before = this.head.length;
    this.head += Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
    const end = this.head.indexOf('\r\n\r\n', Math.max(0, before - 3));
    if (end < 0) {
      if (this.head.length > HEAD_BYTES_MAX) throw new Malformed(NOUN, 'the head has no end');
      return;
    }
    this.hasHead = true;
    const rest = bytes.subarray(end + 4 - before);
    this.head = this.head.slice(0, end);
    if (rest.length > 0) this.takeBody(rest);
  }

  private takeBody(bytes: Uint8Array): void {
    this.bodyBytes += bytes.length;
    if (this.bodyBytes > this.bytesMax) throw new Malformed(NOUN, `is longer than ${this.bytesMax} bytes`);
    this.chunks.push(bytes);
  }

  /** The stream ended as it should. @throws Malformed when the reply is cut short or is no HTTP */
  finish(): RawReply {
    if (!this.hasHead) throw new Malformed(NOUN, 'is truncated');
    const lines = this.head.split('\r\n');
    const match = /^HTTP\/1\.[0-9] ([0-9]{3})(?: (.*))?$/.exec(lines[0]!);
    if (match === null) throw new Malformed(NOUN, 'has no status line');
    const headers: Record<string, string> = Object.create(null);
    for (const line of lines.slice(1)) {
      const colon = line.indexOf(':');
      if (colon <= 0) throw new Malformed(NOUN, 'has a header without a name');
      headers[line.slice(0, colon).toLowerCase()] ??= line.slice(colon + 1).trim();
    }
    const length = headers['content-length'];
    if (length !== undefined && Number(length) !== this.bodyBytes) {
      throw new Malformed(NOUN, `has ${this.bodyBytes} bytes instead of ${length}`);
    }
    return {
      status: Number(match[1]),
      reason: match[2] ?? '',
      headers,
      body: joinAll(this.chunks),
    };
  }
}
