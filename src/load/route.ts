/** Which circuit of a load goes to which next hop. Pure. */

/**
 * Find the next hop of a circuit.
 *
 * @param routes for each connection the next hops that its circuits take in turn; null: connection c starts at next
 *   hop c and takes all in turn. So as many circuits as connections reach as many next hops, and with more circuits
 *   every connection meets every next hop.
 */
export function hopOf(
  circuit: number,
  connections: number,
  nextHops: number,
  routes: readonly (readonly number[])[] | null,
): number {
  const connection = circuit % connections;
  const turn = Math.floor(circuit / connections);
  if (routes === null) return (connection + turn) % nextHops;
  const route = routes[connection]!;
  return route[turn % route.length]!;
}
