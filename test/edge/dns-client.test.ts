/** Asking nameservers, against some on loopback that answer, lie, stammer and fall silent. */

import { afterEach, describe, expect, test } from 'bun:test';
import { printIp } from '../../src/bytes/address.ts';
import { RecordType, ResponseCode } from '../../src/dns/message.ts';
import { setLogSink } from '../../src/log.ts';
import type { CounterName } from '../../src/shm/counter.ts';
import { answerBytes, soa } from '../dns/answers.ts';
import { type Answerer, TestNameserver } from '../dns/nameserver.ts';
import { ask, DnsRig, dnsParams, until } from './dns-rig.ts';

const { A, AAAA, PTR } = RecordType;
const undo: (() => void)[] = [];

afterEach(() => {
  for (const each of undo.splice(0).reverse()) each();
  setLogSink(null);
});

async function nameserver(answer: Answerer, port = 0): Promise<TestNameserver> {
  const server = await TestNameserver.start(answer, port);
  undo.push(() => server.stop());
  return server;
}

function rig(): DnsRig {
  const made = new DnsRig();
  undo.push(() => made.stop());
  return made;
}

function listen(): string[] {
  const said: string[] = [];
  setLogSink(({ severity, text }) => {
    if (severity !== 'info') said.push(`${severity} ${text}`);
  });
  return said;
}

const address = (last: number) => ({
  records: [{ type: A, ttlSec: 77, data: Uint8Array.of(192, 0, 2, last) }],
});
const always: Answerer = () => address(1);
const silence: Answerer = () => null;

describe('answers', () => {
  test('addresses, host names, and their TTL', async () => {
    const server = await nameserver(({ type }) =>
      type === A
        ? address(9)
        : type === AAAA
          ? { records: [{ type: AAAA, data: new Uint8Array(16).fill(1) }] }
          : { records: [{ type: PTR, data: 'host.example' }] },
    );
    const use = rig();
    const client = use.client(dnsParams([server.port]));
    const found = await ask(client, 'www.example.org', A);
    expect([found.hosts.map(printIp), found.ttlSec, found.failure]).toEqual([['192.0.2.9'], 77, null]);
    expect((await ask(client, 'www.example.org', AAAA)).hosts).toHaveLength(1);
    expect((await ask(client, '1.2.0.192.in-addr.arpa', PTR)).hostname).toBe('host.example');
    expect([use.count('dns_queries'), use.count('dns_answered'), client.inFlight]).toEqual([3, 3, 0]);
  });

  const outcomes: [number, string, CounterName][] = [
    [ResponseCode.FORMAT, 'format', 'dns_failed_format'],
    [ResponseCode.SERVER_FAILED, 'serverfailed', 'dns_failed_serverfailed'],
    [ResponseCode.NAME, 'notexist', 'dns_failed_notexist'],
    [ResponseCode.NOT_IMPLEMENTED, 'notimpl', 'dns_failed_notimpl'],
    [ResponseCode.REFUSED, 'refused', 'dns_failed_refused'],
    [9, 'unknown', 'dns_failed_unknown'],
    [ResponseCode.OK, 'nodata', 'dns_failed_nodata'],
  ];
  for (const [code, failure, counter] of outcomes) {
    test(failure, async () => {
      const server = await nameserver(() => ({ code, authorities: [soa(30, 40)] }));
      const use = rig();
      const result = await ask(use.client(dnsParams([server.port])), 'www.example.org', A);
      expect(result).toEqual({
        failure: failure as never,
        hosts: [],
        hostname: null,
        ttlSec: failure === 'notexist' || failure === 'nodata' ? 30 : 0,
      });
      expect(use.count(counter)).toBe(1);
      // Asking a nameserver again that failed may help; one that refused would refuse again.
      expect(server.asked).toHaveLength(failure === 'serverfailed' ? 2 : 1);
    });
  }

  test('over IPv6, too', async () => {
    const udp = await Bun.udpSocket({
      hostname: '::1',
      port: 0,
      socket: {
        data: (socket, bytes, port, host) => {
          const reply = bytes.slice();
          // As a name that there is not.
          reply[2]! |= 0x80;
          reply[3]! |= ResponseCode.NAME;
          socket.send(reply, port, host);
        },
      },
    });
    undo.push(() => udp.close());
    const host = new Uint8Array(16);
    host[15] = 1;
    const client = rig().client({ ...dnsParams([]), nameservers: [{ host, port: udp.port }] });
    expect((await ask(client, 'www.example.org', A)).failure).toBe('notexist');
  });

  test('numbers, ports and cases vary', async () => {
    const server = await nameserver(always);
    const client = rig().client(dnsParams([server.port]));
    for (let i = 0; i < 80; i++) await ask(client, 'abcdefghijklmnop.example', A);
    const distinct = (pick: (each: (typeof server.asked)[number]) => unknown) =>
      new Set(server.asked.map(pick)).size;
    expect(distinct(({ id }) => id)).toBeGreaterThan(75);
    expect(distinct(({ port }) => port)).toBe(3);
    expect(distinct(({ name }) => name)).toBeGreaterThan(75);
  });

  test('RandomizeCase 0 asks as it is', async () => {
    const server = await nameserver(always);
    await ask(rig().client(dnsParams([server.port], { randomizeCase: false })), 'www.example.org', A);
    expect(server.asked[0]!.name).toBe('www.example.org');
  });
});

