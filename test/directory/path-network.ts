/** A consensus of made-up relays, for path selection: each with what a test says of it. */
import type { RelayFacts } from '../../src/directory/path-node.ts';
import { parseSummary } from '../../src/netdoc/port-summary.ts';
import { RouterFlag, type RouterFlagName, RouterTable } from '../../src/netdoc/router-table.ts';

/** What a relay is; the rest is usual. */
export interface MadeRelay {
  readonly flags?: readonly RouterFlagName[];
  readonly bandwidth?: number;
  readonly ipv4?: readonly [number, number, number, number];
  readonly ipv6?: Uint8Array;
  readonly family?: readonly string[];
  readonly familyIds?: readonly string[];
  readonly policy?: string;
  readonly ipv6Policy?: string;
  readonly proto?: string;
  readonly nickname?: string;
  /** No microdescriptor is there. */
  readonly unknown?: boolean;
}

/** The fingerprint of the relay with this number. */
export function fingerprintOf(number: number): string {
  return number.toString(16).toUpperCase().padStart(40, '0');
}

/** Relays numbered from 1, in this order, each in a network of its own. */
export function makeConsensus(relays: readonly MadeRelay[], weights: Readonly<Record<string, number>> = {}) {
  const routers = new RouterTable(32);
  const facts = new Map<string, RelayFacts>();
  for (const [i, relay] of relays.entries()) {
    const number = i + 1;
    const rsaId = Buffer.from(fingerprintOf(number), 'hex');
    const digest = new Uint8Array(32);
    digest.set(rsaId);
    let flags = RouterFlag.Running | RouterFlag.Valid;
    for (const name of relay.flags ?? ['Fast', 'Stable']) flags |= RouterFlag[name];
    routers.append({
      nickname: relay.nickname ?? `r${number}`,
      rsaId,
      digest,
      publishedSec: 0,
      address: Uint8Array.from(relay.ipv4 ?? [10 + (number >> 8), number & 255, 0, 1]),
      orPort: 9001,
      dirPort: 0,
      ipv6: relay.ipv6 === undefined ? null : { host: relay.ipv6, port: 9002 },
      flags,
      bandwidth: relay.bandwidth ?? 100,
      isUnmeasured: false,
      proto: relay.proto ?? 'FlowCtrl=1-2 Link=3-5 Relay=2-4',
      version: null,
    });
    if (relay.unknown) continue;
    facts.set(fingerprintOf(number), {
      ntorOnionKey: new Uint8Array(32).fill(number),
      ed25519Id: new Uint8Array(32).fill(number + 1),
      family: relay.family ?? [],
      familyIds: relay.familyIds ?? [],
      policy: relay.policy === undefined ? null : parseSummary(relay.policy),
      ipv6Policy: relay.ipv6Policy === undefined ? null : parseSummary(relay.ipv6Policy),
    });
  }
  return {
    consensus: { routers, bandwidthWeights: new Map(Object.entries(weights)) },
    factsOf: (digest: Uint8Array): RelayFacts | null =>
      facts.get(Buffer.from(digest.subarray(0, 20)).toString('hex').toUpperCase()) ?? null,
  };
}
