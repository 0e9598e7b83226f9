import { describe, expect, test } from 'bun:test';
import { decodeBase64, encodeBase64Unpadded } from '../../src/bytes/base.ts';
import { Malformed } from '../../src/fault.ts';
import { Encoding } from '../../src/netdoc/content-coding.ts';
import {
  type DirectoryQuery,
  isSignedByEnough,
  type ParsedRequest,
  parseDirectoryRequest,
  REQUEST_BODY_KEPT_MAX,
  RequestReader,
  readWholeRequest,
} from '../../src/netdoc/directory-request.ts';
import { Prng } from '../fuzz/prng.ts';
import { bytesOf, textOf } from './fixture.ts';

const get = (url: string, ...headers: string[]): ParsedRequest =>
  parseDirectoryRequest(`GET ${url} HTTP/1.0\r\n${headers.map((line) => `${line}\r\n`).join('')}\r\n`);
const query = (url: string, ...headers: string[]): DirectoryQuery => get(url, ...headers).query;
const id = (fill: number, bytes = 20): Uint8Array => new Uint8Array(bytes).fill(fill);
const hex = (fill: number, bytes = 20): string => id(fill, bytes).toHex();

describe('URLs', () => {
  test('the front page by each of its names, and robots.txt', () => {
    for (const url of ['/tor/', '/', '', 'http://host/', 'http://host:80/tor/', 'https://[::1]/'])
      expect(query(url === '' ? '/' : url), url).toEqual({ kind: 'front-page' });
    expect(query('/tor/robots.txt')).toEqual({ kind: 'robots' });
    expect(query('/robots.txt')).toEqual({ kind: 'robots' });
    expect(query('robots.txt')).toEqual({ kind: 'robots' });
  });

  test('nothing that we have', () => {
    const other = [
      '/tor/status-vote/next/consensus',
      '/tor/status-vote/current/authority',
      '/tor/micro',
      '/tor/server',
    ];
    const more = [
      '/tor/networkstatus-bridges',
      '/tor/rendezvous2/x',
      '/tor/hs/2/x',
      'http://nohost',
      '/tor/server/x',
    ];
    for (const url of [...other, ...more])
      expect(query(url), url).toEqual({ kind: 'error', status: 404, reason: 'Not found' });
  });

  test('consensuses by flavour and signers', () => {
    const base = { kind: 'consensus', diffFrom: null, diffOnly: false } as const;
    const at = '/tor/status-vote/current/consensus';
    expect(query(at)).toEqual({ ...base, flavour: 'ns', wantedSigners: null });
    expect(query(`${at}.z`)).toEqual({ ...base, flavour: 'ns', wantedSigners: null });
    expect(query(`${at}-microdesc`)).toEqual({ ...base, flavour: 'microdesc', wantedSigners: null });
    expect(query(`${at}-none`)).toEqual({ ...base, flavour: 'ns', wantedSigners: null });
    expect(query(`${at}xyz`)).toEqual({ ...base, flavour: 'ns', wantedSigners: null });
    expect(query(`${at}/ab12+CD.z`)).toEqual({ ...base, flavour: 'ns', wantedSigners: ['AB12', 'CD'] });
    expect(query(`${at}-microdesc/ab`)).toEqual({ ...base, flavour: 'microdesc', wantedSigners: ['AB'] });
    expect(query(`${at}/`)).toEqual({ ...base, flavour: 'ns', wantedSigners: [''] });
  });

  test('diffs by header and by URL', () => {
    const at = '/tor/status-vote/current/consensus-microdesc';
    const header = `X-Or-Diff-From-Consensus: ${hex(1, 32)}  ${hex(2, 32).toUpperCase()} zz ${hex(3)}`;
    const base = { kind: 'consensus', flavour: 'microdesc', diffOnly: false, wantedSigners: ['AB'] } as const;
    expect(query(`${at}/ab`, header)).toEqual({ ...base, diffFrom: [id(1, 32), id(2, 32)] });
    expect(query(`${at}/ab`, 'x-or-diff-from-consensus: ')).toEqual({ ...base, diffFrom: [] });
    const only = { ...base, diffOnly: true, diffFrom: [id(1, 32)] };
    expect(query(`${at}/diff/${hex(1, 32)}/ab`, header)).toEqual(only);
    expect(query(`${at}/diff/${hex(1, 32)}.z`)).toEqual({ ...only, wantedSigners: null });
    const refused = { kind: 'error', status: 404, reason: "Couldn't parse request" } as const;
    expect(query(`${at}/diff/${hex(1)}/ab`)).toEqual(refused);
    expect(query(`${at}/diff/`)).toEqual(refused);
  });

  test('microdescriptors: sorted, each once, what does not read left out', () => {
    const name = (fill: number): string => id(fill, 32).toBase64({ omitPadding: true });
    const url = `/tor/micro/d/${name(9)}-${name(1)}-short-${name(9)}`;
    const wanted = { kind: 'microdescriptors', ids: [id(1, 32), id(9, 32)] } as const;
    expect(query(url)).toEqual(wanted);
    expect(query(`${url}.z`)).toEqual(wanted);
    expect(query(`/tor/micro/d/${name(1)}=`)).toEqual({ kind: 'microdescriptors', ids: [] });
  });

  test('server descriptors and extra-infos', () => {
    for (const [path, kind] of [
      ['server', 'server-descriptors'],
      ['extra', 'extra-infos'],
    ] as const) {
      expect(query(`/tor/${path}/all`)).toEqual({ kind, by: 'all', ids: [] });
      expect(query(`/tor/${path}/all.z`)).toEqual({ kind, by: 'all', ids: [] });
      expect(query(`/tor/${path}/authority`)).toEqual({ kind, by: 'authority', ids: [] });
      const list = `${hex(0xfe)}+${hex(1).toUpperCase()}+x+${hex(0xfe)}`;
      expect(query(`/tor/${path}/fp/${list}`)).toEqual({ kind, by: 'fp', ids: [id(1), id(0xfe)] });
      expect(query(`/tor/${path}/d/${list}.z`)).toEqual({ kind, by: 'd', ids: [id(1), id(0xfe)] });
      const none = { kind: 'error', status: 404, reason: 'Servers unavailable' } as const;
      expect(query(`/tor/${path}/fp/`)).toEqual(none);
      expect(query(`/tor/${path}/d/xyz`)).toEqual(none);
    }
  });

  test('certificates', () => {
    const kind = 'certificates';
    expect(query('/tor/keys/all')).toEqual({ kind, by: 'all', ids: [] });
    expect(query('/tor/keys/authority.z')).toEqual({ kind, by: 'authority', ids: [] });
    expect(query(`/tor/keys/fp/${hex(2)}+${hex(1)}`)).toEqual({ kind, by: 'fp', ids: [id(1), id(2)] });
    expect(query(`/tor/keys/sk/${hex(2)}`)).toEqual({ kind, by: 'sk', ids: [id(2)] });
    const pair = new Uint8Array([...id(1), ...id(2)]);
    const pairs = `${hex(1)}-${hex(2)}+${hex(1)}-${hex(2)}+${hex(1)}+${hex(2)}`;
    expect(query(`/tor/keys/fp-sk/${pairs}`)).toEqual({ kind, by: 'fp-sk', ids: [pair] });
    for (const url of ['/tor/keys/', '/tor/keys/x', '/tor/keys/fp'])
      expect(query(url), url).toEqual({ kind: 'error', status: 400, reason: 'Bad request' });
  });

  test('onion services: fetching, and publishing', () => {
    expect(query('/tor/hs/3/abc')).toEqual({ kind: 'onion-descriptor', key: 'abc' });
    const post = (url: string): DirectoryQuery => parseDirectoryRequest(`POST ${url} HTTP/1.0\r\n\r\n`).query;
    expect(post('/tor/hs/3/publish')).toEqual({ kind: 'publish-onion-descriptor', version: 3 });
    expect(post('/tor/hs/3/other')).toEqual({ kind: 'publish-onion-descriptor', version: -1 });
    expect(post('/tor/hs/publish')).toEqual({ kind: 'publish-onion-descriptor', version: -1 });
    expect(post('/tor/')).toEqual({ kind: 'upload' });
  });
});

