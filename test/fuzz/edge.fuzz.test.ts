/**
 * Fuzzes the edge with messages in any order, for a few streams, while their destinations answer, stall and break:
 * whatever comes, the books agree, and when the circuit is gone nothing is left.
 */
import { RELAY_DATA_MAX, RelayCommand } from '../../src/cell/relay-message.ts';
import { encodeBegin, encodeResolve, encodeXon } from '../../src/cell/stream-message.ts';
import { ExitRig } from '../edge/exit-rig.ts';
import { audit } from '../sim/ledger.ts';
import { fuzz } from './fuzz.ts';

/** One step: what is done, to which stream, and with which bytes. */
function step(action: number, stream: number, data: Uint8Array): Uint8Array {
  return Uint8Array.of(action, stream, data.length, ...data);
}

const NOTHING = new Uint8Array(0);
const { BEGIN, DATA, END, SENDME, RESOLVE, BEGIN_DIR, XON, XOFF, CONNECTED, RESOLVED } = RelayCommand;
const COMMANDS = [BEGIN, DATA, END, SENDME, RESOLVE, BEGIN_DIR, XON, XOFF, CONNECTED, RESOLVED, 99];
const ACCEPT = 11;
const SAY = 12;
const FINISH = 13;
const RESET = 14;
const FAIL = 15;
const ANSWER = 16;
const STALL = 17;
const DRAIN = 18;
const ACTIONS = 19;

const at = (command: number): number => COMMANDS.indexOf(command as (typeof COMMANDS)[number]);
const begin = encodeBegin('192.0.2.9:80');

function play(rig: ExitRig, action: number, stream: number, data: Uint8Array): void {
  if (action < COMMANDS.length) {
    const body =
      COMMANDS[action] === DATA ? new Uint8Array(Math.min(RELAY_DATA_MAX, data.length * 8)).fill(1) : data;
    rig.circuit.say(COMMANDS[action]!, stream, body.subarray(0, RELAY_DATA_MAX));
    return;
  }
  const { connections, questions } = rig.destinations;
  if (action === ANSWER) {
    questions[stream % Math.max(1, questions.length)]?.answer(
      data.length > 3 ? { ipv4: data.slice(0, 4) } : { failure: 'transient' },
    );
    return;
  }
  const connection = connections[stream % Math.max(1, connections.length)];
  if (connection === undefined || connection.ended) return;
  if (!connection.accepted) {
    connection.accepted = true;
    if (action === FAIL) connection.fail('ECONNREFUSED');
    else connection.accept();
    return;
  }
  if (action === SAY) connection.say(new Uint8Array(data.length * 300).fill(7));
  else if (action === FINISH) connection.finish();
  else if (action === RESET) connection.reset('ECONNRESET');
  else if (action === STALL) connection.capacity = data.length;
  else if (action === DRAIN) connection.drain(data.length * 100);
}

fuzz('edge', {
  corpus: [
    new Uint8Array([
      ...step(at(BEGIN), 1, begin),
      ...step(ACCEPT, 0, NOTHING),
      ...step(at(DATA), 1, begin),
      ...step(SAY, 0, begin),
      ...step(at(XOFF), 1, Uint8Array.of(0)),
      ...step(SAY, 0, begin),
      ...step(at(XON), 1, encodeXon(100)),
      ...step(FINISH, 0, NOTHING),
    ]),
    new Uint8Array([
      ...step(at(BEGIN), 1, begin),
      ...step(at(BEGIN), 2, encodeBegin('name.example:443', 3)),
      ...step(STALL, 0, NOTHING),
      ...step(at(DATA), 1, begin),
      ...step(ANSWER, 0, begin),
      ...step(ACCEPT, 1, NOTHING),
      ...step(at(END), 1, Uint8Array.of(6)),
      ...step(DRAIN, 0, begin),
      ...step(RESET, 1, NOTHING),
    ]),
    new Uint8Array([
      ...step(at(RESOLVE), 3, encodeResolve('name.example')),
      ...step(at(DATA), 3, begin),
      ...step(ANSWER, 0, NOTHING),
      ...step(at(BEGIN_DIR), 4, NOTHING),
      ...step(at(SENDME), 4, NOTHING),
      ...step(at(CONNECTED), 4, NOTHING),
      ...step(at(RESOLVED), 0, NOTHING),
      ...step(FAIL, 0, NOTHING),
    ]),
  ],
  run: (bytes) => {
    const rig = new ExitRig({ cc: bytes.length % 2 === 0 });
    const worker = rig.relay.workers[0]!;
    for (let i = 0; i + 2 < bytes.length; ) {
      const data = bytes.slice(i + 3, i + 3 + bytes[i + 2]!);
      play(rig, bytes[i]! % ACTIONS, bytes[i + 1]! % 6, data);
      rig.settle();
      i += 3 + data.length;
    }
    audit(worker);
    rig.prev.wire.reset();
    rig.pass(20_000);
    for (const connection of rig.destinations.connections) if (!connection.accepted) connection.accept();
    rig.expectNoStreams();
    audit(worker);
  },
  cases: 400,
});
