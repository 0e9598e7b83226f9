/** The test authority over virtual time: when consensuses come, who is listed, what requests get. */
import { describe, expect, test } from 'bun:test';
import { encodeHex } from '../../src/bytes/base.ts';
import { type Consensus, parseConsensus } from '../../src/netdoc/consensus.ts';
import { parseDirectoryRequest } from '../../src/netdoc/directory-request.ts';
import { printHttpTime } from '../../src/netdoc/http-time.ts';
import { flagNames } from '../../src/netdoc/router-table.ts';
import { Authority } from '../../src/testnet/authority.ts';
import { makeAuthorityKeys } from '../../src/testnet/authority-keys.ts';
import type { ServedReply } from '../../src/testnet/directory-server.ts';
import { VirtualTime } from '../directory/virtual-time.ts';
import { NOW_SEC, textOf } from '../netdoc/fixture.ts';
import { PaperRelay } from './paper-relay.ts';

const HOST = Uint8Array.of(127, 0, 0, 1);
const keys = makeAuthorityKeys();
const paper = ['one', 'two', 'three'].map((name) => new PaperRelay(name));
const [one, two, three] = paper as [PaperRelay, PaperRelay, PaperRelay];

/** An authority with a clock, and the ports of relays that do not answer. */
class Stage {
  readonly time = new VirtualTime(NOW_SEC);
  readonly down = new Set<number>();
  readonly refusals: string[] = [];
  readonly authority: Authority;
  consensuses = 0;

  constructor(awaited: number) {
    const voter = { nickname: 'auth', host: HOST, dirPort: 7000, orPort: 9001, keys };
    const { time } = this;
    this.authority = new Authority(
      { voter, rsaId: one.rsaId, awaited, params: new Map([['refuseunknownexits', 0]]) },
      {
        nowSec: () => time.nowSec(),
        nowMs: () => time.nowMs(),
        after: (delayMs, run) => time.after(delayMs, run),
        random: (length) => new Uint8Array(length).fill(7),
        answers: async ({ port }) => !this.down.has(port),
      },
    );
    this.authority.onConsensus = () => void this.consensuses++;
    this.authority.onRefusal = (message) => void this.refusals.push(message);
  }

  request(head: string, body: Uint8Array | null = null): ServedReply {
    const { query, url, modifiedSinceSec } = parseDirectoryRequest(`${head} HTTP/1.0\r\n\r\n`);
    return this.authority.handle({ query, url, modifiedSinceSec, body });
  }

  upload(relay: PaperRelay, orPort = 9001, changes = {}): ServedReply {
    return this.request('POST /tor/', relay.upload({ orPort, publishedSec: this.time.nowSec(), ...changes }));
  }

  consensus(flavour: 'ns' | 'microdesc' = 'microdesc'): Consensus | null {
    const served = this.authority.documents.consensus(flavour);
    return served === null ? null : parseConsensus(served.document);
  }

  flags(relay: PaperRelay): string[] {
    const entry = this.consensus()!.routers.get(relay.rsaId);
    return entry === null ? [] : flagNames(entry.flags);
  }
}

