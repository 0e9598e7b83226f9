/**
 * The channel's PADDING_NEGOTIATE cell: a client tells its guard whether, and how often, to pad the link.
 *
 * What trails the six bytes is the cell's own padding. Whether the times are within the consensus' bounds is
 * for `channel/padding`.
 *
 * @source padding-spec "Connection-level padding"
 */
import { Reader } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';

/** Commands of PADDING_NEGOTIATE. */
export const PaddingCommand = {
  STOP: 1,
  START: 2,
} as const;

/** A wish about the padding of a link. */
export interface PaddingNegotiate {
  readonly command: 1 | 2;
  /** Shortest time without a cell before padding is sent, in milliseconds. */
  readonly itoLowMs: number;
  /** Longest such time, in milliseconds; may be below `itoLowMs`, the receiver must cope. */
  readonly itoHighMs: number;
}

/** Read a PADDING_NEGOTIATE body. @throws Malformed for another version than 0, or an unknown command */
export function decodePaddingNegotiate(body: Uint8Array): PaddingNegotiate {
  const reader: Reader = new Reader(body, 'PADDING_NEGOTIATE');
  if (reader.u8() !== 0) reader.fail('unknown version');
  const command = reader.u8();
  if (command !== PaddingCommand.STOP && command !== PaddingCommand.START) reader.fail('unknown command');
  return { command, itoLowMs: reader.u16(), itoHighMs: reader.u16() };
}

/** Encode a PADDING_NEGOTIATE body. */
export function encodePaddingNegotiate(negotiate: PaddingNegotiate): Uint8Array {
  const writer = new Writer(new Uint8Array(6));
  writer.u8(0);
  writer.u8(negotiate.command);
  writer.u16(negotiate.itoLowMs);
  writer.u16(negotiate.itoHighMs);
  return writer.buffer;
}
