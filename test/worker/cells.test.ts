/** What an open link does with cells that belong to no circuit. */
import { describe, expect, test } from 'bun:test';
import { buildCell, buildVariableCell } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import { filled, ID, Rig } from '../circuit/rig.ts';

const variable = (command: number, bytes = 10) => buildVariableCell(0, command, new Uint8Array(bytes), 4);

describe('on an open link', () => {
  test('padding of both kinds is counted and dropped', () => {
    const rig = new Rig();
    rig.client.sendBytes(buildCell(0, Command.PADDING, filled(0, 0)));
    rig.client.sendBytes(variable(Command.VPADDING, 3000));
    rig.settle();
    expect(rig.count('channel_padding_received')).toBe(2);
    rig.expectAlive(rig.open());
  });

  test('a second NETINFO and unknown cells are dropped, and the link lives', () => {
    const rig = new Rig();
    rig.client.send(0, Command.NETINFO);
    rig.client.send(0, 77);
    rig.client.sendBytes(variable(Command.AUTHORIZE));
    rig.client.sendBytes(variable(200));
    rig.settle();
    expect(rig.count('channel_unexpected_cell')).toBe(1);
    expect(rig.count('channel_unknown_cell')).toBe(3);
    rig.expectAlive(rig.open());
  });

  test('a second handshake closes it', () => {
    for (const command of [Command.VERSIONS, Command.CERTS, Command.AUTH_CHALLENGE, Command.AUTHENTICATE]) {
      const rig = new Rig();
      rig.open();
      rig.client.sendBytes(variable(command));
      rig.client.send(ID, Command.DESTROY);
      rig.settle();
      expect(rig.client.gone).toBe(true);
      expect(rig.count('channel_unexpected_cell')).toBe(1);
      expect(rig.count('circuit_destroy_received')).toBe(0);
      rig.expectEmpty();
    }
  });
});
