/** Whether a plan can be carried out. Pure. */
import { OperatorError } from '../fault.ts';
import { BUFFER_CELLS } from './flood.ts';
import { requireLoopback } from './link.ts';
import type { FloodPlan, LinkPlan, LoadPlan, LoadTarget, ProbePlan } from './plan.ts';

const PORT_MAX = 65535;

function refuse(what: string, where: string, hint: string): never {
  throw new OperatorError(what, where, hint);
}

function atLeast(value: number, least: number, where: string): void {
  if (!Number.isFinite(value) || value < least)
    refuse(`${value} will not do`, where, `take at least ${least}`);
}

function whole(value: number, least: number, where: string): void {
  atLeast(value, least, where);
  if (!Number.isSafeInteger(value)) refuse(`${value} will not do`, where, 'take a whole number');
}

function checkPorts(ports: readonly number[] | null, wanted: number, where: string): void {
  if (ports === null) return;
  if (ports.length !== wanted) refuse(`${ports.length} ports`, where, `give ${wanted}, one per connection`);
  for (const port of ports) {
    whole(port, 1, where);
    if (port > PORT_MAX) refuse(`there is no port ${port}`, where, `ports end at ${PORT_MAX}`);
  }
  if (new Set(ports).size !== ports.length) refuse('a port is named twice', where, 'give each once');
}

function checkLinks({ connections, ports, spare }: LinkPlan): void {
  whole(connections, 1, 'connections');
  whole(spare, 0, 'spare connections');
  checkPorts(ports, connections + spare, 'ports');
}

function checkProbe(probe: ProbePlan): void {
  whole(probe.circuits, 1, 'probe circuits');
  whole(probe.probes, 1, 'probes');
  atLeast(probe.gapMs, 0, 'gap between probes');
  checkPorts(probe.ports, probe.circuits, 'probe ports');
}

function checkFlood({ links, route, circuits, ...plan }: FloodPlan): void {
  checkLinks(links);
  whole(circuits, links.connections, 'circuits');
  whole(route.nextHops, 1, 'next hops');
  whole(plan.window, 1, 'window');
  whole(plan.burst, 1, 'burst');
  if (plan.burst > BUFFER_CELLS) refuse(`${plan.burst} will not do`, 'burst', `take at most ${BUFFER_CELLS}`);
  atLeast(plan.bytes, 0, 'bytes');
  atLeast(plan.warmUpBytes, 0, 'warm-up');
  if (plan.bytesPerSec !== null) atLeast(plan.bytesPerSec, 1, 'rate');
  const { nextHops, routes, dialers } = route;
  if (routes !== null && routes.length !== links.connections) {
    refuse(`${routes.length} routes`, 'routes', `give ${links.connections}, one per connection`);
  }
  for (const hops of routes ?? []) {
    if (hops.length === 0 || !hops.every((hop) => Number.isInteger(hop) && hop >= 0 && hop < nextHops))
      refuse('a route names no next hop that there is', 'routes', `they are 0 to ${nextHops - 1}`);
  }
  if (dialers === null) return;
  const good = (dialer: number) => Number.isInteger(dialer) && dialer >= 0 && dialer < links.connections;
  if (dialers.length !== nextHops || !dialers.every(good))
    refuse('the dialers do not match', 'dialers', 'name one connection for each next hop');
}

/** See that a plan makes sense and that its target is on loopback. @throws OperatorError */
export function checkPlan(plan: LoadPlan, target: LoadTarget): void {
  requireLoopback(target.host, `${target.host}:${target.port}`);
  switch (plan.mode) {
    case 'flood':
      checkFlood(plan);
      break;
    case 'latency':
      checkProbe(plan.probe);
      if (plan.beside !== null) checkFlood(plan.beside);
      break;
    case 'churn':
      checkLinks(plan.links);
      whole(plan.nextHops, 1, 'next hops');
      whole(plan.inFlight, 1, 'handshakes in flight');
      whole(plan.warmUpCircuits, 0, 'warm-up circuits');
      if (plan.circuits !== null) whole(plan.circuits, 1, 'circuits');
      else if (plan.probe === null) refuse('no end is given', 'circuits', 'give their number, or a probe');
      if (plan.probe !== null) checkProbe(plan.probe);
      break;
    case 'idle':
      whole(plan.links, 1, 'links');
      whole(plan.addresses, 1, 'addresses');
      whole(plan.opening, 1, 'links opening at once');
      atLeast(plan.holdMs, 0, 'hold');
      break;
    case 'directory':
      whole(plan.connections, 1, 'connections');
      whole(plan.circuits, plan.connections, 'circuits');
      whole(plan.streams, 1, 'streams');
      whole(plan.total, 1, 'requests');
      whole(plan.warmUpTotal, 0, 'requests before');
      break;
    case 'exit':
      whole(plan.connections, 1, 'connections');
      whole(plan.circuits, plan.connections, 'circuits');
      whole(plan.streams, plan.circuits, 'streams');
      atLeast(plan.bytes, 0, 'bytes');
      atLeast(plan.warmUpBytes, 0, 'warm-up');
      break;
  }
}
