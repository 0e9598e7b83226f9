/** Damaged directory requests against a shelf: each ends with an answer that HTTP knows, or without one; nothing stays. */
import { expect } from 'bun:test';
import { DirectoryDesk } from '../edge/directory-desk.ts';
import { keyOf, OWN_ID, ShelfFixture } from '../edge/shelf-fixture.ts';
import { fuzz } from './fuzz.ts';

const hex = (value: number, bytes: number): string => Buffer.from(keyOf(value, bytes)).toString('hex');
const base64 = (value: number): string => Buffer.from(keyOf(value, 32)).toString('base64').replace('=', '');
const CONSENSUS = '/tor/status-vote/current/consensus';

const desk = new DirectoryDesk(
  new ShelfFixture()
    .consensus('ns', { identity: 'ns', deflate: 'ns deflated', zstd: 'ns zstd' })
    .consensus('microdesc', { identity: 'md', deflate: 'md deflated', zstd: 'md zstd' })
    .put('diffMicrodesc', Uint8Array.of(...keyOf(1, 32), 3), 'diff zstd')
    .put('microdescriptor', keyOf(1, 32), 'microdescriptor one\n')
    .put('microdescriptor', keyOf(2, 32), 'microdescriptor two\n')
    .put('serverByIdentity', OWN_ID, 'ours\n')
    .put('serverByDigest', keyOf(5, 20), 'server\n')
    .put('extraByDigest', keyOf(6, 20), 'extra\n')
    .put('certificate', keyOf(1, 40), 'certificate\n')
    .block(),
  { frontPage: Buffer.from('<html></html>') },
);

const request = (path: string, ...headers: string[]): Buffer =>
  Buffer.from([`GET ${path} HTTP/1.0`, ...headers, '', ''].join('\r\n'));

/** Every answer begins so, and C tor's clients read no other. */
const STATUS = /^HTTP\/1\.0 (200 OK|304 Not modified|400 [^\r\n]+|404 [^\r\n]+|503 [^\r\n]+)\r\nDate: /;

fuzz('directory-stream', {
  corpus: [
    request(CONSENSUS, 'Accept-Encoding: gzip'),
    request(`${CONSENSUS}-microdesc.z`, `X-Or-Diff-From-Consensus: ${hex(1, 32)}`, 'Accept-Encoding: x-zstd'),
    request(`${CONSENSUS}-microdesc/diff/${hex(1, 32)}/AA+BB`, 'Accept-Encoding: x-zstd'),
    request(CONSENSUS, 'If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT', 'Accept-Encoding: deflate'),
    request(`/tor/micro/d/${base64(1)}-${base64(2)}`, 'Accept-Encoding: x-zstd, deflate, gzip'),
    request(`/tor/server/d/${hex(5, 20)}+${hex(9, 20)}`),
    request('/tor/server/authority', 'Accept-Encoding: deflate'),
    request(`/tor/extra/d/${hex(6, 20)}`, 'Accept-Encoding: gzip'),
    request(`/tor/keys/fp-sk/${hex(1, 20)}-${hex(1, 20)}`),
    request('/tor/robots.txt', 'X-Forwarded-For: 192.0.2.7'),
    request('/'),
    Buffer.from('POST /tor/ HTTP/1.0\r\nContent-Length: 12\r\n\r\nrouter hello'),
    Buffer.from('POST /tor/hs/3/publish HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc'),
  ],
  dictionary: [
    '\r\n\r\n',
    '\r\nContent-Length: 16777215\r\n',
    '\r\nContent-Length: -1\r\n',
    '\r\nAccept-Encoding: x-zstd\r\n',
    '/tor/',
    '.z',
    '+',
    '-',
    '\0',
    'HTTP/1.1',
    'HEAD ',
  ].map((word) => Buffer.from(word)),
  run: (bytes) => {
    const stream = desk.open({ isTunnelled: bytes.length % 2 === 0, prevIsRelay: bytes.length % 3 === 0 });
    const half = bytes.length >> 1;
    stream.end.take(bytes.subarray(0, half));
    stream.end.take(bytes.subarray(half));
    expect(stream.end.heldBytes).toBeLessThan(1 << 17);
    while (stream.pull() > 0);
    const text = stream.bytes.toString('latin1');
    if (text !== '') expect(text).toMatch(STATUS);
    stream.end.close();
    expect(desk.service.heldBytes).toBe(desk.service.keptBytes);
  },
});
