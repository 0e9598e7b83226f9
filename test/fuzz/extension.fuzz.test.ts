/** Fuzzes the extension lists of circuit handshakes and the extensions that we understand. */
import { deepStrictEqual } from 'node:assert';
import {
  decodeCcResponse,
  decodeExtensions,
  decodeSubprotocolRequest,
  ExtensionType,
  encodeExtensions,
  encodeSubprotocolRequest,
  firstOfType,
} from '../../src/cell/extension.ts';
import { fuzz } from './fuzz.ts';

fuzz('extension', {
  corpus: [
    encodeExtensions([]),
    encodeExtensions([{ type: 1, body: new Uint8Array(0) }]),
    encodeExtensions([
      { type: 1, body: new Uint8Array(0) },
      { type: 3, body: Uint8Array.of(2, 6) },
    ]),
    encodeExtensions([
      { type: 2, body: Uint8Array.of(31) },
      { type: 3, body: Uint8Array.of(0, 4, 2, 4, 2, 6) },
      { type: 0xf0, body: new Uint8Array(100) },
    ]),
  ],
  run: (bytes) => {
    const extensions = decodeExtensions(bytes);
    deepStrictEqual(encodeExtensions(extensions), bytes);
    const response = firstOfType(extensions, ExtensionType.CC_RESPONSE);
    if (response !== null) decodeCcResponse(response.body);
    const request = firstOfType(extensions, ExtensionType.SUBPROTOCOL_REQUEST);
    if (request === null) return;
    const wanted = decodeSubprotocolRequest(request.body);
    deepStrictEqual(encodeSubprotocolRequest(wanted), new Uint8Array(request.body));
  },
  cases: 5000,
});
