/** Thread entry for the cache tests: writes and reads entries that all threads fight for, or dies with a lock held. */
import { DnsCache, Question } from '../../src/shm/dns-cache.ts';

export interface CacheTask {
  readonly sab: SharedArrayBuffer;
  readonly worker: number;
  readonly rounds: number;
}

declare const self: Worker;
self.onmessage = (event: MessageEvent<CacheTask>) => {
  const { sab, worker, rounds } = event.data;
  const cache = new DnsCache(sab, worker);
  let torn = 0;
  let found = 0;
  for (let i = 0; i < rounds; i++) {
    const name = `www${i % 37}.example`;
    // All four bytes say the same: an entry that is half one writer's and half another's would not.
    cache.put(Question.IPV4, name, new Uint8Array(4).fill((i + worker) & 255), 60, 1000);
    const answer = cache.find(Question.IPV4, name, 1000);
    if (answer?.value === null || answer === null) continue;
    found++;
    if (new Set(answer.value).size !== 1) torn++;
  }
  postMessage({ torn, found });
};
