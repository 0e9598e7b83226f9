import { describe, expect, test } from 'bun:test';
import { DestroyReason, EndReason } from '../../src/cell/reason.ts';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import { encodeBegin, encodeEnd, encodeResolve } from '../../src/cell/stream-message.ts';
import { DOS_LIMITS } from '../shm/dos-limits.ts';
import { ExitRig } from './exit-rig.ts';

describe('the bucket of new streams', () => {
  const dos = { ...DOS_LIMITS, streamsWatched: true, streamRate: 10, streamBurst: 3 };

  test('refuses what is too much, and refills', () => {
    const rig = new ExitRig({ options: { dos } });
    for (let id = 1; id <= 3; id++) rig.stream(id);
    rig.say(RelayCommand.BEGIN, 4, encodeBegin('192.0.2.9:80'));
    rig.expect(RelayCommand.END, 4, encodeEnd(EndReason.MISC));
    rig.say(RelayCommand.RESOLVE, 5, encodeResolve('example.com'));
    expect(rig.expect(RelayCommand.RESOLVED, 5)[0]).toBe(0xf0);
    expect(rig.count('dos_stream_refused')).toBe(2);
    rig.pass(150);
    rig.stream(6);
  });

  test('closes the circuit, or does nothing, as the consensus wants', () => {
    for (const command of [RelayCommand.BEGIN, RelayCommand.RESOLVE]) {
      const rig = new ExitRig({ options: { dos: { ...dos, streamDefence: 3 } } });
      for (let id = 1; id <= 3; id++) rig.stream(id);
      rig.say(command, 4, encodeBegin('192.0.2.9:80'));
      rig.expectDestroyed(DestroyReason.RESOURCELIMIT);
      expect(rig.count('dos_stream_circuits_closed')).toBe(1);
    }
    const mild = new ExitRig({ options: { dos: { ...dos, streamDefence: 1 } } });
    for (let id = 1; id <= 9; id++) mild.stream(id);
  });
});
