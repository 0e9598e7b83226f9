/**
 * The resolver of a test network's exits: it knows one name, and says of all others that there is no such.
 *
 * So exits look names up as usual, and nothing leaves this machine. One question a datagram.
 *
 * @source RFC 1035
 */

/** The name of the payload server. */
export const PAYLOAD_NAME = 'payload.testnet';
const HEADER_BYTES = 12;
const TYPE_A = 1;
const CLASS_IN = 1;
const TTL_SEC = 60;
const NO_SUCH_NAME = 3;
const NOT_IMPLEMENTED = 4;
/** A response, by authority, recursion available. */
const RESPONSE_FLAGS = 0x8480;
const RECURSION_DESIRED = 0x0100;

/** Answer a question; null when it is none. */
export function answerQuestion(question: Uint8Array): Uint8Array | null {
  if (question.length < HEADER_BYTES + 5) return null;
  const view = new DataView(question.buffer, question.byteOffset, question.length);
  const flags = view.getUint16(2);
  if ((flags & 0x8000) !== 0 || view.getUint16(4) !== 1) return null;
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (;;) {
    const length = question[at];
    if (length === undefined || length > 63 || at + 1 + length > question.length) return null;
    if (length === 0) break;
    labels.push(Buffer.from(question.subarray(at + 1, at + 1 + length)).toString('latin1'));
    at += 1 + length;
  }
  const end = at + 5;
  if (end > question.length) return null;
  const type = view.getUint16(at + 1);
  const isKnown = labels.join('.').toLowerCase() === PAYLOAD_NAME;
  const hasAddress = isKnown && type === TYPE_A && view.getUint16(at + 3) === CLASS_IN;
  const isQuery = (flags & 0x7800) === 0;
  const code = !isQuery ? NOT_IMPLEMENTED : isKnown ? 0 : NO_SUCH_NAME;
  const answer = hasAddress && isQuery ? addressRecord() : new Uint8Array(0);
  const out = new Uint8Array(end + answer.length);
  out.set(question.subarray(0, end));
  out.set(answer, end);
  const head = new DataView(out.buffer);
  head.setUint16(2, RESPONSE_FLAGS | (flags & (0x7800 | RECURSION_DESIRED)) | code);
  head.setUint16(6, answer.length > 0 ? 1 : 0);
  head.setUint16(8, 0);
  head.setUint16(10, 0);
  return out;
}

/** 127.0.0.1, for the name that stands in the question. */
function addressRecord(): Uint8Array {
  return Uint8Array.of(0xc0, HEADER_BYTES, 0, TYPE_A, 0, CLASS_IN, 0, 0, 0, TTL_SEC, 0, 4, 127, 0, 0, 1);
}

/** The resolver while it listens. */
export interface NameServer {
  readonly port: number;
  stop(): void;
}

/** Answer questions on a UDP port of loopback. */
export async function startNameServer(host: string): Promise<NameServer> {
  const socket = await Bun.udpSocket({
    hostname: host,
    socket: {
      data(own, question, port, address) {
        const answer = answerQuestion(question);
        if (answer !== null) own.send(answer, port, address);
      },
    },
  });
  return { port: socket.port, stop: () => socket.close() };
}