describe('what is no answer', () => {
  test('other numbers, names, types and cases are not taken; the true answer behind them is', async () => {
    const server = await nameserver(silence);
    const use = rig();
    const client = use.client(dnsParams([server.port]));
    const result = ask(client, 'www.example.org', A);
    await until(() => server.asked.length === 1);
    const { id, name, port } = server.asked[0]!;
    const swapped = name.replace(/[a-z]/i, (letter) =>
      letter < 'a' ? letter.toLowerCase() : letter.toUpperCase(),
    );
    const forged = [
      answerBytes(id ^ 1, name, A, address(66)),
      answerBytes(id, 'www.example.com', A, address(66)),
      answerBytes(id, name, AAAA, address(66)),
      answerBytes(id, swapped, A, address(66)),
      answerBytes(id, name, A, { ...address(66), flags: 0x0100 }),
      answerBytes(id, name, A, address(66)).subarray(0, 40),
      Uint8Array.of(1, 2, 3),
    ];
    for (const bytes of forged) server.send(bytes, port);
    await until(() => use.count('dns_answer_unasked') === 4 && use.count('dns_answer_malformed') === 2);
    expect(use.count('dns_answer_misspelled')).toBe(1);
    server.send(answerBytes(id, name, A, address(5)), port);
    expect((await result).hosts.map(printIp)).toEqual(['192.0.2.5']);
  });

  test('from another address or port they do not even come in', async () => {
    const server = await nameserver(silence);
    const other = await nameserver(silence);
    const use = rig();
    const result = ask(use.client(dnsParams([server.port])), 'www.example.org', A);
    await until(() => server.asked.length === 1);
    const { id, name, port } = server.asked[0]!;
    other.send(answerBytes(id, name, A, address(66)), port);
    await Bun.sleep(20);
    server.send(answerBytes(id, name, A, address(5)), port);
    expect((await result).hosts.map(printIp)).toEqual(['192.0.2.5']);
    expect(use.count('dns_answer_unasked')).toBe(0);
  });

  test('a nameserver that cannot spell is told of, once', async () => {
    const said = listen();
    const server = await nameserver(({ name }) => ({ ...address(1), name: name.toLowerCase() }));
    const client = rig().client(dnsParams([server.port], { timeoutMs: 20, attempts: 4 }));
    expect((await ask(client, 'www.abcdefghijkl.org', A)).failure).toBe('timeout');
    expect((await ask(client, 'www.abcdefghijkl.org', A)).failure).toBe('timeout');
    expect(said.filter((line) => line.includes('ServerDNSRandomizeCase 0'))).toHaveLength(1);
  });
});

