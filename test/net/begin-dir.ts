/** Directory requests of a test's own: over the DirPort, and through a circuit of one hop. */
import { connect } from 'node:net';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import { makeTestRelay } from '../channel/credentials.ts';
import { TestCircuit } from './test-circuit.ts';
import { dialTestLink } from './test-link.ts';

const STREAM = 7;
const DATA_BYTES = 498;
/** More cells than this and the relay would wait for our SENDMEs, which we never send. */
const CELLS_MAX = 500;

/** What came back. */
export interface RawAnswer {
  readonly bytes: Buffer;
  /** Reason of the END; 0 for a connection that was closed. */
  readonly endReason: number;
}

/** Ask over plain HTTP, until the other side closes. */
export function askDirPort(port: number, request: string): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    const socket = connect(port, '127.0.0.1', () => socket.write(request, 'latin1'));
    socket.setTimeout(60_000, () => socket.destroy(new Error('no answer from the DirPort in 60 s')));
    socket.on('data', (piece: Buffer) => pieces.push(piece));
    socket.on('error', reject);
    socket.on('close', () => resolve({ bytes: Buffer.concat(pieces), endReason: 0 }));
  });
}

/** A link to a relay over which requests are made, each through a circuit of its own. */
export class DirectoryLink {
  private readonly link;

  constructor(orPort: number, authenticate = false) {
    const { credentials } = makeTestRelay(Math.floor(Date.now() / 1000));
    this.link = dialTestLink({ port: orPort, credentials, authenticate });
  }

  async ask(request: string): Promise<RawAnswer> {
    await this.link.opened;
    const circuit = await TestCircuit.createFast(this.link);
    circuit.send(RelayCommand.BEGIN_DIR, new Uint8Array(0), { streamId: STREAM });
    const bytes = Buffer.from(request, 'latin1');
    for (let at = 0; at < bytes.length; at += DATA_BYTES) {
      circuit.send(RelayCommand.DATA, bytes.subarray(at, at + DATA_BYTES), { streamId: STREAM });
    }
    const pieces: Uint8Array[] = [];
    for (let cells = 0; cells < CELLS_MAX; cells++) {
      const received = await circuit.receive();
      if ('destroyed' in received) throw new Error(`DESTROY ${received.destroyed}`);
      if (received.command === RelayCommand.CONNECTED) continue;
      if (received.command === RelayCommand.DATA) pieces.push(received.data);
      else if (received.command === RelayCommand.END) {
        circuit.destroy();
        return { bytes: Buffer.concat(pieces), endReason: received.data[0]! };
      } else throw new Error(`relay command ${received.command} on a directory stream`);
    }
    throw new Error('the answer is longer than a window');
  }

  close(): void {
    this.link.close();
  }
}
