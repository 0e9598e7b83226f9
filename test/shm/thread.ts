/** Starting, asking and ending the Workers that the shm tests run against. */

/** A Worker that answers each message with one message. */
export class Thread {
  readonly #worker: Worker;
  readonly #answers: unknown[] = [];
  #waiting: { resolve: (answer: unknown) => void; reject: (why: Error) => void } | null = null;
  readonly #closed: Promise<void>;

  constructor(file: string) {
    this.#worker = new Worker(new URL(file, import.meta.url).href);
    this.#worker.onmessage = (event) => {
      if (this.#waiting === null) this.#answers.push(event.data);
      else this.#waiting.resolve(event.data);
      this.#waiting = null;
    };
    this.#worker.onerror = (event) => {
      this.#waiting?.reject(new Error(event.message));
      this.#waiting = null;
    };
    this.#closed = new Promise((resolve) => this.#worker.addEventListener('close', () => resolve()));
  }

  send(message: unknown): void {
    this.#worker.postMessage(message);
  }

  /** Wait for the next answer. */
  async answer<T>(): Promise<T> {
    if (this.#answers.length > 0) return this.#answers.shift() as T;
    return new Promise<T>((resolve, reject) => {
      this.#waiting = { resolve: (answer) => resolve(answer as T), reject };
    });
  }

  async ask<T>(message: unknown): Promise<T> {
    this.send(message);
    return this.answer<T>();
  }

  /** End it, whatever it is doing. */
  async kill(): Promise<void> {
    this.#worker.terminate();
    await this.#closed;
  }
}
