/**
 * Router entries of consensuses: the lines of one relay, from `r` to the next.
 *
 * Only `consensus.ts` reads them. A malformed entry costs the whole document, as in C tor.
 *
 * @source dir-spec "Router status entries"
 */
import type { ConsensusFlavour } from './consensus.ts';
import {
  base64Field,
  ipv4Field,
  nicknameField,
  parseInteger,
  parseIpv6Endpoint,
  parseTime,
} from './field.ts';
import type { Item, ItemRules, ItemTable } from './item.ts';
import { parseProtocols } from './protover.ts';
import type { RouterStatus } from './router-table.ts';
import { RouterFlag } from './router-table.ts';

const UINT32_MAX = 4294967295;
const ANY_NUMBER = Number.MAX_SAFE_INTEGER;

/** What a router's entry has. */
export const ROUTER_RULES: ItemRules = {
  r: { min: 1, args: 7 },
  a: { max: ANY_NUMBER, args: 1 },
  s: { min: 1 },
  v: {},
  pr: { min: 1 },
  w: {},
  p: {},
  m: { max: ANY_NUMBER, args: 1 },
  id: { max: ANY_NUMBER, args: 2 },
};

function readFlags(item: Item): number {
  // A relay is listed only when it is running and valid, so neither needs to be said.
  let flags = RouterFlag.Running | RouterFlag.Valid;
  for (const name of item.args) {
    if (Object.hasOwn(RouterFlag, name)) flags |= RouterFlag[name as keyof typeof RouterFlag];
  }
  return flags;
}

function readWeight(item: Item | null): { bandwidth: number; isUnmeasured: boolean } {
  let bandwidth = 0;
  let isUnmeasured = false;
  for (const text of item?.args ?? []) {
    if (text.startsWith('Bandwidth=')) {
      const value = parseInteger(text.slice('Bandwidth='.length), 0, UINT32_MAX);
      if (value === null) throw item!.malformed('has a bad bandwidth');
      bandwidth = value;
    } else if (text.startsWith('Unmeasured=1')) {
      isUnmeasured = true;
    }
  }
  return { bandwidth, isUnmeasured };
}

const ZERO_SHA256 = new Uint8Array(32);

/** Reads router entries, and checks each distinct protocol list only once. */
export class RouterReader {
  readonly #flavour: ConsensusFlavour;
  readonly #goodProtos = new Set<string>();

  constructor(flavour: ConsensusFlavour) {
    this.#flavour = flavour;
  }

  read(table: ItemTable): RouterStatus {
    const r = table.get('r');
    const isNs = this.#flavour === 'ns';
    if (isNs) r.arg(7);
    // The microdesc flavour's `r` line lacks the descriptor digest.
    const at = isNs ? 3 : 2;
    const publishedSec = parseTime(`${r.arg(at)} ${r.arg(at + 1)}`);
    if (publishedSec === null) throw r.malformed('has a bad time');
    const policy = table.find('p');
    if (policy !== null && !/^(accept|reject) /.test(policy.rest))
      throw policy.malformed('is no policy summary');
    return {
      nickname: nicknameField(r, 0),
      rsaId: base64Field(r, 1, 20),
      digest: isNs ? base64Field(r, 2, 20) : this.#microdescDigest(table.find('m')),
      publishedSec,
      address: ipv4Field(r, at + 2),
      orPort: parseInteger(r.arg(at + 3), 0, 65535) ?? 0,
      dirPort: parseInteger(r.arg(at + 4), 0, 65535) ?? 0,
      ipv6: this.#ipv6(table.all('a')),
      flags: readFlags(table.get('s')),
      ...readWeight(table.find('w')),
      proto: this.#proto(table.get('pr')),
      version: table.find('v')?.rest.trimEnd() ?? null,
    };
  }

  /** A relay without a microdescriptor is listed too; its digest is then zero. */
  #microdescDigest(item: Item | null): Uint8Array {
    return item === null ? ZERO_SHA256 : base64Field(item, 0, 32);
  }

  #ipv6(items: readonly Item[]): RouterStatus['ipv6'] {
    for (const item of items) {
      const endpoint = parseIpv6Endpoint(item.arg(0));
      if (endpoint !== null) return endpoint;
    }
    return null;
  }

  #proto(item: Item): string {
    const text = item.rest.trimEnd();
    if (!this.#goodProtos.has(text)) {
      parseProtocols(text);
      this.#goodProtos.add(text);
    }
    return text;
  }
}
