/**
 * What workers need to be an exit, from torrc, consensus and the system's resolver configuration: the policy, who may
 * open streams, where connections leave from, and whom to ask for names. Plain values.
 */
import type { Endpoint } from '../bytes/address.ts';
import type { AddressRule } from '../bytes/address-rule.ts';

/** Whom to ask for names, and how. */
export interface DnsParams {
  /** Counts up with each new configuration: what was learnt of nameservers holds for one. */
  readonly generation: number;
  /** Asked in turn. */
  readonly nameservers: readonly Endpoint[];
  /** Domains that are tried behind names; empty unless torrc wants it. */
  readonly search: readonly string[];
  /** Names with so many dots are tried as they are first. */
  readonly ndots: number;
  /** Mix the case of letters in questions; an answer must repeat it. */
  readonly randomizeCase: boolean;
  /** Names may have other characters than letters, digits, `-`, `_` and dots. */
  readonly allowNonRfc953: boolean;
  /** How long to wait for an answer, and how often to ask. */
  readonly timeoutMs: number;
  readonly attempts: number;
  /** Test whether nameservers make up answers, with these names that certainly exist. */
  readonly detectHijacking: boolean;
  readonly testNames: readonly string[];
  /** Addresses that nameservers give for names that do not exist: answers with them count as none. */
  readonly hijackedHosts: readonly Uint8Array[];
}

/** What an exit acts on. */
export interface ExitParams {
  /** The policy, first match wins; `edge/exit-policy` compiles it. It rejects everything on a relay that is no exit. */
  readonly rules: readonly AddressRule[];
  readonly ipv6Exit: boolean;
  /** Streams only from links of relays that the consensus lists. */
  readonly refuseUnknown: boolean;
  /** Streams may go to the ORPorts of relays and authorities. */
  readonly allowReentry: boolean;
  /** A changed policy ends streams that it no longer accepts. */
  readonly reevaluate: boolean;
  /** Source addresses of exit connections; null leaves it to the kernel. */
  readonly bindIpv4: string | null;
  readonly bindIpv6: string | null;
  readonly dns: DnsParams;
}
