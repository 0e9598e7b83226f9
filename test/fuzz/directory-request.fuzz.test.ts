/** Damaged requests: taken or closed; what is asked for is sorted, and pieces give what the whole gives. */
import { expect } from 'bun:test';
import { Malformed } from '../../src/fault.ts';
import {
  parseDirectoryRequest,
  REQUEST_HEAD_BYTES_MAX,
  RequestReader,
  readWholeRequest,
} from '../../src/netdoc/directory-request.ts';
import { bytesOf } from '../netdoc/fixture.ts';
import { fuzz } from './fuzz.ts';

const HEX = 'AB'.repeat(20);
const HEX_32 = 'ab'.repeat(32);
const BASE64 = 'A'.repeat(43);

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

fuzz('directory-request', {
  corpus: [
    `GET /tor/status-vote/current/consensus-microdesc/ABCDEF+012345.z HTTP/1.0\r\nHost: 127.0.0.1\r\nX-Or-Diff-From-Consensus: ${HEX_32} ${HEX_32}\r\nAccept-Encoding: x-zstd, deflate, gzip\r\nIf-Modified-Since: Sun, 22 Nov 2026 14:27:00 GMT\r\n\r\n`,
    `GET /tor/status-vote/current/consensus/diff/${HEX_32}/ABCDEF HTTP/1.0\r\n\r\n`,
    `GET /tor/micro/d/${BASE64}-${BASE64}.z HTTP/1.0\r\n\r\n`,
    `GET /tor/server/fp/${HEX}+${HEX} HTTP/1.1\r\n\r\n`,
    `GET http://host/tor/keys/fp-sk/${HEX}-${HEX} HTTP/1.0\r\n\r\n`,
    'POST /tor/hs/3/publish HTTP/1.0\r\nContent-Length: 12\r\n\r\nhs-descriptor',
  ].map(bytesOf),
  dictionary: [
    '\r\n\r\n',
    '\r\nContent-Length: ',
    ' HTTP/1.0\r\n',
    '/tor/',
    '+',
    '-',
    '.z',
    '/diff/',
    'opt',
    '\0',
  ].map(bytesOf),
  run: (bytes) => {
    const whole = new RequestReader().push(bytes);
    const pieces = collect(bytes);
    expect(pieces?.head).toEqual(whole?.head);
    const atOnce = readWholeRequest(bytes);
    if (atOnce !== null) expect(whole).toEqual({ head: atOnce, body: new Uint8Array(0) });
    if (whole === null) return;
    expect(whole.head.length).toBeLessThan(REQUEST_HEAD_BYTES_MAX);
    expect(text(bytes)).toStartWith(whole.head);
    const { query, url, encodings } = parseDirectoryRequest(whole.head);
    expect(encodings & 1).toBe(1);
    if (query.kind !== 'error') expect(url).toStartWith('/tor/');
    if (!('ids' in query)) return;
    for (let i = 1; i < query.ids.length; i++) {
      expect(Buffer.compare(query.ids[i - 1]!, query.ids[i]!)).toBe(-1);
    }
  },
});

/** Feed a reader seven bytes at a time. */
function collect(bytes: Uint8Array): ReturnType<RequestReader['push']> {
  const reader = new RequestReader();
  for (let at = 0; at < bytes.length; at += 7) {
    const request = reader.push(bytes.subarray(at, at + 7));
    if (request !== null) return request;
    if (reader.heldBytes > 200_000) throw new Malformed('test', 'holds too much');
  }
  return null;
}
