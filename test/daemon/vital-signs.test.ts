/** Heartbeat and counters from the scoreboard. */

import { afterEach, beforeEach, expect, test } from 'bun:test';
import { settleDead, VitalSigns } from '../../src/daemon/vital-signs.ts';
import { setLogSink, setLogThreshold } from '../../src/log.ts';
import { Counter, Scoreboard } from '../../src/shm/scoreboard.ts';

const said: string[] = [];

beforeEach(() => {
  said.length = 0;
  setLogThreshold(() => true);
  setLogSink(({ domain, text }) => void said.push(`${domain} ${text}`));
});

afterEach(() => {
  setLogSink(null);
  setLogThreshold(null);
});

const FACTS = {
  uptimeSec: 3600,
  listed: null,
  workers: 2,
  workersRestarted: 0,
  dos: { connectionsWatched: true, circuitsWatched: true },
};

function boards(): [Scoreboard, Scoreboard, Scoreboard] {
  const sab = Scoreboard.create(2);
  return [new Scoreboard(sab, 0), new Scoreboard(sab, 1), new Scoreboard(sab, 2)];
}

test('handshakes count from one heartbeat to the next, all else from the start', () => {
  const [first, second, main] = boards();
  const vitals = new VitalSigns(main);
  first.add(Counter.circuits_created, 5);
  second.add(Counter.circuits_created, 2);
  second.add(Counter.circuits_closed, 3);
  first.add(Counter.ntor_processed, 4);
  first.add(Counter.cells_read, 900);
  first.add(Counter.cells_relayed, 500);
  second.add(Counter.cells_relayed, 50);
  second.add(Counter.circuit_ntor_failed, 1);
  vitals.heartbeat(FACTS);
  expect(said.join('\n')).toContain('heartbeat Heartbeat: up 1:00 hours, with 4 circuits and 0 links open.');
  expect(said.join('\n')).toContain('4/5 ntor');
  expect(said.join('\n')).toContain('relayed 550 cells.');
  said.length = 0;
  vitals.heartbeat(FACTS);
  expect(said.join('\n')).not.toContain('ntor');
  expect(said.join('\n')).toContain('4 circuits');
});

test('what the defences against clients did is told in one line, by counts alone', () => {
  const [first, second, main] = boards();
  const vitals = new VitalSigns(main);
  for (const [name, count] of [
    ['dos_circuit_refused', 11],
    ['dos_circuit_marks', 2],
    ['dos_queue_marks', 1],
    ['dos_link_marks', 3],
    ['dos_link_refused_concurrent', 20],
    ['dos_link_refused_net_concurrent', 5],
    ['dos_link_refused_marked', 40],
    ['dos_link_refused_net_marked', 4],
    ['circuit_queue_limit_killed', 7],
  ] as const) {
    first.add(Counter[name], count - 1);
    second.add(Counter[name], 1);
  }
  vitals.heartbeat(FACTS);
  expect(said.filter((line) => line.includes('DoS'))).toEqual([
    'heartbeat Heartbeat: DoS defences since the start: 7 circuits killed with too many cells; 11 circuits refused, ' +
      '2 marks for too many circuits and 1 for full queues; 25 links over the limit refused, ' +
      '3 marks for opening links too fast, 44 links refused for one.',
  ]);
});

test('what a dead worker held is closed, and only that', () => {
  const [first, second, main] = boards();
  first.add(Counter.circuits_created, 5);
  second.add(Counter.circuits_created, 7);
  second.add(Counter.channels_opened, 2);
  second.add(Counter.channels_closed, 2);
  settleDead(main, second, 1);
  expect(main.total(Counter.circuits_created) - main.total(Counter.circuits_closed)).toBe(5);
  expect(main.total(Counter.channels_closed)).toBe(2);
});

test('USR1 names every counter that counted, and each authority that was asked, or why none was', () => {
  const [first, , main] = boards();
  const vitals = new VitalSigns(main);
  vitals.dump([{ nickname: 'auth', state: 'waiting', reason: '' }], 'Nothing is published.');
  first.add(Counter.worker_bugs, 1);
  vitals.dump([{ nickname: 'auth', state: 'refused', reason: 'Fingerprint is marked rejected' }], null);
  expect(said).toEqual([
    'general All counters are 0.',
    'dir Nothing is published.',
    'general Counters: worker_bugs 1.',
    'dir Authority auth: descriptor refused (Fingerprint is marked rejected).',
  ]);
});
