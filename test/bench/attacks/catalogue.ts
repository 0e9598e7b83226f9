/** All attacks by name. */
import type { Attack, AttackPlan } from './attack.ts';
import {
  CreateFastFlood,
  CreateGarbage,
  EarlyAbuse,
  NeverRead,
  StillBorn,
  UnknownCells,
  UnknownDestroys,
} from './circuit-attacks.ts';
import { HalfOpen, HelloStorm, ResetStorm, Trickle, VersionsFlood } from './link-attacks.ts';

export const ATTACKS = {
  'half-open': HalfOpen,
  trickle: Trickle,
  versions: VersionsFlood,
  'client-hellos': HelloStorm,
  resets: ResetStorm,
  'create-garbage': CreateGarbage,
  'create-fast': CreateFastFlood,
  'still-born': StillBorn,
  'relay-early': EarlyAbuse,
  'never-read': NeverRead,
  'unknown-cells': UnknownCells,
  'unknown-destroys': UnknownDestroys,
} as const satisfies Record<string, new (plan: AttackPlan) => Attack>;

export type AttackName = keyof typeof ATTACKS;

export const ATTACK_NAMES = Object.keys(ATTACKS) as AttackName[];

/** Connections per second and links of each attack, unless told otherwise. */
export const STRENGTH: Readonly<Record<AttackName, { connectsPerSec: number; links: number }>> = {
  'half-open': { connectsPerSec: 2000, links: 0 },
  trickle: { connectsPerSec: 500, links: 500 },
  versions: { connectsPerSec: 2000, links: 64 },
  'client-hellos': { connectsPerSec: 3000, links: 0 },
  resets: { connectsPerSec: 5000, links: 0 },
  'create-garbage': { connectsPerSec: 0, links: 2 },
  'create-fast': { connectsPerSec: 0, links: 2 },
  'still-born': { connectsPerSec: 0, links: 2 },
  'relay-early': { connectsPerSec: 0, links: 4 },
  'never-read': { connectsPerSec: 0, links: 4 },
  'unknown-cells': { connectsPerSec: 0, links: 1 },
  'unknown-destroys': { connectsPerSec: 0, links: 1 },
};