describe('the authority', () => {
  test('signs the first consensus when all awaited relays are there', async () => {
    const stage = new Stage(2);
    stage.upload(one);
    await stage.time.pass(5000);
    expect(stage.consensus()).toBeNull();
    stage.upload(two, 9002);
    await stage.time.pass(2000);
    expect(stage.consensus('ns')!.routers.count).toBe(2);
    expect(stage.consensus('microdesc')!.routers.count).toBe(2);
    expect(stage.consensuses).toBe(1);
    expect(stage.flags(one)).toEqual(['Authority', 'Fast', 'Guard', 'Running', 'Stable', 'V2Dir', 'Valid']);
    expect(stage.flags(two)).not.toContain('Authority');
    // Uploads go to where the consensus says that the authority is.
    expect(stage.consensus('ns')!.routers.get(one.rsaId)!.dirPort).toBe(7000);
    expect(stage.consensus('ns')!.routers.get(two.rsaId)!.dirPort).toBe(0);
    stage.authority.stop();
  });

  test('does not wait for ever for those that do not come', async () => {
    const stage = new Stage(9);
    stage.upload(one);
    await stage.time.pass(16_000);
    expect(stage.consensus()!.routers.count).toBe(1);
    stage.authority.stop();
  });

  test('with nobody there signs nothing, and goes on looking', async () => {
    const stage = new Stage(1);
    await stage.time.pass(30_000);
    expect(stage.consensus()).toBeNull();
    stage.upload(one);
    await stage.time.pass(2000);
    expect(stage.consensus()).not.toBeNull();
    stage.authority.stop();
  });

  test('lists a newcomer at once', async () => {
    const stage = new Stage(1);
    stage.upload(one);
    await stage.time.pass(60_000);
    const before = stage.consensus()!.validAfterSec;
    stage.upload(two, 9002);
    await stage.time.pass(2500);
    const { routers, validAfterSec } = stage.consensus()!;
    expect(routers.count).toBe(2);
    expect(validAfterSec).toBeGreaterThan(before);
    stage.authority.stop();
  });

  test('has consensuses follow each other without a gap, ever longer ones', async () => {
    const stage = new Stage(1);
    stage.upload(one);
    let last: Consensus | null = null;
    const lengths: number[] = [];
    for (let sec = 0; sec < 1200; sec++) {
      await stage.time.pass(1000);
      const next = stage.consensus();
      if (next === null || next.validAfterSec === last?.validAfterSec) continue;
      if (last !== null) expect(next.validAfterSec).toBeLessThanOrEqual(last.freshUntilSec + 1);
      expect(next.validUntilSec).toBeGreaterThanOrEqual(next.validAfterSec + 20);
      lengths.push(next.freshUntilSec - next.validAfterSec);
      last = next;
    }
    expect(lengths[0]).toBe(10);
    expect(lengths.at(-1)).toBe(120);
    expect(lengths).toEqual([...lengths].sort((a, b) => a - b));
    stage.authority.stop();
  });

  test('drops who does not answer any more, hibernates or has not published for long', async () => {
    const stage = new Stage(3);
    stage.upload(one);
    stage.upload(two, 9002);
    stage.upload(three, 9003);
    await stage.time.pass(2000);
    expect(stage.consensus()!.routers.count).toBe(3);
    stage.down.add(9002);
    stage.upload(three, 9003, { hibernating: true });
    await stage.time.pass(20_000);
    expect(stage.flags(two)).toEqual([]);
    expect(stage.flags(three)).toEqual([]);
    stage.down.clear();
    await stage.time.pass(20_000);
    expect(stage.flags(two)).toContain('Running');
    stage.upload(one, 9001, { publishedSec: stage.time.nowSec(), contact: 'still here' });
    stage.time.jump(23.9 * 3600);
    stage.upload(two, 9002);
    stage.time.jump(0.2 * 3600);
    await stage.time.pass(130_000);
    expect(stage.flags(one)).toEqual([]);
    expect(stage.flags(two)).toContain('Running');
    stage.authority.stop();
  });

  test('answers uploads with a reason', async () => {
    const stage = new Stage(1);
    expect(stage.upload(one)).toEqual({ status: 200, reason: 'Descriptor accepted' });
    expect(stage.upload(one).headers).toEqual({ 'X-Descriptor-Not-New': 'Yes' });
    const bad = stage.upload(two, 9002, { address: Uint8Array.of(192, 0, 2, 1) });
    expect(bad.status).toBe(400);
    expect(bad.reason).toContain('stays on one machine');
    expect(stage.refusals).toEqual([bad.reason]);
    expect(stage.request('POST /tor/post/vote', new Uint8Array(1)).status).toBe(404);
    expect(stage.request('POST /tor/').status).toBe(404);
    stage.authority.stop();
  });

  test('serves what the consensus names', async () => {
    const stage = new Stage(1);
    expect(stage.request('GET /tor/status-vote/current/consensus-microdesc').status).toBe(404);
    stage.upload(one);
    await stage.time.pass(2000);
    const reply = stage.request('GET /tor/status-vote/current/consensus-microdesc');
    const { routers, validAfterSec, freshUntilSec } = parseConsensus(reply.body!);
    expect(reply.headers).toEqual({ Expires: printHttpTime(freshUntilSec) });
    const digest = Buffer.from(routers.get(one.rsaId)!.digest).toString('base64').replace('=', '');
    const micro = stage.request(`GET /tor/micro/d/${digest}`);
    expect(textOf(micro.body!)).toStartWith('onion-key\n');
    const named = encodeHex(stage.consensus('ns')!.routers.get(one.rsaId)!.digest);
    expect(textOf(stage.request(`GET /tor/server/d/${named}`).body!)).toStartWith('router one ');
    const { query, url } = parseDirectoryRequest('GET /tor/status-vote/current/consensus HTTP/1.0\r\n\r\n');
    const since = (sec: number) =>
      stage.authority.handle({ query, url, modifiedSinceSec: sec, body: null }).status;
    expect([since(validAfterSec), since(validAfterSec + 1)]).toEqual([200, 304]);
    expect(stage.request('GET /tor/nothing').status).toBe(404);
    expect(stage.request('GET /tor/keys/nothing').status).toBe(400);
    stage.authority.stop();
  });

  test('stops for good', async () => {
    const stage = new Stage(1);
    stage.upload(one);
    stage.authority.stop();
    await stage.time.pass(60_000);
    expect(stage.consensus()).toBeNull();
    expect(stage.time.pending()).toEqual([]);
  });
});
