/** A download: through a SOCKS port that does as it should, and through ones that do not. */
import { afterAll, describe, expect, test } from 'bun:test';
import type { Socket } from 'bun';
import { Download } from '../../src/testnet/download.ts';
import { PayloadServer } from '../../src/testnet/payload.ts';

const HOST = '127.0.0.1';
const server = new PayloadServer(HOST);
const proxies: { stop(close: boolean): void }[] = [];
afterAll(() => {
  server.stop();
  for (const proxy of proxies) proxy.stop(true);
});

interface Side {
  stage: number;
  other: Socket<undefined> | null;
  names: string[];
}

/** A SOCKS port without a network behind it. `spoil` changes what comes back. */
function proxy(
  spoil: (bytes: Uint8Array) => Uint8Array | null = (bytes) => bytes,
  granted = 0,
): { port: number; names: string[] } {
  const names: string[] = [];
  const listener = Bun.listen<Side>({
    hostname: HOST,
    port: 0,
    socket: {
      open: (socket) => {
        socket.data = { stage: 0, other: null, names };
      },
      data: async (socket, bytes) => {
        const side = socket.data;
        side.stage++;
        if (side.stage === 1) socket.write(Uint8Array.of(5, 2));
        else if (side.stage === 2) {
          side.names.push(Buffer.from(bytes.subarray(2, 2 + bytes[1]!)).toString());
          socket.write(Uint8Array.of(1, 0));
        } else if (side.stage === 3) {
          side.other = await Bun.connect({
            hostname: HOST,
            port: (bytes[8]! << 8) | bytes[9]!,
            socket: {
              data: (_other, back) => {
                const given = spoil(new Uint8Array(back));
                if (given === null) socket.end();
                else socket.write(given);
              },
            },
          });
          socket.write(Uint8Array.of(5, granted, 0, 1, 0, 0, 0, 0, 0, 0));
        } else side.other?.write(bytes);
      },
      close: (socket) => void socket.data.other?.end(),
    },
  });
  proxies.push(listener);
  return { port: listener.port, names };
}

const plan = (socksPort: number, bytes = 200_000) => ({
  host: HOST,
  socksPort,
  serverPort: server.port,
  bytes,
  name: 'download-1',
});

describe('a download', () => {
  test('brings everything, under its name', async () => {
    const { port, names } = proxy();
    const download = new Download(plan(port));
    expect(await download.ended).toBeNull();
    expect(download.received).toBe(200_000);
    expect(names).toEqual(['download-1']);
  });

  test('notices a wrong byte', async () => {
    let seen = 0;
    const { port } = proxy((bytes) => {
      seen += bytes.length;
      if (seen > 50_000) bytes[bytes.length - 1]! ^= 1;
      return bytes;
    });
    const download = new Download(plan(port));
    expect(await download.ended).toStartWith('wrong byte behind ');
    expect(download.received).toBeLessThan(200_000);
  });

  test('notices an early end', async () => {
    let seen = 0;
    const { port } = proxy((bytes) => {
      seen += bytes.length;
      return seen > 50_000 ? null : bytes;
    });
    expect(await new Download(plan(port, 5_000_000)).ended).toBe('the connection ended early');
  });

  test('tells why there is no connection', async () => {
    expect(await new Download(plan(proxy(undefined, 5).port)).ended).toContain('SOCKS reply 5');
    const gone = proxy();
    proxies.pop()!.stop(true);
    expect(await new Download(plan(gone.port)).ended).not.toBeNull();
  });

  test('tells that the server refused', async () => {
    const { port } = proxy((bytes) =>
      Buffer.from(Buffer.from(bytes).toString('latin1').replace('200 OK', '503 No'), 'latin1'),
    );
    expect(await new Download(plan(port, 10)).ended).toBe('the server refused');
  });

  test('can be given up', async () => {
    const download = new Download(plan(proxy().port, 50_000_000));
    download.abort();
    expect(await download.ended).toBe('given up');
  });
});
