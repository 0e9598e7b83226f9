/**
 * Thread entry for roster.test.ts. `churn` extends to a few peers again and again, dialling, opening, marking and
 * closing, and checks what it is told; `die` adds a row and then holds the lock of its chain for ever.
 */
import { keyedHash } from '../../src/shm/keyed-hash.ts';
import { Roster } from '../../src/shm/roster.ts';
import { lock } from '../../src/shm/spin-lock.ts';
import { seeded } from './seeded.ts';

export interface RosterTask {
  readonly role: 'churn' | 'die';
  readonly worker: number;
  readonly sab: SharedArrayBuffer;
  readonly key: Uint8Array;
  readonly seed: number;
  readonly count: number;
}

export interface RosterReport {
  readonly wrong: number;
  readonly dials: number;
  readonly held: number;
}

const PEERS = 12;

declare const self: Worker;
self.onmessage = (event: MessageEvent<RosterTask>) => {
  if (event.data.role === 'die') die(event.data);
  else churn(event.data);
};

function peerRow(rsaId: Uint8Array, ed25519Id: Uint8Array, slot: number, createdMs: number) {
  const open = slot >= 0;
  return {
    rsaId,
    ed25519Id,
    address: Uint8Array.of(203, 0, 113, 1),
    port: 9001,
    slot,
    generation: 1,
    state: open ? 'open' : 'dialling',
    inbound: false,
    canonical: open,
    createdMs,
  } as const;
}

function churn(task: RosterTask): void {
  const roster = new Roster(task.sab, task.worker);
  const random = seeded(task.seed * 16 + task.worker);
  const mine = new Map<number, number>();
  const rsaIds = Array.from({ length: PEERS }, (_, i) => new Uint8Array(20).fill(i + 1));
  const edIds = Array.from({ length: PEERS }, (_, i) => new Uint8Array(32).fill(i + 1));
  const ipv4 = Uint8Array.of(203, 0, 113, 1);
  let wrong = 0;
  let dials = 0;
  for (let step = 0; step < task.count; step++) {
    const peer = Math.floor(random() * PEERS);
    const rsaId = rsaIds[peer]!;
    const ed25519Id = edIds[peer]!;
    const handle = mine.get(peer);
    if (handle === undefined) {
      const target = { rsaId, ed25519Id, ipv4, ipv6: null };
      const choice = roster.chooseOrDial(target, peerRow(rsaId, ed25519Id, -1, step));
      if (choice.verdict === 'mine') {
        dials++;
        mine.set(peer, choice.handle);
        if (!roster.setSlot(choice.handle, peer, 1)) wrong++;
      } else if (choice.verdict === 'none' || choice.verdict === 'full') {
        wrong++;
      } else if (choice.worker === task.worker || (choice.slot !== -1 && choice.slot !== peer)) {
        // We have no row for this peer, so it must be another's, in the slot that stands for the peer.
        wrong++;
      }
      continue;
    }
    const what = random();
    if (what < 0.4) {
      if (!roster.setOpen(handle, { ed25519Id, canonical: random() < 0.5 })) wrong++;
    } else if (what < 0.5) {
      roster.markSuperseded(rsaId, ed25519Id, step);
    } else if (what < 0.55) {
      roster.markSuperseded(rsaId, ed25519Id, 1e12);
      if (!roster.isBad(handle)) wrong++;
    } else if (what < 0.7) {
      if (roster.locate(handle)?.slot !== peer) wrong++;
    } else {
      if (!roster.remove(handle) || roster.locate(handle) !== null) wrong++;
      mine.delete(peer);
    }
  }
  const report: RosterReport = { wrong, dials, held: mine.size };
  postMessage(report);
}

function die(task: RosterTask): void {
  const rsaId = new Uint8Array(20).fill(0x52);
  new DataView(rsaId.buffer).setUint32(4, 1);
  new Roster(task.sab, task.worker).insert(peerRow(rsaId, new Uint8Array(32), 1, 0));
  // The lock of that row's chain: 64 stripes, a cache line each, after the header's line.
  const words = new Int32Array(task.sab);
  const hash = keyedHash(words[1]!, words[2]!, rsaId);
  const bucket = hash & (words[0]! - 1);
  lock(words, 16 + (bucket & 63) * 16, task.worker);
  postMessage('holding');
}
