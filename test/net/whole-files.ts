/** Looks at a DataDirectory that nobody uses just now: is every file in it whole, and whose is it? */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeBase64Unpadded, encodeHex } from '../../src/bytes/base.ts';
import { checkEd25519Cert, decodeEd25519Cert } from '../../src/crypto/certificate.ts';
import { curve25519FromSecret } from '../../src/crypto/curve25519.ts';
import { publicFromExpanded } from '../../src/crypto/ed25519.ts';
import { fingerprint, rsaFromPem } from '../../src/crypto/rsa.ts';
import { decodePemFile, decodeTagged, TaggedForms } from '../../src/keys/tagged-file.ts';

/** What a directory says of the relay that it belongs to; null where a file is missing. */
export interface FoundKeys {
  /** Hex. */
  readonly rsaId: string | null;
  /** Base64. */
  readonly ed25519Id: string | null;
  /** Public ntor keys in hex: current and previous. */
  readonly onionKey: string | null;
  readonly previousOnionKey: string | null;
}

/** Temporary files: what was being written at the end. Paths below the directory. */
export function temporaries(directory: string): string[] {
  return [...new Bun.Glob('**/*.tmp').scanSync({ cwd: directory, onlyFiles: false })];
}

/**
 * Decode every file of a relay that has its name.
 * @param documents whether these bytes are a document that the relay was given, by the name of its cache
 * @throws Error naming the first file that is not whole, or unknown
 */
export function checkWholeFiles(
  directory: string,
  documents: (name: string, bytes: Uint8Array) => boolean,
): FoundKeys {
  const keys = existsSync(join(directory, 'keys')) ? readKeys(join(directory, 'keys')) : NO_KEYS;
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    if (['keys', 'lock', 'log', 'torrc', 'stderr'].includes(name) || name.endsWith('.tmp')) continue;
    const bytes = new Uint8Array(readFileSync(path));
    const text = new TextDecoder('latin1').decode(bytes);
    if (name === 'state') expectThat(path, isState(text), text);
    else if (name === 'fingerprint') expectThat(path, text === `Unnamed ${keys.rsaId}\n`, text);
    else if (name === 'fingerprint-ed25519') expectThat(path, text === `Unnamed ${keys.ed25519Id}\n`, text);
    else if (name.startsWith('cached-')) expectThat(path, documents(name, bytes), text);
    else throw new Error(`${path}: what is that?`);
  }
  return keys;
}

function expectThat(path: string, isSo: boolean, text: string): void {
  if (!isSo)
    throw new Error(
      `${path} is not whole: ${text.length} bytes, the end is ${JSON.stringify(text.slice(-200))}`,
    );
}

function isState(text: string): boolean {
  const lines = text.split('\n');
  return (
    lines[0]!.startsWith('# Tor state file last generated on ') &&
    lines.at(-1) === '' &&
    /^LastWritten \d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/m.test(text) &&
    lines
      .slice(0, -1)
      .every((line) => line === '' || line.startsWith('#') || /^[A-Za-z0-9]+( .*)?$/.test(line))
  );
}

const NO_KEYS: FoundKeys = { rsaId: null, ed25519Id: null, onionKey: null, previousOnionKey: null };

function readKeys(directory: string): FoundKeys {
  const rest = new Set(readdirSync(directory).filter((name) => !name.endsWith('.tmp')));
  function take<T>(name: string, decode: (bytes: Uint8Array) => T): T | null {
    if (!rest.delete(name)) return null;
    try {
      return decode(new Uint8Array(readFileSync(join(directory, name))));
    } catch (error) {
      throw new Error(`${directory}/${name} is not whole: ${String(error)}`);
    }
  }
  const rsa = take('secret_id_key', decodeRsa);
  const master = take('ed25519_master_id_secret_key', (bytes) =>
    encodeBase64Unpadded(publicFromExpanded(decodeTagged(TaggedForms.masterSecret, bytes))),
  );
  const masterId = take('ed25519_master_id_public_key', (bytes) =>
    decodeTagged(TaggedForms.masterPublic, bytes),
  );
  const ed25519Id = masterId === null ? master : encodeBase64Unpadded(masterId);
  if (master !== null && master !== ed25519Id) throw new Error(`${directory}: halves of two master keys`);
  for (const end of ['', '.old']) {
    const signing = take(`ed25519_signing_secret_key${end}`, (bytes) =>
      publicFromExpanded(decodeTagged(TaggedForms.signingSecret, bytes)),
    );
    const cert = take(`ed25519_signing_cert${end}`, (bytes) =>
      decodeEd25519Cert(decodeTagged(TaggedForms.signingCert, bytes)),
    );
    if (end === '.old' || cert === null) continue;
    const why = checkEd25519Cert(cert, masterId!, 0);
    if (why !== null) throw new Error(`${directory}/ed25519_signing_cert: ${why}`);
    if (signing === null || Buffer.compare(signing, cert.certifiedKey) !== 0) {
      throw new Error(`${directory}/ed25519_signing_cert certifies another key`);
    }
  }
  take('secret_onion_key', decodeRsa);
  take('secret_onion_key.old', decodeRsa);
  const onionKey = take('secret_onion_key_ntor', decodeOnion);
  const previousOnionKey = take('secret_onion_key_ntor.old', decodeOnion);
  if (rest.size > 0) throw new Error(`${directory}: what are ${[...rest].join(', ')}?`);
  return { rsaId: rsa, ed25519Id, onionKey, previousOnionKey };
}

function decodeRsa(bytes: Uint8Array): string {
  return encodeHex(fingerprint(rsaFromPem(decodePemFile('RSA PRIVATE KEY', bytes)).publicDer));
}

function decodeOnion(bytes: Uint8Array): string {
  const content = decodeTagged(TaggedForms.onionKey, bytes);
  const { publicKey } = curve25519FromSecret(content.slice(0, 32));
  if (Buffer.compare(publicKey, content.subarray(32)) !== 0) throw new Error('its halves do not match');
  return encodeHex(publicKey);
}
