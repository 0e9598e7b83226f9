/**
 * Speaks to a C tor's control port, so that a test can lay circuits where it wants them.
 *
 * One command is under way at a time; events arrive in between and go to whoever waits for them.
 *
 * @source control-spec
 */

import type { Socket } from 'bun';

/** A whole reply: the status of its last line, and every line without its status. */
export interface Reply {
  readonly status: number;
  readonly lines: readonly string[];
}

/** A circuit as events and `circuit-status` tell of it. */
export interface CircuitState {
  readonly id: string;
  readonly status: string;
  /** The rest of the last event: path and reasons, for error messages. */
  readonly text: string;
}

interface Waiter {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (fault: Error) => void;
}

const END_REASON_MISC = 1;

/** A connection to a control port that asks for no password. */
export class ControlPort {
  readonly circuits = new Map<string, CircuitState>();
  #socket: Socket<undefined> | null = null;
  #unread = '';
  #lines: string[] = [];
  /** Set while a `+` line's data is being gathered. */
  #inData = false;
  readonly #waiting: Waiter[] = [];
  #changed: (() => void)[] = [];
  #onStream: ((streamId: string, target: string, status: string) => void) | null = null;

  /** Connect, authenticate and ask for events about circuits and streams. */
  static async open(port: number): Promise<ControlPort> {
    const control = new ControlPort();
    control.#socket = await Bun.connect({
      hostname: '127.0.0.1',
      port,
      socket: {
        data: (_socket, chunk) => control.#receive(chunk.toString('latin1')),
        close: () => control.#lost(),
        error: () => control.#lost(),
      },
    });
    await control.command('AUTHENTICATE');
    await control.command('SETEVENTS CIRC STREAM');
    return control;
  }

  close(): void {
    this.#socket?.end();
  }

  /** Send one command. @throws Error when the reply is not 250 */
  async command(text: string): Promise<Reply> {
    const reply = await new Promise<Reply>((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#socket!.write(`${text}\r\n`);
    });
    if (reply.status !== 250) throw new Error(`control port: ${text}: ${reply.status} ${reply.lines.at(-1)}`);
    return reply;
  }

  /** Ask for one key; null when this tor does not know it (yet). */
  async getInfo(key: string): Promise<string | null> {
    try {
      const { lines } = await this.command(`GETINFO ${key}`);
      return lines
        .slice(0, -1)
        .join('\n')
        .slice(key.length + 1)
        .replace(/^\n/, '');
    } catch {
      return null;
    }
  }

  /** Lay a circuit over these relays and wait until it is built. @throws Error when it fails */
  async buildCircuit(fingerprints: readonly string[]): Promise<string> {
    const path = fingerprints.map((fingerprint) => `$${fingerprint}`).join(',');
    const { lines } = await this.command(`EXTENDCIRCUIT 0 ${path}`);
    const id = lines[0]!.split(' ')[1]!;
    const state = await this.circuit(id, ['BUILT', 'FAILED', 'CLOSED']);
    if (state.status !== 'BUILT') throw new Error(`circuit ${id} over ${path}: ${state.text}`);
    return id;
  }

  /** Wait until a circuit is in one of these states. */
  async circuit(id: string, statuses: readonly string[]): Promise<CircuitState> {
    for (;;) {
      const state = this.circuits.get(id);
      if (state !== undefined && statuses.includes(state.status)) return state;
      await new Promise<void>((resolve) => this.#changed.push(resolve));
      if (this.#socket === null) throw new Error('control port: the connection ended');
    }
  }

  /** Tear a circuit down and wait until tor says so. */
  async closeCircuit(id: string): Promise<void> {
    await this.command(`CLOSECIRCUIT ${id}`);
    await this.circuit(id, ['CLOSED', 'FAILED']);
  }

  /**
   * Attach every stream to this port, from anyone, to this circuit. Needs `__LeaveStreamsUnattached 1`.
   *
   * A stream that the exit refuses would wait to be attached anew; it is closed instead.
   *
   * @returns what ends this
   */
  attachStreams(targetPort: number, circuit: string): () => void {
    this.#onStream = (stream, target, status) => {
      if (!target.endsWith(`:${targetPort}`)) return;
      const command =
        status !== 'DETACHED'
          ? `ATTACHSTREAM ${stream} ${circuit}`
          : `CLOSESTREAM ${stream} ${END_REASON_MISC}`;
      this.command(command).catch((fault) => console.error(fault));
    };
    return () => {
      this.#onStream = null;
    };
  }

  #receive(text: string): void {
    const lines = (this.#unread + text).split('\r\n');
    this.#unread = lines.pop()!;
    for (const line of lines) this.#line(line);
  }

  #line(line: string): void {
    if (this.#inData) {
      if (line === '.') this.#inData = false;
      else this.#lines.push(line);
      return;
    }
    const separator = line[3];
    if (line.startsWith('650')) {
      this.#event(line.slice(4));
      return;
    }
    this.#lines.push(line.slice(4));
    if (separator === '+') this.#inData = true;
    if (separator !== ' ') return;
    const reply = { status: Number(line.slice(0, 3)), lines: this.#lines };
    this.#lines = [];
    this.#waiting.shift()?.resolve(reply);
  }

  #event(text: string): void {
    const [kind, id, status, ...rest] = text.split(' ');
    if (kind === 'CIRC') {
      this.circuits.set(id!, { id: id!, status: status!, text });
      const changed = this.#changed;
      this.#changed = [];
      for (const resolve of changed) resolve();
    }
    if (kind === 'STREAM' && ['NEW', 'NEWRESOLVE', 'DETACHED'].includes(status!))
      this.#onStream?.(id!, rest[1]!, status);
  }

  #lost(): void {
    this.#socket = null;
    for (const { reject } of this.#waiting.splice(0)) reject(new Error('control port: the connection ended'));
    const changed = this.#changed;
    this.#changed = [];
    for (const resolve of changed) resolve();
  }
}
