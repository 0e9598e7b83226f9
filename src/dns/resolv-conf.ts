/**
 * The resolver's configuration file, `resolv.conf`: nameservers, search domains, how many dots make a whole name.
 *
 * Pure, and lenient as libevent, which C tor reads it with: lines that it does not know are skipped. Its other
 * options (timeouts, attempts) are C tor's own business and not taken from the file.
 *
 * @source resolv.conf(5); libevent's evdns
 */
import { type Endpoint, parseIp } from '../bytes/address.ts';

const DNS_PORT = 53;
/** More than these are of no use. */
const NAMESERVERS_MOST = 8;
const DOMAINS_MOST = 16;
const NDOTS_USUAL = 1;
const NDOTS_MOST = 15;

/** What a file says. */
export interface ResolvConf {
  readonly nameservers: readonly Endpoint[];
  /** In order. */
  readonly search: readonly string[];
  readonly ndots: number;
}

/** Read a file. */
export function parseResolvConf(text: string): ResolvConf {
  const nameservers: Endpoint[] = [];
  let search: string[] = [];
  let ndots = NDOTS_USUAL;
  for (const line of text.split('\n')) {
    const [word, ...values] = line.split(/[ \t\r]+/).filter((each) => each !== '');
    if (word === 'nameserver') {
      const endpoint = parseNameserver(values[0] ?? '');
      if (endpoint !== null && nameservers.length < NAMESERVERS_MOST) nameservers.push(endpoint);
    } else if (word === 'domain' && values.length > 0) {
      search = values.slice(0, 1).map(bareDomain);
    } else if (word === 'search') {
      search = values.slice(0, DOMAINS_MOST).map(bareDomain);
    } else if (word === 'options') {
      for (const value of values) {
        const found = /^ndots:([0-9]{1,3})$/.exec(value);
        if (found !== null) ndots = Math.min(NDOTS_MOST, Number(found[1]));
      }
    }
  }
  return { nameservers, search: search.filter((domain) => domain !== ''), ndots };
}

function bareDomain(domain: string): string {
  return domain.replace(/^\.+|\.+$/g, '');
}

/** `192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1` or `[2001:db8::1]:5353`; null for anything else. */
function parseNameserver(text: string): Endpoint | null {
  const host = parseIp(text);
  if (host !== null) return { host, port: DNS_PORT };
  const found = /^(\[[^\]]+\]|[^:]+):([0-9]{1,5})$/.exec(text);
  const address = found === null ? null : parseIp(found[1]!);
  const port = Number(found?.[2]);
  return address === null || port < 1 || port > 65535 ? null : { host: address, port };
}
