import { describe, expect, test } from 'bun:test';
import {
  BODY_AT,
  BODY_BYTES,
  buildCell,
  buildVariableCell,
  CELL_BYTES,
  CIRC_ID_BYTES,
  copyCell,
  getCircId,
  getCommand,
  getVariableLength,
  setCircId,
  setCommand,
  VARIABLE_HEADER_BYTES,
  writeCell,
} from '../../src/cell/cell.ts';
import { Command, commandName, isVariableLength } from '../../src/cell/command.ts';
import { Bug } from '../../src/fault.ts';
import { readVectors } from '../vectors/read.ts';
import { ascii } from './laws.ts';

const vector = readVectors('link-handshake.txt');

describe('commands', () => {
  test('VERSIONS and everything from 128 on carry a length', () => {
    for (let command = 0; command < 256; command++) {
      expect(isVariableLength(command)).toBe(command === 7 || command >= 128);
    }
  });

  test('have names', () => {
    expect(commandName(Command.CREATE2)).toBe('CREATE2');
    expect(commandName(Command.AUTH_CHALLENGE)).toBe('AUTH_CHALLENGE');
    expect(commandName(0)).toBe('PADDING');
    expect(commandName(99)).toBe('command 99');
  });
});

describe('fixed-length cells', () => {
  test('are copied alone, from and to anywhere, shared memory too', () => {
    const from = Uint8Array.from({ length: 600 }, (_, i) => i % 251);
    const to = new Uint8Array(new SharedArrayBuffer(700));
    copyCell(from, 7, to, 99);
    expect(new Uint8Array(to.subarray(99, 99 + CELL_BYTES))).toEqual(from.slice(7, 7 + CELL_BYTES));
    expect(to.slice(0, 99).every((byte) => byte === 0)).toBe(true);
    expect(to.slice(99 + CELL_BYTES).every((byte) => byte === 0)).toBe(true);
  });

  test('have the sizes of link protocol 4', () => {
    expect([CELL_BYTES, BODY_AT + BODY_BYTES, CIRC_ID_BYTES + 1]).toEqual([514, 514, BODY_AT]);
  });

  test('hold an unsigned circuit id, a command, a body, and zeros', () => {
    const cell = buildCell(0xfedcba98, Command.RELAY_EARLY, ascii('body'));
    expect(cell.length).toBe(514);
    expect(cell.subarray(0, 12).toHex()).toBe('fedcba9809626f6479000000');
    expect(cell.subarray(9).every((byte) => byte === 0)).toBe(true);
    expect(getCircId(cell, 0)).toBe(0xfedcba98);
    expect(getCommand(cell, 0)).toBe(Command.RELAY_EARLY);
  });

  test('are read and changed in place anywhere in a buffer', () => {
    const buffer = new Uint8Array(3 * CELL_BYTES).fill(0xee);
    writeCell(buffer, CELL_BYTES, 0x80000001, Command.RELAY, new Uint8Array(BODY_BYTES).fill(1));
    expect(buffer[CELL_BYTES - 1]).toBe(0xee);
    expect(buffer[2 * CELL_BYTES]).toBe(0xee);
    for (const id of [0, 1, 0x7fffffff, 0x80000000, 0xffffffff]) {
      setCircId(buffer, CELL_BYTES, id);
      expect(getCircId(buffer, CELL_BYTES)).toBe(id);
    }
    setCommand(buffer, CELL_BYTES, Command.DESTROY);
    expect(getCommand(buffer, CELL_BYTES)).toBe(Command.DESTROY);
    writeCell(buffer, CELL_BYTES, 1, Command.DESTROY, Uint8Array.of(3));
    const cell: Uint8Array = buffer.slice(CELL_BYTES, 2 * CELL_BYTES);
    expect(cell).toEqual(buildCell(1, Command.DESTROY, Uint8Array.of(3)));
  });

  test('have room for 509 bytes', () => {
    buildCell(1, Command.RELAY, new Uint8Array(509));
    expect(() => buildCell(1, Command.RELAY, new Uint8Array(510))).toThrow(Bug);
  });

  test('agree with a NETINFO cell that was seen on the wire', () => {
    const seen = vector('cell-netinfo');
    expect(buildCell(0, Command.NETINFO, seen.subarray(BODY_AT)).subarray(0, seen.length)).toEqual(seen);
  });
});

describe('variable-length cells', () => {
  test('agree with cells that were seen on the wire', () => {
    expect(buildVariableCell(0, Command.VERSIONS, Uint8Array.of(0, 3, 0, 4, 0, 5), 2)).toEqual(
      vector('cell-versions-3-4-5'),
    );
    expect(buildVariableCell(0, Command.CERTS, Uint8Array.of(0), 4)).toEqual(vector('cell-certs-empty'));
    expect(buildVariableCell(0, Command.VPADDING, Uint8Array.of(255, 255, 255), 4)).toEqual(
      vector('cell-vpadding'),
    );
    const challenge = vector('cell-auth-challenge');
    expect(getVariableLength(challenge, 0)).toBe(challenge.length - VARIABLE_HEADER_BYTES);
    expect(getCommand(challenge, 0)).toBe(Command.AUTH_CHALLENGE);
  });

  test('state lengths up to 65535', () => {
    const cell = buildVariableCell(0x01020304, Command.VPADDING, new Uint8Array(65535), 4);
    expect(cell.subarray(0, 7).toHex()).toBe('0102030480ffff');
    expect(getVariableLength(cell, 0)).toBe(65535);
    expect(buildVariableCell(0x0102, Command.VERSIONS, new Uint8Array(0), 2).toHex()).toBe('0102070000');
    expect(() => buildVariableCell(0, Command.VPADDING, new Uint8Array(65536), 4)).toThrow(Bug);
    expect(() => buildVariableCell(0x10000, Command.VERSIONS, new Uint8Array(0), 2)).toThrow(Bug);
  });
});
