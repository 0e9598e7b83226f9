/** What an exit acts on, for tests: the policy of a relay that is none, and no nameserver to ask. */
import { REJECT_ALL } from '../../src/netdoc/exit-policy.ts';
import type { DnsParams, ExitParams } from '../../src/shm/exit-params.ts';

export const DNS_PARAMS: DnsParams = {
  generation: 1,
  nameservers: [],
  search: [],
  ndots: 1,
  randomizeCase: true,
  allowNonRfc953: false,
  timeoutMs: 1000,
  attempts: 2,
  detectHijacking: false,
  testNames: [],
  hijackedHosts: [],
};

export const EXIT_PARAMS: ExitParams = {
  rules: REJECT_ALL,
  ipv6Exit: false,
  refuseUnknown: true,
  allowReentry: false,
  reevaluate: false,
  bindIpv4: null,
  bindIpv6: null,
  dns: DNS_PARAMS,
};
