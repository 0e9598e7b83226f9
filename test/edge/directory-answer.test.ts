/** Answers to directory requests: status lines, headers and documents, as C tor 0.4.9.11 gives them. */
import { describe, expect, test } from 'bun:test';
import { deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { DirectoryDesk } from './directory-desk.ts';
import { keyOf, OWN_ID, ShelfFixture, VALID_AFTER_SEC } from './shelf-fixture.ts';

const DAY_SEC = 86_400;
const hex = (value: number, bytes: number): string => Buffer.from(keyOf(value, bytes)).toString('hex');
const base64 = (value: number): string => Buffer.from(keyOf(value, 32)).toString('base64').replace('=', '');
const date = (sec: number): string => new Date(sec * 1000).toUTCString();

function pairKey(id: number, signing: number): Uint8Array {
  return Uint8Array.of(...keyOf(id, 20), ...keyOf(signing, 20));
}

function diffKey(base: number, encoding: number): Uint8Array {
  return Uint8Array.of(...keyOf(base, 32), encoding);
}

const GZIPPED = gzipSync(Buffer.from('md diff'));

function fixture(): ShelfFixture {
  return new ShelfFixture()
    .consensus('ns', { identity: 'ns whole', deflate: 'ns deflated', zstd: 'ns zstd' })
    .consensus('microdesc', { identity: 'md whole', deflate: 'md deflated', zstd: 'md zstd' })
    .put('diffMicrodesc', diffKey(1, 2), GZIPPED)
    .put('diffMicrodesc', diffKey(1, 3), 'md diff zstd')
    .put('microdescriptor', keyOf(1, 32), 'microdescriptor one\n')
    .put('microdescriptor', keyOf(2, 32), 'microdescriptor two\n')
    .put('serverByIdentity', keyOf(1, 20), 'server one\n')
    .put('serverByIdentity', keyOf(2, 20), 'server two, old\n', VALID_AFTER_SEC - 2 * DAY_SEC)
    .put('serverByIdentity', OWN_ID, 'our own server descriptor\n')
    .put('serverByDigest', keyOf(5, 20), 'server two, old\n', VALID_AFTER_SEC - 2 * DAY_SEC)
    .put('extraByIdentity', keyOf(1, 20), 'extra one\n')
    .put('extraByDigest', keyOf(6, 20), 'extra one\n')
    .put('certificate', pairKey(1, 11), 'certificate 1 old\n', VALID_AFTER_SEC - 9 * DAY_SEC)
    .put('certificate', pairKey(1, 12), 'certificate 1 new\n', VALID_AFTER_SEC - DAY_SEC)
    .put('certificate', pairKey(2, 21), 'certificate 2\n', VALID_AFTER_SEC - 2 * DAY_SEC);
}

const desk = (): DirectoryDesk => new DirectoryDesk(fixture().block());
const CONSENSUS = '/tor/status-vote/current/consensus';
/** Encoded documents of the fixture are no streams; their bodies are looked at as they are. */
const plain = (line: string): string => line.replace('Content-Encoding', 'Encoding');

/** Ask without decoding the body. */
async function raw(one: DirectoryDesk, path: string, headers: readonly string[] = []): Promise<string> {
  const stream = one.open();
  stream.end.take(Buffer.from([`GET ${path} HTTP/1.0`, ...headers, '', ''].join('\r\n')));
  await stream.finish();
  return stream.bytes.toString('latin1');
}

describe('a consensus', () => {
  test('comes with its headers in order', async () => {
    const answered = await desk().get(CONSENSUS);
    expect(answered.statusLine).toBe('HTTP/1.0 200 OK');
    expect(answered.date).toBe(`Date: ${date(VALID_AFTER_SEC + 60)}`);
    expect(answered.headers).toEqual([
      'Content-Type: text/plain',
      'Content-Encoding: identity',
      `Expires: ${date(VALID_AFTER_SEC + 3600)}`,
      'Vary: X-Or-Diff-From-Consensus',
    ]);
    expect(answered.body).toBe('ns whole');
    expect(answered.endReason).toBe(6);
  });

  test.each([
    ['gzip', 'deflate', 'md deflated'],
    ['deflate', 'deflate', 'md deflated'],
    ['x-zstd', 'x-zstd', 'md zstd'],
    ['x-tor-lzma, x-zstd, gzip, deflate', 'x-zstd', 'md zstd'],
    ['Gzip, *, deflate;q=1', 'identity', 'md whole'],
    ['x-tor-lzma', 'identity', 'md whole'],
  ])('for a client that takes %s is in %s', async (accepted, encoding, body) => {
    const text = await raw(desk(), `${CONSENSUS}-microdesc`, [`Accept-Encoding: ${accepted}`]);
    expect(text).toContain(`\r\nContent-Encoding: ${encoding}\r\n`);
    expect(text.endsWith(`\r\n\r\n${body}`)).toBe(true);
  });

  test('of an unknown flavour is the ordinary one, and .z means deflate', async () => {
    expect(await raw(desk(), `${CONSENSUS}-nonesuch`)).toEndWith('ns whole');
    expect(await raw(desk(), `${CONSENSUS}.z`)).toEndWith('ns deflated');
  });

  test('is not modified since, from the second after it became valid', async () => {
    const since = (sec: number): string[] => [`If-Modified-Since: ${date(sec)}`];
    const one = desk();
    expect((await one.get(CONSENSUS, since(VALID_AFTER_SEC))).statusLine).toBe('HTTP/1.0 200 OK');
    const answered = await one.get(CONSENSUS, since(VALID_AFTER_SEC + 1));
    expect(answered.statusLine).toBe('HTTP/1.0 304 Not modified');
    expect([answered.headers, answered.body, answered.date !== null]).toEqual([[], '', true]);
    expect(one.count('directory_status_not_modified')).toBe(1);
    expect(one.count('directory_not_modified')).toBe(1);
  });

  test('that is stale must not be cached; one that is a day over is not served', async () => {
    const one = desk();
    one.nowSec = VALID_AFTER_SEC + 3600;
    expect((await one.get(CONSENSUS)).headers).toContain('Pragma: no-cache');
    one.nowSec = VALID_AFTER_SEC + 3 * 3600 + DAY_SEC + 1;
    expect((await one.get(CONSENSUS)).statusLine).toBe('HTTP/1.0 404 Consensus is too old');
    one.nowSec = VALID_AFTER_SEC - DAY_SEC - 1;
    expect((await one.get(CONSENSUS)).statusLine).toBe('HTTP/1.0 404 Consensus is too new');
    expect(one.count('directory_status_not_found')).toBe(2);
  });

  test('is given to those whom more than half of their authorities suffice', async () => {
    const one = desk();
    expect((await one.get(`${CONSENSUS}/aa+bb+dd`)).body).toBe('ns whole');
    const answered = await one.get(`${CONSENSUS}-microdesc/AA+DD`);
    const reason = 'Consensus not signed by sufficient number of requested authorities';
    expect(answered.statusLine).toBe(`HTTP/1.0 404 ${reason}`);
    expect(one.count('directory_status_not_enough_signatures')).toBe(1);
  });

  test('that we do not have is not found', async () => {
    const one = new DirectoryDesk(new ShelfFixture().put('certificate', pairKey(1, 1), 'x').block());
    expect((await one.get(CONSENSUS)).statusLine).toBe('HTTP/1.0 404 Not found');
    expect((await one.get(`${CONSENSUS}/diff/${hex(1, 32)}`)).statusLine).toBe(
      'HTTP/1.0 404 No such diff available',
    );
    expect(one.count('directory_refused')).toBe(2);
  });
});

describe('a consensus diff', () => {
  const from = (value: number): string[] => [`X-Or-Diff-From-Consensus: ${hex(value, 32)}`];

  test('is given by header and by URL', async () => {
    const one = desk();
    const byHeader = await one.get(`${CONSENSUS}-microdesc`, from(1));
    expect([byHeader.body, byHeader.headers.at(-1)]).toEqual(['md diff', 'Vary: X-Or-Diff-From-Consensus']);
    expect((await one.get(`${CONSENSUS}-microdesc/diff/${hex(1, 32)}/AA`)).body).toBe('md diff');
    expect(one.count('directory_tunnelled_begun')).toBe(2);
    expect(one.count('directory_tunnelled_finished')).toBe(2);
    expect(one.count('directory_status_answered')).toBe(2);
  });

  test.each([
    ['gzip', 'gzip', GZIPPED.toString('latin1')],
    ['deflate', 'identity', 'md diff'],
    ['gzip, x-zstd', 'x-zstd', 'md diff zstd'],
  ])('for a client that takes %s is in %s', async (accepted, encoding, body) => {
    const text = await raw(desk(), `${CONSENSUS}-microdesc`, [`Accept-Encoding: ${accepted}`, ...from(1)]);
    expect(plain(text)).toContain(`\r\nEncoding: ${encoding}\r\n`);
    expect(text).toEndWith(`\r\n\r\n${body}`);
  });

  test('from an unknown consensus is the whole one by header, and none by URL', async () => {
    const one = desk();
    expect((await one.get(`${CONSENSUS}-microdesc`, from(9))).body).toBe('md whole');
    expect((await one.get(CONSENSUS, from(1))).body).toBe('ns whole');
    expect((await one.get(`${CONSENSUS}-microdesc/diff/${hex(9, 32)}`)).statusLine).toBe(
      'HTTP/1.0 404 No such diff available',
    );
    expect((await one.get(`${CONSENSUS}/diff/xyz`)).statusLine).toBe("HTTP/1.0 404 Couldn't parse request");
  });

  test('from the present consensus is no change, by header and by URL', async () => {
    const one = desk();
    expect((await one.get(CONSENSUS, from(0xcc))).statusLine).toBe('HTTP/1.0 304 Not modified');
    expect((await one.get(`${CONSENSUS}/diff/${hex(0xcc, 32)}`)).statusLine).toBe(
      'HTTP/1.0 304 Not modified',
    );
  });
});

describe('microdescriptors', () => {
  test('come from the last digest to the first, for two days', async () => {
    const answered = await desk().get(`/tor/micro/d/${base64(1)}-${base64(2)}-${base64(1)}-${base64(9)}`);
    expect(answered.body).toBe('microdescriptor two\nmicrodescriptor one\n');
    expect(answered.headers).toEqual([
      'Content-Type: text/plain',
      'Content-Encoding: identity',
      `Expires: ${date(VALID_AFTER_SEC + 60 + 2 * DAY_SEC)}`,
    ]);
  });

  test.each(['x-zstd', 'deflate', 'gzip'])('are compressed with %s on the way', async (encoding) => {
    const answered = await desk().get(`/tor/micro/d/${base64(1)}`, [`Accept-Encoding: ${encoding}`]);
    expect(answered.headers).toContain(`Content-Encoding: ${encoding}`);
    expect(answered.body).toBe('microdescriptor one\n');
  });

  test('that stand alone come as the clerk compressed them', async () => {
    const squeezed = Buffer.from(
      zstdCompressSync(Buffer.from('microdescriptor one\n'), { level: 19 } as object),
    );
    const one = new DirectoryDesk(fixture().put('microdescriptorZstd', keyOf(1, 32), squeezed).block());
    const zstd = ['Accept-Encoding: gzip, x-zstd'];
    const alone = await one.get(`/tor/micro/d/${base64(1)}`, zstd);
    expect([alone.body, alone.wireBytes]).toEqual(['microdescriptor one\n', squeezed.length]);
    expect(alone.headers).toContain('Content-Encoding: x-zstd');
    expect(one.service.heldBytes).toBe(0);
    expect((await one.get(`/tor/micro/d/${base64(2)}`, zstd)).body).toBe('microdescriptor two\n');
    expect((await one.get(`/tor/micro/d/${base64(1)}-${base64(2)}`, zstd)).body).toContain('two\nmicro');
  });

  test('that stand alone come as the clerk deflated them, to who reads no more', async () => {
    const squeezed = Buffer.from(deflateSync(Buffer.from('microdescriptor one\n'), { level: 0 }));
    const one = new DirectoryDesk(fixture().put('microdescriptorDeflate', keyOf(1, 32), squeezed).block());
    const ask = (accepted: string) => one.get(`/tor/micro/d/${base64(1)}`, [`Accept-Encoding: ${accepted}`]);
    for (const accepted of ['deflate', 'gzip, deflate']) {
      const alone = await ask(accepted);
      expect([alone.body, alone.wireBytes]).toEqual(['microdescriptor one\n', squeezed.length]);
      expect(alone.headers).toContain('Content-Encoding: deflate');
    }
    // Not in the clerk's bytes, where these are of another encoding, or not there.
    for (const accepted of ['x-zstd', 'gzip', 'identity']) {
      expect((await ask(accepted)).body).toBe('microdescriptor one\n');
    }
    expect((await one.get(`/tor/micro/d/${base64(2)}`, ['Accept-Encoding: deflate'])).body).toBe(
      'microdescriptor two\n',
    );
  });

  test('of which none is here are not found', async () => {
    const one = desk();
    for (const list of [base64(9), 'xyz', '']) {
      expect((await one.get(`/tor/micro/d/${list}`)).statusLine).toBe('HTTP/1.0 404 Not found');
    }
  });
});

describe('descriptors', () => {
  const direct = { isTunnelled: false };

  test('by identity, if they are not a day old; a single one may be kept for two days', async () => {
    const one = desk();
    const answered = await one.get(`/tor/server/fp/${hex(1, 20)}`);
    expect([answered.body, answered.headers.at(-1)]).toEqual([
      'server one\n',
      `Expires: ${date(VALID_AFTER_SEC + 60 + 2 * DAY_SEC)}`,
    ]);
    expect((await one.get(`/tor/server/fp/${hex(2, 20)}`)).statusLine).toBe('HTTP/1.0 404 Not found');
    const two = await one.get(`/tor/server/fp/${hex(1, 20)}+${hex(9, 20)}`);
    expect([two.body, two.headers.at(-1)]).toEqual(['server one\n', 'Pragma: no-cache']);
    // Outside of a circuit, what is not there does not count.
    const outside = await one.get(`/tor/server/fp/${hex(1, 20)}+${hex(9, 20)}`, [], direct);
    expect(outside.headers.at(-1)).toStartWith('Expires: ');
  });

  test('by digest, however old; ours as authority; all of them', async () => {
    const one = desk();
    expect((await one.get(`/tor/server/d/${hex(5, 20)}`)).body).toBe('server two, old\n');
    expect((await one.get('/tor/server/authority')).body).toBe('our own server descriptor\n');
    const all = await one.get('/tor/server/all');
    expect(all.body.split('\n').sort()).toEqual(['', 'our own server descriptor', 'server one']);
    expect(all.headers.at(-1)).toBe(`Expires: ${date(VALID_AFTER_SEC + 60 + 3600)}`);
    one.nowSec += DAY_SEC - 100;
    expect((await one.get('/tor/server/all')).body.length).toBe(all.body.length);
    one.nowSec += 100;
    expect((await one.get('/tor/server/all')).statusLine).toBe('HTTP/1.0 404 Not found');
  });

  test('extra-infos likewise', async () => {
    const one = desk();
    expect((await one.get(`/tor/extra/d/${hex(6, 20)}`)).body).toBe('extra one\n');
    expect((await one.get(`/tor/extra/fp/${hex(1, 20)}`)).body).toBe('extra one\n');
    expect((await one.get('/tor/extra/all')).body).toBe('extra one\n');
    expect((await one.get('/tor/extra/authority')).statusLine).toBe('HTTP/1.0 404 Not found');
  });

  test('that are not there are called differently with and without a circuit', async () => {
    const one = desk();
    const path = `/tor/server/d/${hex(9, 20)}`;
    expect((await one.get(path)).statusLine).toBe('HTTP/1.0 404 Not found');
    expect((await one.get(path, [], direct)).statusLine).toBe('HTTP/1.0 404 Servers unavailable');
    expect((await one.get('/tor/server/fp/xyz')).statusLine).toBe('HTTP/1.0 404 Servers unavailable');
    expect((await one.get('/tor/server/nonesuch')).statusLine).toBe('HTTP/1.0 404 Not found');
  });

  test('a bridge gives no extra-infos', async () => {
    const one = new DirectoryDesk(fixture().block(), { isBridge: true });
    expect((await one.get('/tor/extra/all')).statusLine).toBe('HTTP/1.0 404 Not found');
  });
});

describe('certificates', () => {
  test('by authority: the newest; by signing key; by both; all', async () => {
    const one = desk();
    expect((await one.get(`/tor/keys/fp/${hex(2, 20)}+${hex(1, 20)}`)).body).toBe(
      'certificate 1 new\ncertificate 2\n',
    );
    expect((await one.get(`/tor/keys/sk/${hex(11, 20)}`)).body).toBe('certificate 1 old\n');
    expect((await one.get(`/tor/keys/fp-sk/${hex(1, 20)}-${hex(11, 20)}`)).body).toBe('certificate 1 old\n');
    expect((await one.get('/tor/keys/all')).body.split('\n').length).toBe(4);
    expect((await one.get('/tor/keys/authority')).statusLine).toBe('HTTP/1.0 404 Not found');
    expect((await one.get('/tor/keys/nonesuch')).statusLine).toBe('HTTP/1.0 400 Bad request');
  });

  test('state their length when they are not compressed', async () => {
    const one = desk();
    const headers = (await one.get(`/tor/keys/fp/${hex(2, 20)}`)).headers;
    expect(headers).toEqual([
      'Content-Type: text/plain',
      'Content-Encoding: identity',
      'Content-Length: 14',
      `Expires: ${date(VALID_AFTER_SEC + 60 + 3600)}`,
    ]);
    const compressed = await one.get(`/tor/keys/fp/${hex(2, 20)}`, ['Accept-Encoding: gzip']);
    expect(compressed.headers.some((line) => line.startsWith('Content-Length'))).toBe(false);
    expect(compressed.body).toBe('certificate 2\n');
  });

  test('older than what the client has are left out', async () => {
    const one = desk();
    const since = (sec: number): string[] => [`If-Modified-Since: ${date(sec)}`];
    const both = `/tor/keys/fp/${hex(1, 20)}+${hex(2, 20)}`;
    expect((await one.get(both, since(VALID_AFTER_SEC - DAY_SEC))).body).toBe('certificate 1 new\n');
    expect((await one.get(both, since(VALID_AFTER_SEC))).statusLine).toBe('HTTP/1.0 304 Not modified');
  });
});

describe('everything else', () => {
  test('robots.txt', async () => {
    const one = desk();
    for (const path of ['/tor/robots.txt', '/robots.txt']) {
      const answered = await one.get(path, ['Accept-Encoding: gzip']);
      expect(answered.body).toBe('User-agent: *\r\nDisallow: /\r\n');
      expect(answered.headers).toEqual([
        'Content-Type: text/plain',
        'Content-Encoding: identity',
        'Content-Length: 28',
        `Expires: ${date(VALID_AFTER_SEC + 60 + DAY_SEC)}`,
      ]);
    }
  });

  test('the front page, if there is one', async () => {
    const page = Buffer.from('<html>relay</html>');
    const one = new DirectoryDesk(fixture().block(), { frontPage: page });
    for (const path of ['/', '/tor/']) {
      const answered = await one.get(path);
      expect(answered.body).toBe(page.toString());
      expect(answered.headers).toEqual([
        'Content-Type: text/html',
        'Content-Encoding: identity',
        `Content-Length: ${page.length}`,
        `Expires: ${date(VALID_AFTER_SEC + 60 + 20 * 60)}`,
      ]);
    }
    expect((await desk().get('/')).statusLine).toBe('HTTP/1.0 404 Not found');
  });

  test('votes, bandwidth files and unknown paths are not found', async () => {
    const one = desk();
    for (const path of [
      '/tor/status-vote/next/authority',
      '/tor/status-vote/next/bandwidth',
      '/tor/x',
      '/x',
    ]) {
      expect((await one.get(path)).statusLine).toBe('HTTP/1.0 404 Not found');
    }
    expect((await one.ask('GET / HTTP/2.0\r\n\r\n')).statusLine).toBe('HTTP/1.0 400 Bad request');
  });

  test('onion service descriptors, over one hop and over several', async () => {
    const one = desk();
    const relayed = { prevIsRelay: true };
    expect((await one.get('/tor/hs/3/abc')).statusLine).toBe(
      'HTTP/1.0 503 Rejecting single hop HS v3 descriptor request',
    );
    expect((await one.get('/tor/hs/3/abc', [], relayed)).statusLine).toBe('HTTP/1.0 404 Not found');
    const post = 'POST /tor/hs/3/publish HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc';
    expect((await one.ask(post)).statusLine).toBe('HTTP/1.0 503 Rejecting single hop HS descriptor post');
    expect((await one.ask(post, relayed)).statusLine).toBe('HTTP/1.0 400 Invalid HS descriptor. Rejected.');
    expect((await one.ask(post, { isTunnelled: false, prevIsRelay: true })).statusLine).toStartWith(
      'HTTP/1.0 503',
    );
  });

  test('uploads are refused', async () => {
    const post = 'POST /tor/ HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc';
    expect((await desk().ask(post)).statusLine).toBe(
      'HTTP/1.0 400 Nonauthoritative directory does not accept posted server descriptors',
    );
    const bridge = new DirectoryDesk(fixture().block(), { isBridge: true });
    expect((await bridge.ask(post)).statusLine).toBe('HTTP/1.0 503 Not acting as a public relay');
    expect((await desk().ask('POST /tor/\r\n\r\n')).statusLine).toBe('HTTP/1.0 400 Bad request');
  });
});

describe('the address of the asking side', () => {
  const near = Uint8Array.of(203, 0, 113, 9);
  const address = async (
    one: DirectoryDesk,
    host: Uint8Array,
    headers: readonly string[] = [],
  ): Promise<string | undefined> => {
    const answered = await one.get('/tor/robots.txt', headers, { host });
    return answered.headers.find((line) => line.startsWith('X-Your-Address-Is: '))?.slice(19);
  };

  test('is told to those far away, behind the content type', async () => {
    const one = desk();
    const answered = await one.get('/tor/robots.txt', [], { host: near });
    expect(answered.headers.slice(0, 2)).toEqual([
      'Content-Type: text/plain',
      'X-Your-Address-Is: 203.0.113.9',
    ]);
    const ipv6 = Uint8Array.of(0x26, 0x07, ...new Uint8Array(13), 1);
    expect(await address(one, ipv6)).toBe('2607::1');
  });

  test('is not told to private addresses and neighbours', async () => {
    const one = desk();
    expect(await address(one, Uint8Array.of(10, 0, 0, 1))).toBeUndefined();
    one.ownAddresses = [Uint8Array.of(203, 0, 113, 200)];
    expect(await address(one, near)).toBeUndefined();
    one.ownAddresses = [Uint8Array.of(203, 0, 114, 9)];
    expect(await address(one, near)).toBe('203.0.113.9');
  });

  test('is what a proxy says, unless that is private or none', async () => {
    const one = desk();
    expect(await address(one, near, ['X-Forwarded-For: 8.8.4.4'])).toBe('8.8.4.4');
    expect(await address(one, near, ['forwarded-for: 10.1.1.1'])).toBe('203.0.113.9');
    expect(await address(one, near, ['Forwarded-For: nonsense'])).toBe('203.0.113.9');
  });
});

describe('a relay that is busy', () => {
  test('refuses connections of the DirPort what it has no bandwidth for', async () => {
    const one = desk();
    const asked: number[] = [];
    one.isBusy = (bytes) => {
      asked.push(bytes);
      return true;
    };
    const direct = { isTunnelled: false };
    const paths = [CONSENSUS, `/tor/micro/d/${base64(1)}`, '/tor/server/all', '/tor/keys/all'];
    for (const path of paths) {
      expect((await one.get(path, [], direct)).statusLine).toBe(
        'HTTP/1.0 503 Directory busy, try again later',
      );
    }
    expect(asked[0]).toBe('ns whole'.length);
    expect(one.count('directory_status_busy')).toBe(1);
    expect((await one.get('/tor/robots.txt', [], direct)).statusLine).toBe('HTTP/1.0 200 OK');
    expect((await one.get(CONSENSUS)).statusLine).toBe('HTTP/1.0 200 OK');
    expect(one.count('directory_direct_begun')).toBe(0);
  });

  test('counts what it serves', async () => {
    const one = desk();
    await one.get(CONSENSUS, [], { isTunnelled: false });
    await one.get('/tor/keys/all');
    expect(one.count('directory_direct_begun')).toBe(1);
    expect(one.count('directory_direct_finished')).toBe(1);
    expect(one.count('directory_answered')).toBe(2);
  });
});
