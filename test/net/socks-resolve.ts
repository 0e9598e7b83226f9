/** Asks a tor's SOCKS5 port for addresses and host names, with the commands that tor adds for it. */

import { parseIp, printIp } from '../../src/bytes/address.ts';

const GREETING = Uint8Array.of(5, 1, 0);
const RESOLVE = 0xf0;
const RESOLVE_PTR = 0xf1;
const IPV4 = 1;
const NAME = 3;

/** Ask for the address of a name. Returns it as text, or `error N` with the SOCKS reply. */
export function socksResolve(socksPort: number, name: string): Promise<string> {
  const bytes = Buffer.from(name, 'latin1');
  return ask(
    socksPort,
    Buffer.concat([Buffer.of(5, RESOLVE, 0, NAME, bytes.length), bytes, Buffer.of(0, 0)]),
  );
}

/** Ask for the host name of an IPv4 address. */
export function socksReverse(socksPort: number, address: string): Promise<string> {
  return ask(
    socksPort,
    Buffer.concat([Buffer.of(5, RESOLVE_PTR, 0, IPV4), parseIp(address)!, Buffer.of(0, 0)]),
  );
}

async function ask(socksPort: number, request: Uint8Array): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let received = Buffer.alloc(0);
  let hasAsked = false;
  const socket = await Bun.connect({
    hostname: '127.0.0.1',
    port: socksPort,
    socket: {
      data: (peer, chunk) => {
        received = Buffer.concat([received, chunk]);
        if (!hasAsked && received.length >= 2) {
          hasAsked = true;
          received = received.subarray(2);
          peer.write(request);
        }
        const answer = hasAsked ? readReply(received) : null;
        if (answer !== null) resolve(answer);
      },
      close: () => reject(new Error(`the SOCKS port closed after ${received.toString('hex')}`)),
      error: (_peer, fault) => reject(fault),
    },
  });
  socket.write(GREETING);
  try {
    return await promise;
  } finally {
    socket.end();
  }
}

function readReply(reply: Uint8Array): string | null {
  if (reply.length < 5) return null;
  if (reply[1] !== 0) return `error ${reply[1]}`;
  const isName = reply[3] === NAME;
  const length = isName ? reply[4]! : reply[3] === IPV4 ? 4 : 16;
  const from = isName ? 5 : 4;
  if (reply.length < from + length) return null;
  const body = reply.subarray(from, from + length);
  return isName ? Buffer.from(body).toString('latin1') : printIp(body);
}
