/**
 * Lists of extensions, as they ride in ntor-v3 handshakes and in ESTABLISH_INTRO: count (1), then type (1),
 * length (1) and body of each.
 *
 * No extensions is one zero byte, never nothing. Only the first extension of a type counts, and unknown types
 * are passed over. C tor lets bytes trail the list; we refuse them, as Arti does.
 *
 * @source tor-spec "CREATE and CREATED cells" (handshake extensions); proposals 324, 332, 346
 */
import { Reader } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import { assert } from '../fault.ts';

/** Extension types of circuit handshakes. Requests and responses are numbered apart: 2 in a request is proof of work. */
export const ExtensionType = {
  CC_REQUEST: 1,
  CC_RESPONSE: 2,
  SUBPROTOCOL_REQUEST: 3,
} as const;

/** One extension, not looked into. */
export interface Extension {
  readonly type: number;
  /** At most 255 bytes. */
  readonly body: Uint8Array;
}

/** Read a list that fills `bytes`; bodies are views. @throws Malformed when it is cut short or something trails it */
export function decodeExtensions(bytes: Uint8Array): Extension[] {
  const reader = new Reader(bytes, 'extensions');
  const extensions = readExtensions(reader);
  reader.finish();
  return extensions;
}

/** Take a list out of a bigger object; bodies are views. @throws Malformed when it is cut short */
export function readExtensions(reader: Reader): Extension[] {
  const extensions: Extension[] = [];
  for (let left = reader.u8(); left > 0; left--) {
    const type = reader.u8();
    extensions.push({ type, body: reader.view(reader.u8()) });
  }
  return extensions;
}

/** Encode a list. */
export function encodeExtensions(extensions: readonly Extension[]): Uint8Array {
  let length = 1;
  for (const extension of extensions) length += 2 + extension.body.length;
  const writer = new Writer(new Uint8Array(length));
  writer.u8(extensions.length);
  for (const extension of extensions) {
    writer.u8(extension.type);
    writer.u8(extension.body.length);
    writer.bytes(extension.body);
  }
  return writer.buffer;
}

/** Find the extension of a type that counts: the first one. */
export function firstOfType(extensions: readonly Extension[], type: number): Extension | null {
  for (const extension of extensions) if (extension.type === type) return extension;
  return null;
}

/** Encode the body of a congestion control request: nothing. */
export function encodeCcRequest(): Uint8Array {
  return new Uint8Array(0);
}

/** Encode the body of a congestion control response: how many cells a SENDME acknowledges. */
export function encodeCcResponse(sendmeInc: number): Uint8Array {
  assert(sendmeInc >= 0 && sendmeInc <= 255, 'sendme_inc fits one byte');
  return Uint8Array.of(sendmeInc);
}

/** Read the body of a congestion control response; what trails the byte is ignored. @throws Malformed */
export function decodeCcResponse(body: Uint8Array): number {
  return new Reader(body, 'congestion control response').u8();
}

/** One capability: a subprotocol by its number, and its version. */
export interface Subprotocol {
  /** 0 Link, 1 LinkAuth, 2 Relay, 3 DirCache, 4 HSDir, 5 HSIntro, 6 HSRend, 7 Desc, 8 Microdesc, 9 Cons, 10 Padding, 11 FlowCtrl, 12 Conflux. */
  readonly protocol: number;
  readonly version: number;
}

/** Read the body of a subprotocol request. @throws Malformed when it is odd, or not strictly ascending */
export function decodeSubprotocolRequest(body: Uint8Array): Subprotocol[] {
  const reader = new Reader(body, 'subprotocol request');
  const wanted: Subprotocol[] = [];
  let previous = -1;
  while (reader.remaining > 0) {
    const pair = reader.u16();
    if (pair <= previous) reader.fail('not strictly ascending');
    previous = pair;
    wanted.push({ protocol: pair >> 8, version: pair & 0xff });
  }
  return wanted;
}

/** Encode the body of a subprotocol request; the caller sorts. */
export function encodeSubprotocolRequest(wanted: readonly Subprotocol[]): Uint8Array {
  const writer = new Writer(new Uint8Array(2 * wanted.length));
  let previous = -1;
  for (const { protocol, version } of wanted) {
    const pair = (protocol << 8) | version;
    assert(pair > previous, 'a subprotocol request is strictly ascending');
    previous = pair;
    writer.u8(protocol);
    writer.u8(version);
  }
  return writer.buffer;
}
