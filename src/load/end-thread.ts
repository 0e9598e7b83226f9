/** The other side of `end.ts`: starts the thread of an end and calls it. */
import { OperatorError } from '../fault.ts';
import { LOAD_URL } from '../thread-entry.ts';
import type { Answer, Ask, EndCalls } from './end.ts';

interface Waiting {
  resolve(result: unknown): void;
  reject(fault: Error): void;
}

/** One thread, asked by calls. */
export class EndThread {
  readonly #worker = new Worker(LOAD_URL);
  readonly #waiting = new Map<number, Waiting>();
  #next = 0;
  #dead: OperatorError | null = null;

  constructor() {
    this.#worker.onmessage = ({ data }: MessageEvent<Answer>) => {
      const waiting = this.#waiting.get(data.id);
      this.#waiting.delete(data.id);
      if ('result' in data) waiting?.resolve(data.result);
      else waiting?.reject(new OperatorError(data.fault.what, data.fault.where, data.fault.hint));
    };
    this.#worker.addEventListener('error', (event: ErrorEvent) => this.#die(event.message));
    this.#worker.addEventListener('close', () => this.#die('its thread ended'));
  }

  /** Ask the end. @throws OperatorError when it could not do it */
  call<K extends keyof EndCalls>(call: K, ask: Parameters<EndCalls[K]>[0]): Promise<ReturnType<EndCalls[K]>> {
    if (this.#dead !== null) return Promise.reject(this.#dead);
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      this.#waiting.set(id, { resolve: (result) => resolve(result as ReturnType<EndCalls[K]>), reject });
      const letter: Ask = { id, call, ask };
      this.#worker.postMessage(letter);
    });
  }

  /** End the thread; what is open in it closes. */
  stop(): void {
    this.#worker.terminate();
  }

  #die(why: string): void {
    this.#dead ??= new OperatorError(why, 'the load generator', '');
    for (const { reject } of this.#waiting.values()) reject(this.#dead);
    this.#waiting.clear();
  }
}