describe('request lines', () => {
  test('either case, any HTTP/1 version, blanks between words', () => {
    for (const line of [
      'GET /tor/ HTTP/1.0\r',
      'get /tor/ HTTP/1.1\r',
      'GETAWAY /tor/ HTTP/1.99\r',
      'GET  /tor/ \t HTTP/1.0\r',
    ])
      expect(parseDirectoryRequest(`${line}\n\r\n`).query, line).toEqual({ kind: 'front-page' });
  });

  test('a bad line is a bad request', () => {
    for (const line of [
      'GET',
      'GET /tor/\r',
      'GET /tor/ HTTP/2.0\r',
      'GET /tor/ HTTP/1.\r',
      'GET /tor/ HTTP/1.0 \r',
      'GET /tor/ HTTP/1.4294967296\r',
      'GET /a#b HTTP/1.0\r',
      'GET /a b HTTP/1.0\r',
      'POST /tor/hs/3/publish\r',
    ]) {
      const bad = { kind: 'error', status: 400, reason: 'Bad request' } as const;
      expect(parseDirectoryRequest(`${line}\n\r\n`).query, line).toEqual(bad);
    }
  });

  test('other methods get no answer', () => {
    for (const line of ['HEAD /tor/ HTTP/1.0', 'PUT /tor/ HTTP/1.0', ' GET /tor/ HTTP/1.0', '', '\0GET'])
      expect(() => parseDirectoryRequest(`${line}\r\n\r\n`), line).toThrow(Malformed);
  });

  test('a NUL ends what is read', () => {
    const { encodings } = parseDirectoryRequest('GET /tor/ HTTP/1.0\r\n\0\r\nAccept-Encoding: gzip\r\n\r\n');
    expect(encodings).toBe(Encoding.identity);
  });
});

