/**
 * What an application says before its bytes flow: SOCKS 4, 4a and 5 up to the request to connect, and the answers.
 *
 * Bytes in, bytes out, no I/O. With SOCKS 5 a user name and a password are taken from anybody: they only keep apart
 * the circuits of applications, as in C tor. Commands but CONNECT are refused.
 *
 * @source RFC 1928, RFC 1929; socks-extensions
 */
import { parseIp, printIp } from '../bytes/address.ts';
import { EndReason } from '../cell/reason.ts';

/** Longer than any request that makes sense: a greeting, a password, a host name. */
const BYTES_MAX = 1100;
const SOCKS5 = 5;
const SOCKS4 = 4;
const CONNECT = 1;
const NO_AUTHENTICATION = 0;
const USER_PASSWORD = 2;
const NO_METHOD = 0xff;
const IPV4 = 1;
const NAME = 3;
const IPV6 = 4;

/** Replies of SOCKS 5. */
const Reply = {
  GRANTED: 0,
  FAILURE: 1,
  NOT_ALLOWED: 2,
  NO_ROUTE: 3,
  UNREACHABLE: 4,
  REFUSED: 5,
  EXPIRED: 6,
  UNKNOWN_COMMAND: 7,
  UNKNOWN_ADDRESS: 8,
} as const;

/** Where an application wants to go. */
export interface SocksRequest {
  /** A name or an address, without brackets. */
  readonly host: string;
  readonly port: number;
  /** The address, if the host is one. */
  readonly address: Uint8Array | null;
  /** Requests with another key go by another circuit. */
  readonly isolation: string;
}

/** What a chunk led to. */
export interface SocksStep {
  /** Bytes for the application; may be empty. */
  readonly write: Uint8Array;
  readonly request: SocksRequest | null;
  /** With the request: what came behind it. */
  readonly rest: Uint8Array;
  /** Nothing good will come of this connection. */
  readonly failed: boolean;
}

const NOTHING = new Uint8Array(0);
const MORE: SocksStep = { write: NOTHING, request: null, rest: NOTHING, failed: false };

type State = 'greeting' | 'password' | 'request' | 'done';

/** One application's handshake. */
export class SocksHandshake {
  private bytes: Uint8Array = NOTHING;
  private state: State = 'greeting';
  private version = 0;
  private isolation = '';

  /** Take bytes from the application. */
  push(chunk: Uint8Array): SocksStep {
    if (this.state === 'done') return { ...MORE, failed: true };
    this.bytes = this.bytes.length === 0 ? chunk.slice() : Buffer.concat([this.bytes, chunk]);
    const written: Uint8Array[] = [];
    for (;;) {
      const before: State = this.state;
      const step = this.advance();
      written.push(step.write);
      const isFinal = step.failed || step.request !== null;
      if (isFinal) this.state = 'done';
      else if (step === MORE && this.bytes.length > BYTES_MAX) return this.fail(NOTHING);
      else if (this.state !== before) continue;
      return { ...step, write: Buffer.concat(written) };
    }
  }

  /** What tells the application that the connection is there. */
  granted(): Uint8Array {
    return this.version === SOCKS4 ? reply4(true) : reply5(Reply.GRANTED);
  }

  /** What tells it that there is none, for this reason of END. */
  refused(reason: number): Uint8Array {
    return this.version === SOCKS4 ? reply4(false) : reply5(REPLIES.get(reason) ?? Reply.FAILURE);
  }

  private fail(write: Uint8Array): SocksStep {
    this.state = 'done';
    return { write, request: null, rest: NOTHING, failed: true };
  }

  private take(length: number): Uint8Array {
    const taken = this.bytes.subarray(0, length);
    this.bytes = this.bytes.subarray(length);
    return taken;
  }

  private advance(): SocksStep {
    if (this.state === 'greeting') {
      const version = this.bytes[0];
      if (version === undefined) return MORE;
      this.version = version;
      if (version === SOCKS4) return this.request4();
      return version === SOCKS5 ? this.greeting() : this.fail(NOTHING);
    }
    return this.state === 'password' ? this.password() : this.request5();
  }

