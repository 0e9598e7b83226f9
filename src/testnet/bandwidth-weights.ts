/**
 * The `bandwidth-weights` line of a consensus: how clients spread load over guards, middles and exits.
 *
 * Pure. The cases are those of the directory specification, in whole numbers as C tor computes them; where they give
 * nothing sensible the line is left out, and clients take every relay as it comes.
 *
 * @source dir-spec "Computing bandwidth weights"
 */

const SCALE = 10_000;
/** How far a sum may miss. */
const MARGIN = 10;

/** Bandwidth by what relays may be, in the unit of `w` lines. */
export interface ClassBandwidth {
  readonly guard: number;
  readonly middle: number;
  readonly exit: number;
  /** Guard and exit at once. */
  readonly both: number;
}

/** Shares of `SCALE`: `gd` is the weight of a guard-and-exit in the guard position, and so on. */
interface Weights {
  readonly gg: number;
  readonly gd: number;
  readonly mg: number;
  readonly me: number;
  readonly md: number;
  readonly ee: number;
  readonly ed: number;
}

/** Print the line without its newline; null where no case fits. */
export function printBandwidthWeights(bandwidth: ClassBandwidth): string | null {
  // One is added to each, so that nothing is divided by zero.
  const g = bandwidth.guard + 1;
  const m = bandwidth.middle + 1;
  const e = bandwidth.exit + 1;
  const d = bandwidth.both + 1;
  const weights = weigh(g, m, e, d, g + m + e + d - 4);
  if (weights === null) return null;
  const { gg, gd, mg, me, md, ee, ed } = weights;
  return [
    `bandwidth-weights Wbd=${md} Wbe=${me} Wbg=${mg} Wbm=${SCALE} Wdb=${SCALE}`,
    `Web=${SCALE} Wed=${ed} Wee=${ee} Weg=${ed} Wem=${ee}`,
    `Wgb=${SCALE} Wgd=${gd} Wgg=${gg} Wgm=${gg}`,
    `Wmb=${SCALE} Wmd=${md} Wme=${me} Wmg=${mg} Wmm=${SCALE}`,
  ].join(' ');
}

/** Share out a class: the part is whole, as in integer division. */
function part(numerator: number, denominator: number): number {
  return Math.trunc((SCALE * numerator) / denominator);
}

function weigh(g: number, m: number, e: number, d: number, t: number): Weights | null {
  if (3 * e >= t && 3 * g >= t) return checked(plenty(g, m, e), g, m, e, d, t);
  if (3 * e < t && 3 * g < t) {
    return Math.min(e, g) + d < Math.max(e, g) ? allToScarcer(g, e) : balanceBoth(g, m, e, d, t);
  }
  if (3 * (Math.min(e, g) + d) < t) return spareFromPlenty(g, m, e);
  return checked(g < e ? guardsScarce(g, m, e, d) : exitsScarce(g, m, e, d), g, m, e, d, t);
}

/** Case 1: neither guards nor exits are scarce. */
function plenty(g: number, m: number, e: number): Weights {
  const third = Math.trunc(SCALE / 3);
  const ee = part(e + g + m, 3 * e);
  const mg = part(2 * g - e - m, 3 * g);
  return { gd: third, ed: third, md: third, ee, me: SCALE - ee, mg, gg: SCALE - mg };
}

/** Case 2a: both are scarce, and what can be both is not enough to level them. */
function allToScarcer(g: number, e: number): Weights {
  const toExit = e < g;
  return { gg: SCALE, ee: SCALE, mg: 0, me: 0, md: 0, ed: toExit ? SCALE : 0, gd: toExit ? 0 : SCALE };
}

/** Case 2b: both are scarce, and what can be both levels them. */
function balanceBoth(g: number, m: number, e: number, d: number, t: number): Weights | null {
  const ed = part(d - 2 * e + 4 * g - 2 * m, 3 * d);
  const half = Math.trunc((SCALE - ed) / 2);
  const first = { ee: part(e - g + m, e), ed, me: part(g - m, e), mg: 0, gg: SCALE, md: half, gd: half };
  const good = checked(first, g, m, e, d, t);
  if (good !== null) return good;
  const ed2 = part(d - 2 * e + g + m, 3 * d);
  const md2 = Math.max(0, part(d - 2 * m + g + e, 3 * d));
  const second = { gg: SCALE, ee: SCALE, ed: ed2, md: md2, me: 0, mg: 0, gd: SCALE - ed2 - md2 };
  // Middles may be out of balance here: nothing else can be done for them.
  return checked(second, g, m, e, d, t, false);
}

/** Case 3a: one of both is so scarce that the other has some to spare. */
function spareFromPlenty(g: number, m: number, e: number): Weights {
  if (g < e) {
    const me = e < m ? 0 : part(e - m, 2 * e);
    return { gg: SCALE, gd: SCALE, md: 0, ed: 0, mg: 0, me, ee: SCALE - me };
  }
  const mg = g < m ? 0 : part(g - m, 2 * g);
  return { ee: SCALE, ed: SCALE, md: 0, gd: 0, me: 0, mg, gg: SCALE - mg };
}

/** Case 3b, guards scarce. */
function guardsScarce(g: number, m: number, e: number, d: number): Weights {
  const gd = part(d - 2 * g + e + m, 3 * d);
  const ee = part(e + m, 2 * e);
  const half = Math.trunc((SCALE - gd) / 2);
  return { gg: SCALE, gd, mg: 0, ee, me: SCALE - ee, md: half, ed: half };
}

/** Case 3b, exits scarce. */
function exitsScarce(g: number, m: number, e: number, d: number): Weights {
  const ed = part(d - 2 * e + g + m, 3 * d);
  const gg = part(g + m, 2 * g);
  const half = Math.trunc((SCALE - ed) / 2);
  return { ee: SCALE, ed, me: 0, gg, mg: SCALE - gg, md: half, gd: half };
}

/** Give the weights back if they are shares, add up and balance the positions; else null. */
function checked(
  weights: Weights,
  g: number,
  m: number,
  e: number,
  d: number,
  t: number,
  middlesBalance = true,
): Weights | null {
  const { gg, gd, mg, me, md, ee, ed } = weights;
  const near = (a: number, b: number, margin: number): boolean => Math.abs(a - b) <= margin;
  const sums = [ed + md + gd, mg + gg, me + ee];
  if (!sums.every((sum) => near(sum, SCALE, MARGIN))) return null;
  if (![gg, gd, mg, me, md, ee, ed].every((share) => share >= 0 && share <= SCALE)) return null;
  const margin = (MARGIN * t) / 3;
  const guards = gg * g + gd * d;
  if (!near(guards, ee * e + ed * d, margin)) return null;
  if (middlesBalance && !near(guards, m * SCALE + md * d + me * e + mg * g, margin)) return null;
  return weights;
}