describe('TCP', () => {
  test('answers that were cut off are asked for again', async () => {
    const many = Array.from({ length: 60 }, (_, i) => ({ type: A, data: Uint8Array.of(192, 0, 2, i) }));
    const server = await nameserver(({ over }) => (over === 'udp' ? { truncated: true } : { records: many }));
    const use = rig();
    const client = use.client(dnsParams([server.port]));
    expect((await ask(client, 'www.example.org', A)).hosts).toHaveLength(60);
    expect(server.asked.map(({ over }) => over)).toEqual(['udp', 'tcp']);
    expect(use.count('dns_tcp_queries')).toBe(1);
  });

  test('cut off over TCP too, or silent, or not there: truncated', async () => {
    const use = rig();
    const stubborn = await nameserver(() => ({ truncated: true }));
    const client = use.client(dnsParams([stubborn.port], { timeoutMs: 50 }));
    expect((await ask(client, 'www.example.org', A)).failure).toBe('truncated');
    stubborn.answer = ({ over }) => (over === 'udp' ? { truncated: true } : null);
    expect((await ask(client, 'www.example.org', A)).failure).toBe('truncated');
    const udp = await Bun.udpSocket({
      hostname: '127.0.0.1',
      port: 0,
      socket: {
        data: (socket, bytes, port, host) => {
          const asAnswer = bytes.slice();
          asAnswer[2]! |= 0x82;
          socket.send(asAnswer, port, host);
        },
      },
    });
    undo.push(() => udp.close());
    const alone = use.client(dnsParams([udp.port]));
    expect((await ask(alone, 'www.example.org', A)).failure).toBe('truncated');
    expect(use.count('dns_failed_truncated')).toBe(3);
  });

  test('no more than thirty-two at once', async () => {
    const server = await nameserver(({ over }) => (over === 'udp' ? { truncated: true } : null));
    const client = rig().client(dnsParams([server.port], { timeoutMs: 60_000 }));
    const results = Array.from({ length: 40 }, (_, i) => ask(client, `www${i}.example.org`, A));
    await Promise.race(results);
    await until(() => client.inFlight === 32);
    client.close();
    expect((await Promise.all(results)).filter(({ failure }) => failure === 'truncated')).toHaveLength(8);
  });
});

describe('silence', () => {
  test('is waited for, asked against, and an outcome in the end', async () => {
    const server = await nameserver(silence);
    const use = rig();
    const client = use.client(dnsParams([server.port], { timeoutMs: 30, attempts: 3 }));
    expect((await ask(client, 'www.example.org', A)).failure).toBe('timeout');
    expect(server.asked).toHaveLength(3);
    expect(use.count('dns_failed_timeout')).toBe(1);
  });

  test('a late answer helps nobody', async () => {
    const server = await nameserver(silence);
    const use = rig();
    const client = use.client(dnsParams([server.port], { timeoutMs: 30, attempts: 2 }));
    const result = ask(client, 'www.example.org', A);
    await until(() => server.asked.length === 2);
    const [first] = server.asked;
    server.send(answerBytes(first!.id, first!.name, A, address(1)), first!.port);
    expect((await result).failure).toBe('timeout');
  });

  test('another nameserver is asked when one is silent or fails', async () => {
    const quiet = await nameserver(silence);
    const failing = await nameserver(() => ({ code: ResponseCode.SERVER_FAILED }));
    const good = await nameserver(always);
    const client = rig().client(
      dnsParams([quiet.port, failing.port, good.port], { timeoutMs: 30, attempts: 3 }),
    );
    for (let i = 0; i < 6; i++) expect((await ask(client, `www${i}.example.org`, A)).hosts).toHaveLength(1);
  });

  test('one that refuses, or is silent ten times in a row, is passed over until it answers again', async () => {
    const said = listen();
    const quiet = await nameserver(silence);
    const good = await nameserver(always);
    const use = rig();
    const client = use.client(dnsParams([quiet.port, good.port], { timeoutMs: 15, attempts: 2 }));
    while (use.count('dns_nameserver_failed') === 0) await ask(client, 'www.example.org', A);
    const before = quiet.asked.length;
    for (let i = 0; i < 8; i++) await ask(client, 'www.example.org', A);
    expect(quiet.asked).toHaveLength(before);
    // Nobody needs to know while another lives.
    expect(said).toEqual([]);
    quiet.answer = always;
    use.skip(2100);
    await until(() => quiet.asked.length > before);
    await until(() => {
      void ask(client, 'www.example.org', A);
      return quiet.count('www.example.org') > before + 1;
    });
    quiet.answer = () => ({ code: ResponseCode.REFUSED });
    await until(() => {
      void ask(client, 'www.example.org', A);
      return use.count('dns_nameserver_failed') === 2;
    });
  });

  test('when none answers, that is said once, all are asked nevertheless, and it is over when one answers', async () => {
    const said = listen();
    const server = await nameserver(silence);
    const { port } = server;
    const use = rig();
    const client = use.client(dnsParams([port], { timeoutMs: 10, attempts: 2 }));
    for (let i = 0; i < 8; i++) expect((await ask(client, 'www.example.org', A)).failure).toBe('timeout');
    expect(said).toEqual([
      `warn No nameserver answers (127.0.0.1:${port}): clients of this exit cannot reach names until one does.`,
    ]);
    server.answer = always;
    expect((await ask(client, 'www.example.org', A)).hosts).toHaveLength(1);
    expect(said.at(-1)).toBe(`notice Nameserver 127.0.0.1:${port} answers again.`);
    expect(said).toHaveLength(2);
  });

  test('one that was down and nobody asks is looked after, ever more seldom', async () => {
    const server = await nameserver(silence);
    const use = rig();
    const client = use.client(
      dnsParams([server.port], { timeoutMs: 10, attempts: 1, testNames: ['known.example'] }),
    );
    for (let i = 0; i < 10; i++) await ask(client, 'www.example.org', A);
    expect(use.count('dns_nameserver_failed')).toBe(1);
    for (const [waits, times] of [
      [1500, 0],
      [700, 1],
      [3000, 1],
      [1200, 2],
    ] as const) {
      use.skip(waits);
      await Bun.sleep(40);
      expect(server.count('known.example')).toBe(times);
    }
  });

  test('one that is not there at all', async () => {
    const server = await nameserver(always);
    const { port } = server;
    server.stop();
    undo.pop();
    const use = rig();
    const client = use.client(dnsParams([port], { timeoutMs: 300, attempts: 3 }));
    const result = ask(client, 'www.example.org', A);
    await until(() => use.count('dns_nameserver_unreachable') > 0);
    // It is back before the time of the question is over.
    const back = await nameserver(always, port);
    expect((await result).hosts).toHaveLength(1);
    back.stop();
    undo.pop();
    const other = await nameserver(always);
    const two = use.client(dnsParams([port, other.port], { timeoutMs: 60_000, attempts: 2 }));
    for (let i = 0; i < 4; i++) expect((await ask(two, 'www.example.org', A)).hosts).toHaveLength(1);
  });
});

