/** Thread entry of one end of a load (`load/end.ts`): takes calls as letters and answers each. */
import { type Answer, type Ask, createCalls, faultOf } from './load/end.ts';

declare const self: Worker & { postMessage(message: Answer): void };

const calls = createCalls();

self.onmessage = async (event: MessageEvent<Ask>) => {
  const { id, call, ask } = event.data;
  try {
    const result = await (calls[call] as (ask: unknown) => unknown)(ask);
    self.postMessage({ id, result });
  } catch (error) {
    self.postMessage({ id, fault: faultOf(error) });
  }
};
