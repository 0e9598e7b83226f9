/**
 * The addresses at which the network shall find us: torrc's Address lines, host names among them looked up; else what
 * the host and the directory authorities know.
 *
 * Names are looked up at start, after a reload and every hour. A lookup that fails keeps what the last one gave. Only
 * what comes from an authority's own address counts as its word, and never an address that is private or its own.
 */
import { lookup } from 'node:dns/promises';
import { hostname, networkInterfaces } from 'node:os';
import { isInternalIp, parseIp, printIp, sameIp } from '../bytes/address.ts';
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
  'addresses' | 'addressDisableIpv6' | 'dirAllowPrivateAddresses'
>;

/** Our addresses. One per process. */
export class OwnAddress {
  private readonly lookUpName: LookUpName;
  private readonly authorityHosts: readonly Uint8Array[];
  private readonly found = new Map<string, readonly string[]>();
  /** What the host's name stands for. */
  private ofHostName: readonly Uint8Array[] = [];
  /** What authorities said last, of IPv4 and IPv6. */
  private suggestedIpv4: Uint8Array | null = null;
  private suggestedIpv6: Uint8Array | null = null;

  /** @param authorityHosts addresses of the directory authorities */
  constructor(authorityHosts: readonly Uint8Array[] = [], lookUpName: LookUpName = systemLookup) {
    this.authorityHosts = authorityHosts;
    this.lookUpName = lookUpName;
  }

  /** Look up the names among Address lines, and without any the host's own. Names that fail are warned of. */
  async resolve(addresses: readonly string[]): Promise<void> {
    const names = addresses.filter((text) => parseIp(text) === null);
    for (const name of this.found.keys()) if (!names.includes(name)) this.found.delete(name);
    await Promise.all([
      ...names.map((name) => this.resolveName(name)),
      ...(addresses.length === 0 ? [this.resolveHostName()] : []),
    ]);
  }

  /** That a host does not know its own name is usual, and nothing to speak of. */
  private async resolveHostName(): Promise<void> {
    try {
      const found = await this.inTime(hostname());
      this.ofHostName = found.flatMap((text) => parseIp(text) ?? []);
    } catch (error) {
      log.info('config', `This host's name cannot be looked up (${whyOf(error)}).`);
    }
  }

  /**
   * Note at which address an authority sees us, if it is one and can be believed.
   * @param from where that was said
   * @returns whether that is news
   */
  suggest(host: Uint8Array, from: Uint8Array): boolean {
    if (!this.authorityHosts.some((known) => sameIp(known, from))) return false;
    if (isInternalIp(host) || sameIp(host, from)) return false;
    const before = host.length === 4 ? this.suggestedIpv4 : this.suggestedIpv6;
    if (before !== null && sameIp(before, host)) return false;
    if (host.length === 4) this.suggestedIpv4 = host;
    else this.suggestedIpv6 = host;
    log.info('config', `A directory authority sees us at ${printIp(host)}.`);
    return true;
  }

  private async resolveName(name: string): Promise<void> {
    try {
      this.found.set(name, await this.inTime(name));
    } catch (error) {
      const why = whyOf(error);
      const kept = this.found.get(name);
      const then = kept === undefined ? '' : `; going on with ${kept.join(', ')}`;
      log.warn('config', `Address ${name} cannot be looked up (${why})${then}.`);
    }
  }

  private async inTime(name: string): Promise<string[]> {
    const { promise: tooLate, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Error('no answer')), LOOKUP_TIMEOUT_MS);
    try {
      return await Promise.race([this.lookUpName(name), tooLate]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Choose what to publish. */
  choose(
    options: AddressOptions,
    ports: readonly AdvertisedOrPort[],
    interfaces: readonly Uint8Array[] = hostAddresses(),
  ): AddressChoice {
    const { addresses, addressDisableIpv6, dirAllowPrivateAddresses } = options;
    const lines = addresses.flatMap((text) => this.found.get(text) ?? [text]);
    const suggested = [this.suggestedIpv4, this.suggestedIpv6].filter((host) => host !== null);
    return choosePublishedAddress(
      lines,
      addressDisableIpv6 ? ports.filter(({ host }) => host.length === 4) : ports,
      { interfaces, hostName: this.ofHostName, suggested },
      dirAllowPrivateAddresses,
    );
  }
}

function whyOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
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