test('headers: the first of its name counts, whatever the case of the name', () => {
  const { encodings, modifiedSinceSec } = get(
    '/tor/',
    'accept-encoding: gzip',
    'Accept-Encoding: x-zstd',
    'If-Modified-Since: Sun, 22 Nov 2026 14:27:00 GMT',
  );
  expect(encodings).toBe(Encoding.identity | Encoding.gzip);
  expect(modifiedSinceSec).toBe(1795357620);
  expect(get('/tor/', 'If-Modified-Since: yesterday').modifiedSinceSec).toBe(0);
  expect(get('/tor/', 'X-Accept-Encoding: gzip').encodings).toBe(Encoding.identity);
});

test('".z" asks for deflate beside what the header says', () => {
  expect(get('/tor/keys/all.z').encodings).toBe(Encoding.identity | Encoding.deflate);
  expect(get('/tor/keys/all.z').url).toBe('/tor/keys/all');
  expect(get('/tor/keys/all.z', 'Accept-Encoding: x-zstd').encodings).toBe(
    Encoding.identity | Encoding.deflate | Encoding.zstd,
  );
});

test('enough signers: more than half of those that are named', () => {
  const signers = ['AB12', 'CD34', 'EF56'];
  expect(isSignedByEnough([''], signers)).toBe(true);
  expect(isSignedByEnough(['AB', 'CD'], signers)).toBe(true);
  expect(isSignedByEnough(['AB', '99'], signers)).toBe(false);
  expect(isSignedByEnough(['AB', 'CD', '99'], signers)).toBe(true);
  expect(isSignedByEnough([], signers)).toBe(false);
});

