/** A client of a running relay: one link, and circuits created on it with ntor. */

import { expect } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeBase64, decodeHex } from '../../src/bytes/base.ts';
import { BODY_AT, buildCell, CELL_BYTES, getCircId, getCommand } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import { decodeCreated2, encodeCreate2, encodeCreateFast, HandshakeType } from '../../src/cell/create.ts';
import { generateCurve25519 } from '../../src/crypto/curve25519.ts';
import { clientNtor } from '../../src/crypto/handshake/ntor.ts';
import { TOR1_KEY_BYTES } from '../../src/crypto/layer/tor1.ts';
import { makeTestRelay } from '../channel/credentials.ts';
import { dialLive, type LiveLink, TLS_1_3 } from '../net/live-link.ts';

const us = makeTestRelay(Math.floor(Date.now() / 1000));

/** The identities in a DataDirectory's fingerprint files. */
export function identitiesIn(dataDirectory: string): { rsaId: Uint8Array; ed25519Id: Uint8Array } {
  const second = (name: string) => readFileSync(join(dataDirectory, name), 'latin1').trim().split(' ')[1]!;
  return {
    rsaId: decodeHex(second('fingerprint'))!,
    ed25519Id: decodeBase64(second('fingerprint-ed25519'))!,
  };
}

/** The public half of an onion key file. */
export function onionKeyIn(dataDirectory: string, name = 'secret_onion_key_ntor'): Uint8Array {
  return new Uint8Array(readFileSync(join(dataDirectory, 'keys', name)).subarray(64, 96));
}

/** Open a link to a relay, as another relay; from another address of loopback if one is given. */
export async function openLink(port: number, dataDirectory: string, from?: string): Promise<LiveLink> {
  const link = dialLive(port, us.credentials, identitiesIn(dataDirectory), TLS_1_3, from);
  await link.opened;
  return link;
}

let nextCircId = 0x80000001;

/** Create a circuit with a one-way handshake that needs no onion key. Returns the answer's command. */
export async function createFast(link: LiveLink): Promise<number> {
  const circId = nextCircId++;
  link.send(
    buildCell(circId, Command.CREATE_FAST, encodeCreateFast(crypto.getRandomValues(new Uint8Array(20)))),
  );
  return getCommand(await answerTo(link, circId), 0);
}

/** Create a circuit with ntor to this onion key. Returns whether the relay proved that it has it. */
export async function createNtor(link: LiveLink, rsaId: Uint8Array, onionKey: Uint8Array): Promise<boolean> {
  const circId = nextCircId++;
  const client = clientNtor({ rsaId, onionKey, ephemeral: generateCurve25519() });
  const body = encodeCreate2({ handshakeType: HandshakeType.NTOR, data: client.onionskin });
  link.send(buildCell(circId, Command.CREATE2, body));
  const answer = await answerTo(link, circId);
  if (getCommand(answer, 0) !== Command.CREATED2) return false;
  return client.finish(decodeCreated2(answer.subarray(BODY_AT)), TOR1_KEY_BYTES) !== null;
}

async function answerTo(link: LiveLink, circId: number): Promise<Uint8Array> {
  for (;;) {
    const cell = await link.read(CELL_BYTES);
    // Padding and its negotiation have no circuit.
    if (getCircId(cell, 0) !== 0) {
      expect(getCircId(cell, 0)).toBe(circId);
      return cell;
    }
  }
}

/** Whether somebody accepts TCP connections there. */
export async function accepts(port: number): Promise<boolean> {
  try {
    const socket = await Bun.connect({ hostname: '127.0.0.1', port, socket: { data() {}, error() {} } });
    socket.end();
    return true;
  } catch {
    return false;
  }
}
