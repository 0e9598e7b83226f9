/**
 * Where the fields of a channel cell are, for link protocols 4 and 5. @hot
 *
 * A cell is 514 bytes: circuit id (4), command (1), body (509). A variable-length cell is circuit id (4),
 * command (1), length (2), body; VERSIONS alone has a circuit id of 2 bytes for ever, because it is sent
 * before the link protocol is known.
 *
 * Accessors take `(bytes, at)`, where `at` is the offset of the cell in a bigger buffer. They do not check
 * bounds: the framer only hands on whole cells.
 *
 * @source tor-spec "Cells (messages on channels)"
 */
import { assert } from '../fault.ts';

/** Length of a whole fixed-length cell. */
export const CELL_BYTES = 514;
/** Offset of the body of a fixed-length cell. */
export const BODY_AT = 5;
/** Length of the body of a fixed-length cell. */
export const BODY_BYTES = 509;
/** Length of a circuit id once VERSIONS is through. */
export const CIRC_ID_BYTES = 4;
/** Offset of the command. */
export const COMMAND_AT = 4;
/** Offset of a variable-length cell's length field. */
export const LENGTH_AT = 5;
/** Length of a variable-length cell's header. */
export const VARIABLE_HEADER_BYTES = 7;
/** Longest body that a variable-length cell can state. */
export const VARIABLE_BODY_MAX = 0xffff;

/** Read the circuit id, unsigned. */
export function getCircId(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

/** Overwrite the circuit id. */
export function setCircId(bytes: Uint8Array, at: number, id: number): void {
  bytes[at] = id >>> 24;
  bytes[at + 1] = id >>> 16;
  bytes[at + 2] = id >>> 8;
  bytes[at + 3] = id;
}

/** Read the command. */
export function getCommand(bytes: Uint8Array, at: number): number {
  return bytes[at + COMMAND_AT]!;
}

/** Overwrite the command. */
export function setCommand(bytes: Uint8Array, at: number, command: number): void {
  bytes[at + COMMAND_AT] = command;
}

/** Read the length field of a variable-length cell with a 4-byte circuit id. */
export function getVariableLength(bytes: Uint8Array, at: number): number {
  return (bytes[at + LENGTH_AT]! << 8) | bytes[at + LENGTH_AT + 1]!;
}

/** Write a fixed-length cell over the 514 bytes at `at`: header, body, and zeros behind the body. */
export function writeCell(
  bytes: Uint8Array,
  at: number,
  circId: number,
  command: number,
  body: Uint8Array,
): void {
  assert(body.length <= BODY_BYTES, 'the body of a cell has at most 509 bytes');
  setCircId(bytes, at, circId);
  bytes[at + COMMAND_AT] = command;
  bytes.set(body, at + BODY_AT);
  bytes.fill(0, at + BODY_AT + body.length, at + CELL_BYTES);
}

/** `Buffer`'s copy takes places instead of views; measured at 17 ns per cell, `set` of a `subarray` at 45. */
const copyBytes = Buffer.prototype.copy;

/** Copy the cell at `at` to `toAt` of another buffer, which may be shared memory. */
export function copyCell(bytes: Uint8Array, at: number, to: Uint8Array, toAt: number): void {
  copyBytes.call(bytes, to, toAt, at, at + CELL_BYTES);
}

/** Copy the relay body at `at` to `toAt` of another buffer. */
export function copyBody(bytes: Uint8Array, at: number, to: Uint8Array, toAt: number): void {
  copyBytes.call(bytes, to, toAt, at, at + BODY_BYTES);
}

/** As `copyCell`, for `count` cells that stand one behind the other. */
export function copyCells(bytes: Uint8Array, at: number, to: Uint8Array, toAt: number, count: number): void {
  copyBytes.call(bytes, to, toAt, at, at + count * CELL_BYTES);
}

/** Put a cell together at `toAt`: header, and the body at `bodyAt` of another buffer. */
export function joinCell(
  circId: number,
  command: number,
  body: Uint8Array,
  bodyAt: number,
  to: Uint8Array,
  toAt: number,
): void {
  setCircId(to, toAt, circId);
  to[toAt + COMMAND_AT] = command;
  copyBytes.call(body, to, toAt + BODY_AT, bodyAt, bodyAt + BODY_BYTES);
}

/** Make a fixed-length cell of 514 new bytes; the body is padded with zeros. */
export function buildCell(circId: number, command: number, body: Uint8Array): Uint8Array {
  const cell = new Uint8Array(CELL_BYTES);
  writeCell(cell, 0, circId, command, body);
  return cell;
}

/** Make a variable-length cell of new bytes. VERSIONS takes a 2-byte circuit id, everything else 4 bytes. */
export function buildVariableCell(
  circId: number,
  command: number,
  body: Uint8Array,
  circIdBytes: 2 | 4,
): Uint8Array {
  assert(body.length <= VARIABLE_BODY_MAX, 'the body of a variable-length cell has a 16-bit length');
  const cell = new Uint8Array(circIdBytes + 3 + body.length);
  if (circIdBytes === 4) {
    setCircId(cell, 0, circId);
  } else {
    assert(circId <= 0xffff, 'a short circuit id fits two bytes');
    cell[0] = circId >>> 8;
    cell[1] = circId;
  }
  cell[circIdBytes] = command;
  cell[circIdBytes + 1] = body.length >>> 8;
  cell[circIdBytes + 2] = body.length;
  cell.set(body, circIdBytes + 3);
  return cell;
}
