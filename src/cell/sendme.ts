/**
 * SENDME: the far end took so many DATA cells that more may be sent.
 *
 * Version 0 is an empty message (or one that says so, whatever follows). Version 1 carries the tag of the last cell
 * that it acknowledges, which proves that the cell was read: version (1), length (2), tag. Tags of tor1 have 20
 * bytes. Stream-level SENDMEs are always empty.
 *
 * @source tor-spec "Flow control", proposal 289
 */
import { Reader } from '../bytes/reader.ts';

/** Bytes of a tor1 tag: the running SHA-1 of one direction. */
export const SENDME_TAG_BYTES = 20;
/** The highest version that we know. */
export const SENDME_VERSION_MAX = 1;

const HEAD_BYTES = 3;

/** A decoded SENDME. */
export interface Sendme {
  readonly version: number;
  /** The tag of version 1, a view; null in version 0. */
  readonly tag: Uint8Array | null;
}

const VERSION_0: Sendme = { version: 0, tag: null };

/** Read a SENDME; what trails it is ignored. @throws Malformed for an unknown version or a tag of another size */
export function decodeSendme(data: Uint8Array): Sendme {
  if (data.length === 0) return VERSION_0;
  const reader = new Reader(data, 'SENDME');
  const version = reader.u8();
  if (version > SENDME_VERSION_MAX) reader.fail(`unknown version ${version}`);
  const body = reader.view(reader.u16());
  if (version === 0) return VERSION_0;
  if (body.length !== SENDME_TAG_BYTES) reader.fail(`a tag of ${body.length} bytes`);
  return { version, tag: body };
}

/** Encode a SENDME of version 1 with this tag. */
export function encodeSendme(tag: Uint8Array): Uint8Array {
  const data = new Uint8Array(HEAD_BYTES + tag.length);
  data[0] = 1;
  data[1] = tag.length >> 8;
  data[2] = tag.length & 0xff;
  data.set(tag, HEAD_BYTES);
  return data;
}