  private greeting(): SocksStep {
    const count = this.bytes[1];
    if (count === undefined || this.bytes.length < 2 + count) return MORE;
    const methods = this.take(2 + count).subarray(2);
    if (methods.includes(USER_PASSWORD)) {
      this.state = 'password';
      return { ...MORE, write: Uint8Array.of(SOCKS5, USER_PASSWORD) };
    }
    if (!methods.includes(NO_AUTHENTICATION)) return this.fail(Uint8Array.of(SOCKS5, NO_METHOD));
    this.state = 'request';
    return { ...MORE, write: Uint8Array.of(SOCKS5, NO_AUTHENTICATION) };
  }

  private password(): SocksStep {
    const { bytes } = this;
    const userEnd = 2 + (bytes[1] ?? 0);
    const passwordLength = bytes[userEnd];
    if (bytes.length < 2 || passwordLength === undefined) return MORE;
    const end = userEnd + 1 + passwordLength;
    if (bytes.length < end) return MORE;
    if (bytes[0] !== 1) return this.fail(Uint8Array.of(1, 1));
    this.isolation = Buffer.from(this.take(end)).toString('base64');
    this.state = 'request';
    return { ...MORE, write: Uint8Array.of(1, 0) };
  }

  private request5(): SocksStep {
    const { bytes } = this;
    if (bytes.length < 5) return MORE;
    const [version, command, , type] = bytes;
    if (version !== SOCKS5) return this.fail(NOTHING);
    const at = type === NAME ? 5 : 4;
    const length = type === IPV4 ? 4 : type === IPV6 ? 16 : type === NAME ? bytes[4]! : -1;
    if (length < 0) return this.fail(reply5(Reply.UNKNOWN_ADDRESS));
    if (bytes.length < at + length + 2) return MORE;
    if (command !== CONNECT) return this.fail(reply5(Reply.UNKNOWN_COMMAND));
    const taken = this.take(at + length + 2);
    const port = (taken[at + length]! << 8) | taken[at + length + 1]!;
    const field = taken.subarray(at, at + length);
    const host = type === NAME ? Buffer.from(field).toString('latin1') : printIp(field);
    return this.connect(host, port, reply5(Reply.NOT_ALLOWED));
  }

  private request4(): SocksStep {
    const { bytes } = this;
    const userEnd = bytes.indexOf(0, 8);
    if (bytes.length < 9 || userEnd < 0) return MORE;
    const address = bytes.subarray(4, 8);
    // 4a: an address 0.0.0.x, and the name behind the user.
    const isNamed = address[0] === 0 && address[1] === 0 && address[2] === 0 && address[3] !== 0;
    const end = isNamed ? bytes.indexOf(0, userEnd + 1) : userEnd;
    if (end < 0) return MORE;
    const taken = this.take(end + 1);
    if (taken[1] !== CONNECT) return this.fail(reply4(false));
    const port = (taken[2]! << 8) | taken[3]!;
    this.isolation = Buffer.from(taken.subarray(8, userEnd)).toString('base64');
    const host = isNamed
      ? Buffer.from(taken.subarray(userEnd + 1, end)).toString('latin1')
      : printIp(taken.subarray(4, 8));
    return this.connect(host, port, reply4(false));
  }

  private connect(host: string, port: number, refusal: Uint8Array): SocksStep {
    if (port === 0 || !/^[\x21-\x7e]{1,255}$/.test(host)) return this.fail(refusal);
    const address = parseIp(host);
    const plain = address === null ? host : printIp(address);
    const request = { host: plain, port, address, isolation: this.isolation };
    return { write: NOTHING, request, rest: this.take(this.bytes.length), failed: false };
  }
}

/** What to say for a reason of END. */
const REPLIES: ReadonlyMap<number, number> = new Map([
  [EndReason.RESOLVEFAILED, Reply.UNREACHABLE],
  [EndReason.CONNECTREFUSED, Reply.REFUSED],
  [EndReason.EXITPOLICY, Reply.NOT_ALLOWED],
  [EndReason.NOROUTE, Reply.NO_ROUTE],
  [EndReason.TIMEOUT, Reply.EXPIRED],
  [EndReason.DESTROY, Reply.EXPIRED],
]);

function reply5(code: number): Uint8Array {
  return Uint8Array.of(SOCKS5, code, 0, IPV4, 0, 0, 0, 0, 0, 0);
}

function reply4(granted: boolean): Uint8Array {
  return Uint8Array.of(0, granted ? 90 : 91, 0, 0, 0, 0, 0, 0);
}
