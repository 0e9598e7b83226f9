/** A network's view to draw. */
import type { NetworkView, RelayView } from '../../src/testnet/view.ts';

export function relayView(nickname: string, changes: Partial<RelayView> = {}): RelayView {
  return {
    nickname,
    role: 'middle',
    isAuthority: false,
    isListed: true,
    readRate: 1e6,
    writtenRate: 2e6,
    circuits: 3,
    cpu: 0.25,
    readBytes: 10e6,
    writtenBytes: 20e6,
    cpuSec: 1.5,
    ...changes,
  };
}

export function networkView(changes: Partial<NetworkView> = {}): NetworkView {
  return {
    phase: 'running',
    elapsedSec: 42,
    totalSec: 60,
    relays: [
      relayView('guard1', { role: 'guard', isAuthority: true }),
      relayView('middle1'),
      relayView('exit1', { role: 'exit', writtenRate: 4e6 }),
      relayView('stranger', { role: 'joined', readRate: null, writtenRate: null, circuits: null, cpu: null }),
    ],
    circuits: [
      { number: 7, state: 'open', nicknames: ['guard1', 'middle1', 'exit1'], streams: 1, received: 5e6 },
      { number: 8, state: 'building', nicknames: ['guard1', 'stranger', 'exit1'], streams: 0, received: 0 },
    ],
    circuitsBuilt: 7,
    downloads: { done: 3, failed: 0, lastFailure: null, bytes: 35e6, rate: 9e6, meanRate: 8e6, running: 1 },
    consensuses: 4,
    ...changes,
  };
}
