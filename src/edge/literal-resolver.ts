/**
 * Looks up what needs no nameserver: addresses written as such. For every other name it says "not now".
 *
 * What a worker has that was given no nameserver to ask.
 */
import { parseIp } from '../bytes/address.ts';
import {
  LITERAL_TTL_SEC,
  type Lookup,
  type NameAnswer,
  type NameResolver,
  type OnAnswer,
  type Wanted,
} from './resolver.ts';

const DONE: Lookup = { cancel() {} };
const LATER: NameAnswer = {
  ipv4: null,
  ipv6: null,
  hostname: null,
  ttlSec: LITERAL_TTL_SEC,
  failure: 'transient',
};

/** Knows literals. */
export class LiteralResolver implements NameResolver {
  resolve(name: string, want: Wanted, done: OnAnswer): Lookup {
    const host = parseIp(name);
    const ipv4 = want.ipv4 && host?.length === 4 ? host : null;
    const ipv6 = want.ipv6 && host?.length === 16 ? host : null;
    done(ipv4 === null && ipv6 === null ? LATER : { ...LATER, ipv4, ipv6, failure: null });
    return DONE;
  }

  reverse(_host: Uint8Array, done: OnAnswer): Lookup {
    done(LATER);
    return DONE;
  }

  resolveMessage(text: string, done: OnAnswer): Lookup {
    return this.resolve(text, { ipv4: true, ipv6: true }, done);
  }
}
