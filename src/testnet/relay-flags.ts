/**
 * Which flags the test authority gives: C tor's rules, for a network that is minutes old and has not been measured.
 *
 * Pure. What takes a history that such a network does not have is left out: HSDir (days of uptime), weighted uptime
 * and time known for Guard. All relays share one machine, so bandwidth tells nothing about them and every one is Fast.
 *
 * @source dir-spec "Assigning flags in a vote"
 */
import type { RouterFlagName } from '../netdoc/router-table.ts';

/** A descriptor older than this gets StaleDesc, as it will soon be dropped. */
const STALE_SEC = 18 * 3600;

/** What the flags of a relay hang on. */
export interface FlagFacts {
  readonly isAuthority: boolean;
  /** Whether its policy lets clients out to web ports. */
  readonly isExit: boolean;
  /** Whether it answers directory requests in circuits. */
  readonly servesDirectory: boolean;
  readonly uptimeSec: number;
  readonly descriptorAgeSec: number;
}

/** The flags that the authority knows, as its consensuses list them. */
export const KNOWN_FLAGS: readonly RouterFlagName[] = [
  'Authority',
  'Exit',
  'Fast',
  'Guard',
  'Running',
  'Stable',
  'StaleDesc',
  'V2Dir',
  'Valid',
];

/**
 * Half the median uptime: whoever has it is Stable.
 *
 * C tor takes the median itself; of relays started together half would miss it by a second.
 */
export function stableUptimeSec(uptimesSec: readonly number[]): number {
  if (uptimesSec.length === 0) return 0;
  const sorted = [...uptimesSec].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)]! / 2;
}

/** Give the flags of a running relay, in the order of `KNOWN_FLAGS`. */
export function relayFlags(facts: FlagFacts, stableSec: number): RouterFlagName[] {
  const isStable = facts.uptimeSec >= stableSec;
  const has: Partial<Record<RouterFlagName, boolean>> = {
    Authority: facts.isAuthority,
    Exit: facts.isExit,
    Fast: true,
    Guard: isStable && facts.servesDirectory,
    Running: true,
    Stable: isStable,
    StaleDesc: facts.descriptorAgeSec > STALE_SEC,
    V2Dir: facts.servesDirectory,
    Valid: true,
  };
  return KNOWN_FLAGS.filter((flag) => has[flag] === true);
}
