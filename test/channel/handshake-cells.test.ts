import { expect, test } from 'bun:test';
import { buildVariableCell } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import { HANDSHAKE_BYTES_MAX, HandshakeCells } from '../../src/channel/handshake-cells.ts';
import { join } from './pair.ts';
import { clientNetinfoCell, expectViolation, versionsCell, vpaddingCell } from './script.ts';

const ANY: ReadonlySet<number> = new Set([...Array(256).keys()]);

/** Push in chunks of `size` and take whatever is complete; the cells' bytes as they came. */
function cutUp(bytes: Uint8Array, size: number): Uint8Array[] {
  const cells = new HandshakeCells();
  const taken: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    cells.push(bytes.slice(at, at + size));
    for (let cell = cells.next(ANY); cell !== null; cell = cells.next(ANY)) taken.push(cell.wire.slice());
    cells.keep();
  }
  return taken;
}

test('cells are the same however the stream is cut', () => {
  const stream = [
    vpaddingCell(3, 2),
    versionsCell(),
    vpaddingCell(0),
    vpaddingCell(4000),
    clientNetinfoCell(),
  ];
  for (const size of [1, 2, 3, 5, 7, 64, 513, 514, 1000, 10_000]) {
    expect(cutUp(join(stream), size)).toEqual(stream);
  }
});

test('a body and its command are told, without the header', () => {
  const cells = new HandshakeCells();
  cells.push(join([versionsCell([4, 5]), buildVariableCell(0, Command.CERTS, Uint8Array.of(7, 8, 9), 4)]));
  expect(cells.next(ANY)).toEqual({
    command: Command.VERSIONS,
    body: Uint8Array.of(0, 4, 0, 5),
    wire: versionsCell([4, 5]),
  });
  expect(cells.next(ANY)).toMatchObject({ command: Command.CERTS, body: Uint8Array.of(7, 8, 9) });
  expect(cells.next(ANY)).toBeNull();
});

test('the bytes behind the last cell are left', () => {
  const cells = new HandshakeCells();
  cells.push(join([versionsCell(), Uint8Array.of(1, 2)]));
  cells.next(ANY);
  cells.keep();
  cells.push(Uint8Array.of(3));
  expect(cells.rest()).toEqual(Uint8Array.of(1, 2, 3));
});

test('a chunk is borrowed only until keep', () => {
  const cells = new HandshakeCells();
  const chunk = versionsCell().slice(0, 7);
  cells.push(chunk);
  expect(cells.next(ANY)).toBeNull();
  cells.keep();
  chunk.fill(0xff);
  cells.push(versionsCell().slice(7));
  expect(cells.next(ANY)?.wire).toEqual(versionsCell());
});

test('a whole handshake may be as long as the bound, and no byte longer', () => {
  const fill = (total: number) => {
    const cells = new HandshakeCells();
    cells.push(versionsCell());
    let left = total - cells.next(ANY)!.wire.length;
    for (; left > 16000; left -= 8007) {
      cells.push(vpaddingCell(8000));
      cells.next(ANY);
    }
    cells.push(vpaddingCell(left - 7));
    return () => cells.next(ANY);
  };
  expect(fill(HANDSHAKE_BYTES_MAX)()).not.toBeNull();
  expectViolation(fill(HANDSHAKE_BYTES_MAX + 1), 'link_handshake_too_long', /more than 65536 bytes/);
});

test('a refused command is refused though nothing of its body is there', () => {
  const cells = new HandshakeCells();
  cells.push(Uint8Array.of(0, 0, Command.CERTS));
  const action = () => cells.next(new Set([Command.VERSIONS]));
  expectViolation(action, 'link_handshake_before_versions', /CERTS before VERSIONS/);
});
