/** A directory service on a fixture's shelf, and clients that speak to it through streams. */
import { gunzipSync, inflateSync, zstdDecompressSync } from 'node:zlib';
import { DirectoryService, type DirectorySurroundings } from '../../src/edge/directory-service.ts';
import { DirectoryStream } from '../../src/edge/directory-stream.ts';
import { COUNTER_NAMES, type CounterName } from '../../src/shm/counter.ts';
import type { DirectoryOptions } from '../../src/shm/letter.ts';
import type { ShelfBlock } from '../../src/shm/shelf.ts';
import { VALID_AFTER_SEC } from './shelf-fixture.ts';

const CELL_DATA_BYTES = 498;

/** An answer, taken apart. */
export interface Answered {
  readonly statusLine: string;
  /** Lines, in their order, without the date. */
  readonly headers: readonly string[];
  readonly date: string | null;
  /** Decoded. */
  readonly body: string;
  readonly wireBytes: number;
  readonly endReason: number;
}

/** One service with everything around it in the test's hand. */
export class DirectoryDesk {
  readonly service: DirectoryService;
  readonly counted = new Map<CounterName, number>();
  readonly oldest: number[] = [];
  nowSec = VALID_AFTER_SEC + 60;
  nowMs = 1000;
  ownAddresses: Uint8Array[] = [];
  isBusy: DirectorySurroundings['isBusy'] = () => false;

  constructor(block: ShelfBlock, options: Partial<DirectoryOptions> = {}) {
    this.service = new DirectoryService(
      {
        wallSec: () => this.nowSec,
        nowMs: () => this.nowMs,
        count: (counter, by) => {
          const name = COUNTER_NAMES[counter]!;
          this.counted.set(name, this.count(name) + by);
        },
        ownAddresses: () => this.ownAddresses,
        isBusy: (bytes, host) => this.isBusy(bytes, host),
        onGenerations: (oldest) => this.oldest.push(oldest),
      },
      { isCache: true, isBridge: false, frontPage: null, policy: [], ...options },
      block,
    );
  }

  count(name: CounterName): number {
    return this.counted.get(name) ?? 0;
  }

  /** Open a stream; `isTunnelled` false: as the DirPort does. */
  open(options: Partial<Opened> = {}): OpenStream {
    return new OpenStream(this.service, options);
  }

  /** Ask and take the whole answer. */
  async ask(request: string, options: Partial<Opened> = {}): Promise<Answered> {
    const stream = this.open(options);
    stream.end.take(Buffer.from(request, 'latin1'));
    return stream.drain();
  }

  get(path: string, headers: readonly string[] = [], options: Partial<Opened> = {}): Promise<Answered> {
    return this.ask([`GET ${path} HTTP/1.0`, ...headers, '', ''].join('\r\n'), options);
  }
}

export interface Opened {
  readonly host: Uint8Array;
  readonly prevIsRelay: boolean;
  readonly isTunnelled: boolean;
}

/** One stream and what came of it. */
export class OpenStream {
  readonly end: DirectoryStream;
  wakes = 0;
  private readonly got: Buffer[] = [];
  private woken: () => void = () => {};

  constructor(service: DirectoryService, { host, prevIsRelay, isTunnelled }: Partial<Opened>) {
    const waker = {
      wake: () => {
        this.wakes++;
        this.woken();
      },
    };
    this.end = new DirectoryStream(
      service,
      waker,
      host ?? Uint8Array.of(127, 0, 0, 1),
      prevIsRelay ?? false,
      isTunnelled ?? true,
    );
  }

  /** Take one cell's worth. Returns how many bytes came. */
  pull(max = CELL_DATA_BYTES): number {
    const cell = Buffer.alloc(CELL_DATA_BYTES + 11);
    const copied = this.end.pull(cell, 11, max);
    this.got.push(cell.subarray(11, 11 + copied));
    return copied;
  }

  /** All bytes so far. */
  get bytes(): Buffer {
    return Buffer.concat(this.got);
  }

  /** Take everything to the stream's end. */
  async drain(): Promise<Answered> {
    await this.finish();
    return takeApart(this.bytes, this.end.endReason);
  }

  /** The same, without looking at it. */
  async finish(): Promise<void> {
    while (this.end.endReason === 0) {
      const woken = new Promise<void>((resolve) => {
        this.woken = resolve;
      });
      if (this.pull() === 0 && this.end.endReason === 0) await woken;
    }
  }
}

/** Read an answer's bytes. */
export function takeApart(bytes: Buffer, endReason: number): Answered {
  const end = bytes.indexOf('\r\n\r\n');
  const [statusLine = '', ...lines] = (end < 0 ? '' : bytes.toString('latin1', 0, end)).split('\r\n');
  const date = lines.find((line) => line.startsWith('Date: ')) ?? null;
  const encoding = lines.find((line) => line.startsWith('Content-Encoding: '))?.slice(18) ?? 'identity';
  const body = end < 0 ? Buffer.alloc(0) : bytes.subarray(end + 4);
  return {
    statusLine,
    headers: lines.filter((line) => line !== date),
    date,
    body: decode(body, encoding).toString('latin1'),
    wireBytes: body.length,
    endReason,
  };
}

function decode(body: Buffer, encoding: string): Uint8Array & { toString(encoding: 'latin1'): string } {
  if (encoding === 'x-zstd') return Buffer.from(zstdDecompressSync(body));
  if (encoding === 'deflate') return inflateSync(body);
  return encoding === 'gzip' ? gunzipSync(body) : body;
}
