/**
 * The lines that an operator reads every HeartbeatPeriod: is it up, is it used, is it listed.
 *
 * Text from counters only: who reads the counters and who writes the log lives elsewhere.
 */

/** What the heartbeat tells, all counted since the start unless said otherwise. */
export interface HeartbeatCounters {
  readonly uptimeSec: number;
  /** Open now. */
  readonly circuits: number;
  /** Links open now. */
  readonly channels: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly acceptedIpv4: number;
  readonly acceptedIpv6: number;
  readonly dialledIpv4: number;
  readonly dialledIpv6: number;
  readonly cellsRelayed: number;
  /** Onion handshakes asked of us and answered, by kind, since the last heartbeat. */
  readonly handshakes: readonly HandshakeCount[];
  readonly defences: DefenceCounts;
  /** Whether we should be in the consensus, and are: null when we do not publish or hold no live consensus. */
  readonly listed: boolean | null;
  readonly workers: number;
  /** Workers that died and were started again. */
  readonly workersRestarted: number;
}

/** What the defences against clients that ask for too much have done, since the start. */
export interface DefenceCounts {
  /** Whether they are on now. */
  readonly watchesCircuits: boolean;
  readonly watchesLinks: boolean;
  readonly circuitsRefused: number;
  /** How often an address or prefix was marked: for too many circuits, for full queues, for opening links too fast. */
  readonly circuitMarks: number;
  readonly queueMarks: number;
  readonly linkMarks: number;
  /** Links of addresses that had too many, and of marked ones. */
  readonly linksRefusedConcurrent: number;
  readonly linksRefusedMarked: number;
  readonly circuitsKilledByQueue: number;
}

/** One kind of onion handshake. */
export interface HandshakeCount {
  readonly name: string;
  readonly asked: number;
  readonly answered: number;
}

/** Print the heartbeat, one string per log line, all meant for severity notice and domain heartbeat. */
export function heartbeatLines(counters: HeartbeatCounters): string[] {
  const lines: string[] = [];
  if (counters.listed === false) {
    lines.push('Heartbeat: the current consensus does not list this relay.');
  }
  lines.push(
    `Heartbeat: up ${printUptime(counters.uptimeSec)}, with ${plural(counters.circuits, 'circuit')} and ` +
      `${plural(counters.channels, 'link')} open. Sent ${printBytes(counters.bytesWritten)} and received ` +
      `${printBytes(counters.bytesRead)}; relayed ${plural(counters.cellsRelayed, 'cell')}. ` +
      `Links accepted: ${counters.acceptedIpv4} over IPv4 and ${counters.acceptedIpv6} over IPv6; ` +
      `made: ${counters.dialledIpv4} over IPv4 and ${counters.dialledIpv6} over IPv6.`,
  );
  const asked = counters.handshakes.filter((kind) => kind.asked > 0);
  if (asked.length > 0) {
    const kinds = asked.map((kind) => `${kind.answered}/${kind.asked} ${kind.name}`).join(', ');
    lines.push(`Heartbeat: onion handshakes answered since the last heartbeat: ${kinds}.`);
  }
  lines.push(defenceLine(counters.defences));
  if (counters.workersRestarted > 0) {
    lines.push(
      `Heartbeat: ${plural(counters.workersRestarted, 'worker')} of ${counters.workers} died and ` +
        `${counters.workersRestarted === 1 ? 'was' : 'were'} started again since the start; look for "bug" in the log.`,
    );
  }
  return lines;
}

/** Counts only: who was refused is nobody's affair. */
function defenceLine(defences: DefenceCounts): string {
  const { watchesCircuits, watchesLinks } = defences;
  const circuits = watchesCircuits
    ? `${plural(defences.circuitsRefused, 'circuit')} refused, ${plural(defences.circuitMarks, 'mark')} for too many ` +
      `circuits and ${defences.queueMarks} for full queues`
    : 'DoSCircuitCreationEnabled is off';
  const links = watchesLinks
    ? `${plural(defences.linksRefusedConcurrent, 'link')} over the limit refused, ` +
      `${plural(defences.linkMarks, 'mark')} for opening links too fast, ` +
      `${plural(defences.linksRefusedMarked, 'link')} refused for one`
    : 'DoSConnectionEnabled is off';
  const killed = plural(defences.circuitsKilledByQueue, 'circuit');
  return `Heartbeat: DoS defences since the start: ${killed} killed with too many cells; ${circuits}; ${links}.`;
}

/** Print a duration as `6:00 hours`, `1 day 0:30 hours` or `12 days 3:05 hours`. */
export function printUptime(sec: number): string {
  const days = Math.floor(sec / 86400);
  const hours = Math.floor((sec % 86400) / 3600);
  const minutes = Math.floor((sec % 3600) / 60);
  const clock = `${hours}:${String(minutes).padStart(2, '0')} hours`;
  return days === 0 ? clock : `${plural(days, 'day')} ${clock}`;
}

/** Print a number of bytes as `12 kB`, `1.50 MB` or `2.25 GB`, by powers of 1024. */
export function printBytes(bytes: number): string {
  if (bytes < 2 ** 20) return `${Math.floor(bytes / 1024)} kB`;
  if (bytes < 2 ** 30) return `${(bytes / 2 ** 20).toFixed(2)} MB`;
  return `${(bytes / 2 ** 30).toFixed(2)} GB`;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
