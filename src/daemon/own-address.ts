/**
 * The addresses at which the network shall find us: torrc's Address lines, host names among them looked up.
 *
 * Names are looked up at start, after a reload and every hour. A lookup that fails keeps what the last one gave.
 */
import { lookup } from 'node:dns/promises';
import { networkInterfaces } from 'node:os';
import { parseIp } from '../bytes/address.ts';
import { type AddressChoice, choosePublishedAddress } from '../directory/published-address.ts';
import { log } from '../log.ts';
import type { RelayOptions } from '../torrc/relay-options.ts';
import type { AdvertisedOrPort } from './ports.ts';

/** Gives the addresses of a host name, as text; rejects when there are none. */
export type LookUpName = (name: string) => Promise<string[]>;

const LOOKUP_TIMEOUT_MS = 5000;

/** What the choice depends on. */
export type AddressOptions = Pick<
  RelayOptions,
  'addresses' | 'addressDisableIpv6' | 'assumeReachable' | 'assumeReachableIpv6' | 'dirAllowPrivateAddresses'
>;

/** Our addresses. One per process. */
export class OwnAddress {
  private readonly lookUpName: LookUpName;
  private readonly found = new Map<string, readonly string[]>();

  constructor(lookUpName: LookUpName = systemLookup) {
    this.lookUpName = lookUpName;
  }

  /** Look up the names among Address lines. Names that fail are warned of. */
  async resolve(addresses: readonly string[]): Promise<void> {
    const names = addresses.filter((text) => parseIp(text) === null);
    for (const name of this.found.keys()) if (!names.includes(name)) this.found.delete(name);
    await Promise.all(names.map((name) => this.resolveName(name)));
  }

  private async resolveName(name: string): Promise<void> {
    const { promise: tooLate, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Error('no answer')), LOOKUP_TIMEOUT_MS);
    try {
      this.found.set(name, await Promise.race([this.lookUpName(name), tooLate]));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const kept = this.found.get(name);
      const then = kept === undefined ? '' : `; going on with ${kept.join(', ')}`;
      log.warn('config', `Address ${name} cannot be looked up (${why})${then}.`);
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Choose what to publish.
   * @param assumeIpv6 whether the consensus lets relays assume that their IPv6 port can be reached
   */
  choose(
    options: AddressOptions,
    ports: readonly AdvertisedOrPort[],
    assumeIpv6: boolean,
    interfaces: readonly Uint8Array[] = hostAddresses(),
  ): AddressChoice {
    const { addresses, addressDisableIpv6, assumeReachable, assumeReachableIpv6 } = options;
    const showIpv6 = !addressDisableIpv6 && (assumeReachable || assumeReachableIpv6 || assumeIpv6);
    const lines = addresses.flatMap((text) => this.found.get(text) ?? [text]);
    return choosePublishedAddress(
      lines,
      showIpv6 ? ports : ports.filter(({ host }) => host.length === 4),
      interfaces,
      options.dirAllowPrivateAddresses,
    );
  }
}

async function systemLookup(name: string): Promise<string[]> {
  return (await lookup(name, { all: true })).map(({ address }) => address);
}

function hostAddresses(): Uint8Array[] {
  const hosts: Uint8Array[] = [];
  for (const list of Object.values(networkInterfaces())) {
    for (const { address } of list ?? []) {
      const host = parseIp(address);
      if (host !== null) hosts.push(host);
    }
  }
  return hosts;
}