describe('what the system refuses', () => {
  test('questions to a nameserver that has just died fail as all do that it leaves unanswered', async () => {
    const server = await nameserver(always);
    const use = rig();
    const client = use.client(dnsParams([server.port], { timeoutMs: 50 }));
    await ask(client, 'www.example.org', A);
    server.stop();
    undo.splice(0, 1);
    // The second finds that the first did not arrive.
    const results = await Promise.all([A, AAAA, A, AAAA].map((type) => ask(client, 'www.example.org', type)));
    expect(results.map(({ failure }) => failure)).toEqual(new Array(4).fill('timeout'));
    expect(use.count('dns_nameserver_unreachable')).toBeGreaterThan(0);
  });

  test('a nameserver that cannot even be asked', async () => {
    const params = dnsParams([], { timeoutMs: 50 });
    // The system lets nobody send to everybody.
    const nameservers = [{ host: new Uint8Array(4).fill(255), port: 53 }];
    const use = rig();
    const client = use.client({ ...params, nameservers });
    expect((await ask(client, 'www.example.org', A)).failure).toBe('timeout');
    expect(use.count('dns_nameserver_unreachable')).toBeGreaterThan(0);
  });
});

describe('bounds and changes', () => {
  test('so many questions at once, and no more', async () => {
    const server = await nameserver(silence);
    const use = rig();
    const client = use.client(dnsParams([server.port], { timeoutMs: 60_000 }));
    const results: Promise<unknown>[] = [];
    for (let i = 0; i < 4097; i++) results.push(ask(client, `www${i}.example.org`, A));
    expect(client.inFlight).toBe(4096);
    expect(await results.at(-1)).toMatchObject({ failure: 'overloaded' });
    expect(use.count('dns_refused_overloaded')).toBe(1);
    client.close();
    await Promise.all(results);
    expect(client.inFlight).toBe(0);
    expect(use.count('dns_failed_shutdown')).toBe(4096);
  });

  test('other nameservers are asked what the old ones did not answer', async () => {
    const old = await nameserver(silence);
    const next = await nameserver(always);
    const client = rig().client(dnsParams([old.port], { timeoutMs: 60_000 }));
    const result = ask(client, 'www.example.org', A);
    await until(() => old.asked.length === 1);
    client.setParams(dnsParams([next.port], { timeoutMs: 60_000 }));
    expect(next.asked).toHaveLength(0);
    client.setParams(dnsParams([next.port], { timeoutMs: 60_000, generation: 2 }));
    expect((await result).hosts).toHaveLength(1);
  });

  test('no nameserver: no answer', async () => {
    expect((await ask(rig().client(dnsParams([])), 'www.example.org', A)).failure).toBe('timeout');
  });
});