describe('collecting', () => {
  const read = (parts: readonly (string | Uint8Array)[]) => {
    const reader = new RequestReader();
    let request = null;
    for (const part of parts) {
      expect(request).toBeNull();
      request = reader.push(typeof part === 'string' ? bytesOf(part) : part);
    }
    return request;
  };

  test('a head in one piece, and byte by byte', () => {
    const text = 'GET /tor/ HTTP/1.0\r\nHost: x\r\n\r\n';
    expect(read([text])).toEqual({ head: text, body: new Uint8Array(0) });
    expect(read([...text])).toEqual({ head: text, body: new Uint8Array(0) });
    for (let at = 1; at < text.length; at++) {
      expect(read([text.slice(0, at)])).toBeNull();
      expect(read([text.slice(0, at), text.slice(at)])?.head).toBe(text);
    }
  });

  test('a body of the length that is said', () => {
    const head = 'POST /tor/ HTTP/1.0\r\nContent-Length: 5\r\n\r\n';
    expect(read([`${head}hel`])).toBeNull();
    expect(textOf(read([`${head}hel`, 'lo'])!.body!)).toBe('hello');
    expect(textOf(read([`${head}hello, world`])!.body!)).toBe('hello');
    expect(textOf(read([...head, ...'hello'])!.body!)).toBe('hello');
    const none = 'POST /tor/ HTTP/1.0\r\ncontent-length: 5\r\n\r\n';
    expect(textOf(read([`${none}he`])!.body!)).toBe('he');
  });

  test('a bad length closes, one with blanks does not', () => {
    for (const value of ['x', '', '-1', '5x', '2147483648', '99999999999999999999', '5 5'])
      expect(() => read([`GET / HTTP/1.0\r\nContent-Length: ${value}\r\n\r\n`]), value).toThrow(
        /Content-Length/,
      );
    expect(read(['GET / HTTP/1.0\r\nContent-Length: 0 \r\n\r\n'])?.body?.length).toBe(0);
  });

  test('a head of 50,000 bytes closes, whether it ends or not', () => {
    const head = (bytes: number): string => {
      const start = 'GET / HTTP/1.0\r\nX: ';
      return `${start}${'x'.repeat(bytes - start.length - 4)}\r\n\r\n`;
    };
    expect(read([head(49_999)])?.head.length).toBe(49_999);
    expect(() => read([head(50_000)])).toThrow(/head is too long/);
    expect(() => read(['x'.repeat(49_999), 'x'])).toThrow(/head is too long/);
  });

  test('a long body is counted, not kept, and closes at 16 MiB', () => {
    const reader = new RequestReader();
    const length = REQUEST_BODY_KEPT_MAX + 1;
    reader.push(bytesOf(`POST /tor/ HTTP/1.0\r\nContent-Length: ${length}\r\n\r\n`));
    expect(reader.push(new Uint8Array(REQUEST_BODY_KEPT_MAX))).toBeNull();
    expect(reader.heldBytes).toBeGreaterThan(REQUEST_BODY_KEPT_MAX);
    expect(reader.push(new Uint8Array(1))).toMatchObject({ body: null });
    expect(reader.heldBytes).toBeLessThan(1000);

    const endless = new RequestReader();
    endless.push(bytesOf('POST /tor/ HTTP/1.0\r\nContent-Length: 2000000000\r\n\r\n'));
    const chunk = new Uint8Array(1 << 20);
    const feed = (): void => {
      for (let i = 0; i < 16; i++) {
        expect(endless.push(chunk)).toBeNull();
        expect(endless.heldBytes).toBeLessThan(2 * REQUEST_BODY_KEPT_MAX);
      }
    };
    expect(feed).toThrow(/body is too long/);
  });
});

