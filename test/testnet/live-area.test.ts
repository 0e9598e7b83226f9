/** Lines that are drawn in place. */
import { expect, test } from 'bun:test';
import { LiveArea } from '../../src/testnet/live-area.ts';

/** A terminal that does what the sequence sequences say, as far as they are used here. */
class Terminal {
  lines: string[] = [''];
  row = 0;
  cursor = true;
  rows = 10;

  write(text: string): void {
    const pieces = text.replaceAll('\x1b', '\n\x00').split('\n');
    for (const [index, piece] of pieces.entries()) {
      // A piece is the rest of a line, or an escape sequence and what stands behind it.
      const sequence = piece.startsWith('\x00') ? /^\[\??\d*[A-Za-z]/.exec(piece.slice(1))![0] : null;
      if (sequence === null && index > 0) this.row++;
      if (sequence !== null) this.obey(sequence);
      const plain = (sequence === null ? piece : piece.slice(1 + sequence.length)).replace('\r', '');
      if (plain !== '') this.lines[this.row] = plain;
    }
  }
  private obey(sequence: string): void {
    const up = /^\[(\d+)A$/.exec(sequence);
    if (up !== null) this.row -= Number(up[1]);
    else if (sequence === '[?25l') this.cursor = false;
    else if (sequence === '[?25h') this.cursor = true;
    else if (sequence === '[J') this.lines.splice(this.row, Number.POSITIVE_INFINITY, '');
  }
  size = () => ({ columns: 80, rows: this.rows });
}

test('an area is drawn in place, grows, shrinks and goes', () => {
  const terminal = new Terminal();
  terminal.write('above\n');
  const area = new LiveArea(terminal);
  area.draw(['one', 'two']);
  expect(terminal.lines).toEqual(['above', 'one', 'two', '']);
  expect(terminal.cursor).toBe(false);
  area.draw(['1', '2', '3']);
  expect(terminal.lines).toEqual(['above', '1', '2', '3', '']);
  area.draw(['only']);
  expect(terminal.lines).toEqual(['above', 'only', '']);
  area.clear();
  expect(terminal.lines).toEqual(['above', '']);
  expect(terminal.cursor).toBe(true);
  area.clear();
  terminal.write('below\n');
  area.draw(['again']);
  expect(terminal.lines).toEqual(['above', 'below', 'again', '']);
});

test('an area is no taller than its terminal', () => {
  const terminal = new Terminal();
  terminal.rows = 3;
  new LiveArea(terminal).draw(['1', '2', '3', '4']);
  expect(terminal.lines).toEqual(['1', '2', '']);
});
