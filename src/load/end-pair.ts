/** Client and sink of circuits, each on a thread of its own, with what is asked of both. */

import type { Traffic } from './client.ts';
import { EndThread } from './end-thread.ts';
import type { LoadCheck } from './plan.ts';
import type { Tally } from './tally.ts';

/** Both ends. */
export class EndPair {
  readonly client = new EndThread();
  readonly sink = new EndThread();

  /** Say what comes next. @throws OperatorError */
  async expect(traffic: Traffic): Promise<void> {
    await Promise.all([this.sink.call('expect', { traffic }), this.client.call('expect', { traffic })]);
  }

  /** See which of so many circuits are in step, and whether what was counted as sent arrived. @throws OperatorError */
  async check(expected: number, tally: Tally): Promise<LoadCheck> {
    const inStep = await this.client.call('verify', null);
    const reports = [await this.client.call('report', null), await this.sink.call('report', null)];
    return {
      expected,
      inStep,
      lost: tally.sent - tally.received,
      corrupt: reports.reduce((total, { corrupt }) => total + corrupt, 0),
      sampled: reports.reduce((total, { sampled }) => total + sampled, 0),
      closed: reports.flatMap(({ losses }) => losses),
    };
  }

  /** End both threads; what is open in them closes. */
  stop(): void {
    this.client.stop();
    this.sink.stop();
  }
}
