/** What errands work with, with authorities that answer as a test says and a clock that it owns. */
import type { DirectoryAuthority } from '../../src/directory/authority.ts';
import { AuthorityPicker } from '../../src/directory/authority-picker.ts';
import { type ErrandTools, makeWarnLimit } from '../../src/directory/errand.ts';
import type { DirectoryReply, DirectoryRequest } from '../../src/directory/http-exchange.ts';
import type { Network } from '../../src/directory/network.ts';
import { seededRandom, type VirtualTime } from './virtual-time.ts';

/** An answer; an Error fails the exchange. */
export type RigAnswer = { readonly status: number; readonly body: Uint8Array | string } | Error;

export interface RigRequest {
  readonly port: number;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly atMs: number;
}

export class ErrandRig {
  readonly tools: ErrandTools;
  readonly requests: RigRequest[] = [];
  aborted = 0;
  answer: (request: RigRequest) => RigAnswer | Promise<RigAnswer>;

  constructor(
    network: Network,
    time: VirtualTime,
    authorities: readonly DirectoryAuthority[],
    answer: ErrandRig['answer'],
    testing = false,
  ) {
    this.answer = answer;
    const random = seededRandom(7);
    this.tools = {
      network,
      timing: time,
      random,
      picker: new AuthorityPicker(authorities, random),
      testing,
      stallSec: 60,
      warnLimit: makeWarnLimit(testing, time),
      exchange: (request) => ({ reply: this.#reply(request, time), abort: () => this.aborted++ }),
    };
  }

  async #reply({ endpoint, path, headers }: DirectoryRequest, time: VirtualTime): Promise<DirectoryReply> {
    const request = { port: endpoint.port, path, headers, atMs: time.nowMs() };
    this.requests.push(request);
    const answer = await this.answer(request);
    if (answer instanceof Error) throw answer;
    const body = typeof answer.body === 'string' ? new TextEncoder().encode(answer.body) : answer.body;
    return {
      status: answer.status,
      reason: answer.status === 200 ? 'OK' : 'Sorry',
      headers: { date: new Date(time.nowSec() * 1000).toUTCString() },
      body,
      wireBytes: body.length,
      sentSec: time.nowSec(),
    };
  }
}
