/**
 * A relay that runs already, found by its DataDirectory, its torrc or its keys.
 *
 * Only loopback is ever spoken to: a benchmark is a flood, and a flood of somebody else's relay is an attack.
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { isAnyIp, isLoopback, parseIp, printIp } from '../bytes/address.ts';
import { decodeBase64, decodeHex } from '../bytes/base.ts';
import { FINGERPRINT_ED25519_FILE, FINGERPRINT_FILE } from '../keys/fingerprint-file.ts';
import { ONION_KEY_FILE } from '../keys/onion-key.ts';
import type { LoadTarget } from '../load/plan.ts';
import { parseCommandLine } from '../torrc/command-line.ts';
import { orPortEndpoints } from '../torrc/port.ts';
import { loadLayers } from '../torrc/torrc-file.ts';
import { buildOptions } from '../torrc/validate.ts';
import { findListener, readProcess } from './proc.ts';
import { answers, LOOPBACK, readIds, refuse, type Target } from './target.ts';

/** A relay that runs already, as the command line names it. */
export interface AttachWish {
  /** Its DataDirectory, which has all keys; or null and the keys by themselves. */
  readonly dataDirectory: string | null;
  readonly host: string;
  readonly port: number;
  readonly rsaId: string | null;
  readonly ed25519Id: string | null;
  readonly ntorKey: string | null;
  /** Null: whoever listens on the port. */
  readonly pid: number | null;
}

/** Read `HOST:PORT`. @throws OperatorError unless the host is of 127/8 */
export function parseLoopback(text: string): { host: string; port: number } {
  const match = /^(.*):(\d+)$/.exec(text);
  const host = match?.[1] === 'localhost' ? LOOPBACK : (match?.[1] ?? '');
  const port = Number(match?.[2] ?? 0);
  if (match === null || port < 1 || port > 65535) {
    throw refuse(`"${text}" is not HOST:PORT`, '--target', 'write 127.0.0.1:9001');
  }
  const ip = parseIp(host.replace(/^\[(.*)\]$/, '$1'));
  if (ip === null || ip.length !== 4 || !isLoopback(ip)) {
    throw refuse(
      `${host} is not an address of this machine’s loopback`,
      '--target',
      'a benchmark is a flood: run it on the machine of the relay, against 127.0.0.1',
    );
  }
  return { host, port };
}

/** Attach to a relay that runs on loopback. @throws OperatorError when it is not there */
export async function attachTarget(wish: AttachWish): Promise<Target> {
  const load = wish.dataDirectory === null ? idsOf(wish) : idsIn(wish.dataDirectory, wish);
  if (!(await answers(wish.port, wish.host))) {
    throw refuse('nobody listens there', `${wish.host}:${wish.port}`, 'start the relay, or correct the port');
  }
  const pid = wish.pid ?? findListener(wish.port);
  if (pid === null) {
    throw refuse(
      'cannot see which process listens there',
      `${wish.host}:${wish.port}`,
      'run this as the relay’s user or as root, or name the process with --pid',
    );
  }
  return { load, pid, read: () => readProcess(pid), logTail: () => '', links: null, stop: async () => {} };
}

function idsIn(directory: string, { host, port }: AttachWish): LoadTarget {
  if (!existsSync(directory)) {
    throw refuse('there is no such folder', directory, 'name the DataDirectory of the relay');
  }
  let load: LoadTarget | null;
  try {
    load = readIds(directory, port, host);
  } catch (error) {
    throw refuse(
      error instanceof Error ? error.message : String(error),
      directory,
      'check its files and who may read them',
    );
  }
  if (load !== null) return load;
  throw refuse(
    `has no ${FINGERPRINT_FILE}, ${FINGERPRINT_ED25519_FILE} and keys/${ONION_KEY_FILE}`,
    directory,
    'name the DataDirectory of a relay that has run',
  );
}

function idsOf({ host, port, rsaId, ed25519Id, ntorKey }: AttachWish): LoadTarget {
  const bytes = (name: string, text: string | null, length: number, decoded: Uint8Array | null) => {
    if (decoded?.length === length) return decoded;
    const what = text === null ? 'is missing' : `"${text}" does not stand for ${length} bytes`;
    throw refuse(
      what,
      name,
      'give --rsa-id HEX, --ed25519-id BASE64 and --ntor-key BASE64, or --data-directory',
    );
  };
  return {
    host,
    port,
    rsaId: bytes('--rsa-id', rsaId, 20, decodeHex(rsaId ?? '')),
    ed25519Id: bytes('--ed25519-id', ed25519Id, 32, decodeBase64(ed25519Id ?? '')),
    ntorOnionKey: bytes('--ntor-key', ntorKey, 32, decodeBase64(ntorKey ?? '')),
  };
}

/** Where a torrc says that its relay is. */
export interface TorrcPlace {
  readonly dataDirectory: string;
  readonly host: string;
  readonly port: number;
}

/**
 * Read the place of a relay from its torrc.
 *
 * @param file null: the torrc that a relay would read without `-f`
 * @throws OperatorError when it cannot be read or listens nowhere on loopback
 */
export function placeInTorrc(file: string | null, home: string | null): TorrcPlace {
  const layers = loadLayers(parseCommandLine(file === null ? [] : ['-f', file]), home);
  const { options } = buildOptions({ ...layers, home });
  const near = orPortEndpoints(options.orPorts).find(
    ({ host, listen }) => listen && host.length === 4 && (isAnyIp(host) || isLoopback(host)),
  );
  const where = file ?? 'torrc';
  if (near === undefined) {
    throw refuse(
      'has no ORPort on IPv4 loopback',
      where,
      'add ORPort 127.0.0.1:PORT NoAdvertise to measure it',
    );
  }
  if (near.port === 'auto')
    throw refuse('lets the kernel choose the ORPort', where, 'name the port with --port');
  return {
    dataDirectory: options.dataDirectory,
    host: isAnyIp(near.host) ? LOOPBACK : printIp(near.host),
    port: near.port,
  };
}

/** Find the port of the relay of a DataDirectory in the torrc that it would be started with. @throws OperatorError */
export function portOf(dataDirectory: string, home: string | null): TorrcPlace {
  let place: TorrcPlace | null = null;
  try {
    place = placeInTorrc(null, home);
  } catch {
    // Without a torrc in the usual place the port must be told.
  }
  if (place !== null && resolve(place.dataDirectory) === resolve(dataDirectory)) return place;
  throw refuse(
    'its port is not known',
    dataDirectory,
    'name it with --port N, or the torrc with --torrc-file FILE',
  );
}