describe('a request in one piece', () => {
  const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');
  const whole = (request: string): string | null => readWholeRequest(bytes(request));

  test('is its head, wherever it lies', () => {
    const request = 'GET /tor/ HTTP/1.0\r\nHost: \xe4\r\n\r\n';
    expect(whole(request)).toBe(request);
    const around = bytes(`xx${request}yy`);
    expect(readWholeRequest(around.subarray(2, 2 + request.length))).toBe(request);
  });

  test.each([
    ['without its end', 'GET /tor/ HTTP/1.0\r\n\r'],
    ['with something behind', 'GET /tor/ HTTP/1.0\r\n\r\n.'],
    ['with a body to come', 'POST /tor/ HTTP/1.0\r\nContent-Length: 0\r\n\r\n'],
    ['with a bad length', 'GET /tor/ HTTP/1.0\r\nContent-Length: x\r\n\r\n'],
    ['that is too long', `GET /${'a'.repeat(50_000)} HTTP/1.0\r\n\r\n`],
    ['of nothing', ''],
  ])('%s is left to the reader', (_what, request) => {
    expect(whole(request)).toBeNull();
  });
});

describe('headers that came before', () => {
  const diff = (fill: number): string => `X-Or-Diff-From-Consensus: ${hex(fill, 32)}`;
  const at = '/tor/status-vote/current/consensus';

  test('say the same again, and others what they say', () => {
    const plain = ['Host: 127.0.0.1', 'Accept-Encoding: deflate'];
    for (let again = 0; again < 3; again++) {
      expect(get(at, ...plain).encodings).toBe(Encoding.identity | Encoding.deflate);
      expect(get(`${at}.z`, 'Host: 127.0.0.1').encodings).toBe(Encoding.identity | Encoding.deflate);
      expect(get(at, 'Host: 127.0.0.1').encodings).toBe(Encoding.identity);
      expect(query(at, ...plain, diff(1))).toMatchObject({ diffFrom: [id(1, 32)] });
      expect(query(at, ...plain, diff(2))).toMatchObject({ diffFrom: [id(2, 32)] });
      expect(query(at, ...plain)).toMatchObject({ diffFrom: null });
      expect(get(at, 'Forwarded-For: 192.0.2.1').forwardedFor).toBe('192.0.2.1');
      expect(get(at, 'x-forwarded-for: 192.0.2.2').forwardedFor).toBe('192.0.2.2');
      expect(get(at, ...plain).forwardedFor).toBeNull();
    }
  });

  test('may be of more kinds than are kept, and longer', () => {
    const names = Array.from({ length: 300 }, (_, i) => `X-Other: ${i}`);
    for (const name of [...names, ...names]) expect(get(at, name, diff(3)).encodings).toBe(1);
    const long = `X-Other: ${'a'.repeat(5000)}`;
    for (const fill of [4, 5])
      expect(query(at, long, diff(fill))).toMatchObject({ diffFrom: [id(fill, 32)] });
  });
});

describe('digests of microdescriptors', () => {
  const list = (text: string): DirectoryQuery => query(`/tor/micro/d/${text}`);
  const prng = new Prng(3);

  test('are read as they were printed', () => {
    for (let i = 0; i < 500; i++) {
      const digest = new Uint8Array(prng.bytes(32));
      expect(list(encodeBase64Unpadded(digest))).toEqual({ kind: 'microdescriptors', ids: [digest] });
    }
  });

  test('are as base64 has them, whatever is changed in one', () => {
    const text = encodeBase64Unpadded(new Uint8Array(prng.bytes(32)));
    for (let at = 0; at < text.length; at++) {
      for (let code = 0x21; code < 0x180; code++) {
        const changed = text.slice(0, at) + String.fromCharCode(code) + text.slice(at + 1);
        // These end the digest, or the URL.
        if ('-#'.includes(changed[at]!)) continue;
        const expected = decodeBase64(changed);
        expect(list(changed)).toEqual({ kind: 'microdescriptors', ids: expected === null ? [] : [expected] });
      }
    }
  });
});
