/** The last lines of a terminal, drawn again and again in place; what stands above them scrolls as usual. */

/** Takes text. */
export interface TerminalOut {
  write(text: string): void;
  /** As they are now. */
  size(): { readonly columns: number; readonly rows: number };
}

const HIDE_CURSOR = '\x1b[?25l';
const SHOW_CURSOR = '\x1b[?25h';
const ERASE_BELOW = '\x1b[J';
const ERASE_LINE_END = '\x1b[K';

/** An area of lines. */
export class LiveArea {
  private readonly out: TerminalOut;
  private drawn = 0;
  private isHidden = false;

  constructor(out: TerminalOut) {
    this.out = out;
  }

  /** Draw these lines in place of the last ones; as many as fit. */
  draw(lines: readonly string[]): void {
    const { rows } = this.out.size();
    const shown = lines.slice(0, Math.max(1, rows - 1));
    const up = this.drawn > 0 ? `\x1b[${this.drawn}A\r` : '';
    const hide = this.isHidden ? '' : HIDE_CURSOR;
    this.isHidden = true;
    this.out.write(`${hide}${up}${shown.map((line) => `${line}${ERASE_LINE_END}\n`).join('')}${ERASE_BELOW}`);
    this.drawn = shown.length;
  }

  /** Take the lines away, and let the terminal be as it was. */
  clear(): void {
    if (!this.isHidden) return;
    const up = this.drawn > 0 ? `\x1b[${this.drawn}A\r` : '';
    this.out.write(`${up}${ERASE_BELOW}${SHOW_CURSOR}`);
    this.drawn = 0;
    this.isHidden = false;
  }
}
