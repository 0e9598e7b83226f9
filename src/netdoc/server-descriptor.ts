/**
 * Server descriptors: what a relay says about itself. Printed and signed here for our own relay, and read and
 * verified for any.
 *
 * `directory/` decides when to print one and uploads it. The order of lines is C tor 0.4.9.11's. Parsing takes
 * what C tor takes: unknown lines are ignored, and a descriptor without the TAP onion key is fine when it lacks
 * both that key and its cross-certificate.
 *
 * @source dir-spec "Server descriptor format"; cert-spec; proposals 321 (families), 328 (overload), 350 (no TAP)
 */
import type { Endpoint } from '../bytes/address.ts';
import { printEndpoint, printIp } from '../bytes/address.ts';
import { decodeBase64, decodeHex, encodeBase64Unpadded, encodeHex } from '../bytes/base.ts';
import { equal } from '../bytes/secret.ts';
import type { Ed25519Cert } from '../crypto/certificate.ts';
import { CertType, checkEd25519Cert, decodeEd25519Cert, encodeEd25519Cert } from '../crypto/certificate.ts';
import type { Curve25519KeyPair } from '../crypto/curve25519.ts';
import { sha1 } from '../crypto/digest.ts';
import {
  convertCurve25519PublicToEd25519,
  convertCurve25519ToEd25519,
  signExpanded,
} from '../crypto/ed25519.ts';
import type { RsaKey } from '../crypto/rsa.ts';
import { rsaPublicToPem, signRaw, verifyRaw } from '../crypto/rsa.ts';
import { assert, Malformed } from '../fault.ts';
import {
  base64Field,
  hexField,
  integerField,
  ipv4Field,
  isNickname,
  nicknameField,
  parseIpv6Endpoint,
  parseTime,
  printSpacedFingerprint,
  printTime,
  timeField,
} from './field.ts';
import type { DocumentText, Item, ItemRules, ItemTable, ReadDocument } from './item.ts';
import { documentBytes, readDocument } from './item.ts';
import { parseSummary } from './port-summary.ts';
import { parseProtocols } from './protover.ts';
import type { RouterSeal, RouterSigner, SignedDocument } from './signature.ts';
import {
  checkRouterSeal,
  isZero,
  printIdentityCert,
  printObject,
  readRouterSeal,
  routerKeyField,
  sealRouterDocument,
} from './signature.ts';

const NOUN = 'server descriptor';

/** Authorities refuse longer descriptors. */
export const SERVER_DESCRIPTOR_BYTES_MAX = 20_000;

const INT32_MAX = 2147483647;

/** Bytes per second, as the `bandwidth` line has them. */
export interface DescriptorBandwidth {
  /** Sustained limit. */
  readonly rate: number;
  readonly burst: number;
  /** Best ten seconds of the last days. */
  readonly observed: number;
}

/** Names of an extra-info document. */
export interface ExtraInfoDigest {
  /** SHA-1 over its signed part, 20 bytes. */
  readonly sha1: Uint8Array;
  /** SHA-256 over the whole of it, 32 bytes; null when the descriptor doesn't say. */
  readonly sha256: Uint8Array | null;
}

/** Everything that a descriptor of ours claims; nothing is claimed that isn't passed in. */
export interface ServerDescriptorInput {
  readonly nickname: string;
  /** IPv4 address, 4 bytes. */
  readonly address: Uint8Array;
  readonly orPort: number;
  readonly ipv6: Endpoint | null;
  /** The whole text of `platform`. */
  readonly platform: string;
  /** The whole text of `proto`. */
  readonly proto: string;
  readonly publishedSec: number;
  readonly uptimeSec: number;
  readonly bandwidth: DescriptorBandwidth;
  readonly extraInfoDigest: ExtraInfoDigest | null;
  /** The onion key that clients shall use now. */
  readonly ntorOnionKey: Curve25519KeyPair;
  /** How long that key will be answered to: the lifetime of its cross-certificate. */
  readonly ntorLifetimeSec: number;
  /** The legacy RSA onion key; null when the consensus says `publish-dummy-tap-key=0`. */
  readonly tapOnionKey: RsaKey | null;
  /** Other members of the family as `$FINGERPRINT` (or a nickname); our own is added. Empty: no line. */
  readonly family: readonly string[];
  /** Family certificates (cert type 0x0C) as they stand on the wire. */
  readonly familyCerts?: readonly Uint8Array[];
  readonly contact: string | null;
  readonly hibernating?: boolean;
  readonly hiddenServiceDir?: boolean;
  readonly tunnelledDirServer?: boolean;
  /** We keep the extra-infos of other relays. */
  readonly cachesExtraInfo?: boolean;
  /** Exit policy, one rule each, e.g. `reject *:*`. */
  readonly policy: readonly string[];
  /** Summary for IPv6, e.g. `accept 80,443`; null when nothing is accepted. */
  readonly ipv6Policy?: string | null;
  /** When the relay was last overloaded; null when it wasn't, lately. */
  readonly overloadedSec?: number | null;
}

function printFamily(input: ServerDescriptorInput, fingerprint: string): string {
  if (input.family.length === 0) return '';
  const members = new Set(input.family);
  members.add(`$${fingerprint}`);
  return `family ${[...members].sort().join(' ')}\n`;
}

/** Keep an operator's text on its line, as C tor does: control characters make it a quoted string. */
function contactText(text: string): string {
  return /[\n\r\0]/.test(text) ? JSON.stringify(text) : text;
}

function printOnionKeys(input: ServerDescriptorInput, signer: RouterSigner, rsaId: Uint8Array): string {
  const { tapOnionKey: tap, ntorOnionKey: ntor } = input;
  let text = tap === null ? '' : `onion-key\n${rsaPublicToPem(tap.publicDer)}`;
  text += `signing-key\n${rsaPublicToPem(signer.rsa.publicDer)}`;
  if (tap !== null) {
    const crosscert = signRaw(tap, Buffer.concat([rsaId, signer.ed25519Id]));
    text += `onion-key-crosscert\n${printObject('CROSSCERT', crosscert)}`;
  }
  const converted = convertCurve25519ToEd25519(ntor.secretKey);
  const cert = encodeEd25519Cert(
    {
      certType: CertType.NTOR_CROSS,
      expirationHours: Math.ceil((input.publishedSec + input.ntorLifetimeSec) / 3600),
      certifiedKey: signer.ed25519Id,
      signingKey: null,
    },
    (message) => signExpanded(converted.expanded, converted.publicKey, message),
  );
  return `${text}ntor-onion-key-crosscert ${converted.signBit}\n${printObject('ED25519 CERT', cert)}`;
}

function printExtraInfoDigest(digest: ExtraInfoDigest | null): string {
  if (digest === null) return '';
  const second = digest.sha256 === null ? '' : ` ${encodeBase64Unpadded(digest.sha256)}`;
  return `extra-info-digest ${encodeHex(digest.sha1)}${second}\n`;
}

/**
 * Print and sign a server descriptor, its lines in C tor's order.
 *
 * @returns the document with its SHA-1 digest, by which the consensus names it
 * @throws Malformed when it is longer than authorities accept (a long contact or family)
 */
export function printServerDescriptor(input: ServerDescriptorInput, signer: RouterSigner): SignedDocument {
  assert(isNickname(input.nickname), 'the nickname is one to nineteen letters and digits');
  assert(input.address.length === 4, 'the address of a descriptor is IPv4');
  const rsaId = sha1(signer.rsa.publicDer);
  const { bandwidth } = input;
  const lines = [
    `router ${input.nickname} ${printIp(input.address)} ${input.orPort} 0 0\n`,
    printIdentityCert(signer),
    `master-key-ed25519 ${encodeBase64Unpadded(signer.ed25519Id)}\n`,
    input.ipv6 === null ? '' : `or-address ${printEndpoint(input.ipv6)}\n`,
    `platform ${input.platform}\n`,
    `proto ${input.proto}\n`,
    `published ${printTime(input.publishedSec)}\n`,
    `fingerprint ${printSpacedFingerprint(rsaId)}\n`,
    `uptime ${Math.floor(input.uptimeSec)}\n`,
    `bandwidth ${[bandwidth.rate, bandwidth.burst, bandwidth.observed].map(bandwidthValue).join(' ')}\n`,
    printExtraInfoDigest(input.extraInfoDigest),
    input.cachesExtraInfo === true ? 'caches-extra-info\n' : '',
    printOnionKeys(input, signer, rsaId),
    printFamily(input, encodeHex(rsaId)),
    input.hibernating === true ? 'hibernating 1\n' : '',
    input.hiddenServiceDir === true ? 'hidden-service-dir\n' : '',
    ...(input.familyCerts ?? []).map((cert) => `family-cert\n${printObject('FAMILY CERT', cert)}`),
    input.contact ? `contact ${contactText(input.contact)}\n` : '',
    `ntor-onion-key ${encodeBase64Unpadded(input.ntorOnionKey.publicKey)}\n`,
    ...input.policy.map((rule) => `${rule}\n`),
    input.ipv6Policy ? `ipv6-policy ${input.ipv6Policy}\n` : '',
    input.tunnelledDirServer === true ? 'tunnelled-dir-server\n' : '',
    printOverload(input.overloadedSec ?? null),
  ];
  return sealRouterDocument(NOUN, lines.join(''), signer, SERVER_DESCRIPTOR_BYTES_MAX);
}

function bandwidthValue(bytesPerSec: number): number {
  return Math.min(Math.max(0, Math.floor(bytesPerSec)), INT32_MAX);
}

function printOverload(overloadedSec: number | null): string {
  if (overloadedSec === null) return '';
  return `overload-general 1 ${printTime(overloadedSec - (overloadedSec % 3600))}\n`;
}

/** A server descriptor as it was read; `verifyServerDescriptor` says whether to believe it. */
export interface ServerDescriptor {
  readonly nickname: string;
  readonly address: Uint8Array;
  readonly orPort: number;
  readonly dirPort: number;
  readonly ipv6: Endpoint | null;
  readonly platform: string | null;
  readonly proto: string;
  readonly publishedSec: number;
  readonly uptimeSec: number | null;
  readonly bandwidth: DescriptorBandwidth;
  readonly extraInfoDigest: ExtraInfoDigest | null;
  readonly rsaId: Uint8Array;
  /** RSA identity, PKCS#1 DER. */
  readonly rsaDer: Uint8Array;
  readonly ed25519Id: Uint8Array;
  readonly ntorOnionKey: Uint8Array;
  readonly ntorCrosscert: Ed25519Cert;
  /** Sign bit of the Ed25519 form of the ntor onion key, which signed the cross-certificate. */
  readonly ntorCrosscertSign: 0 | 1;
  /** PKCS#1 DER of the RSA onion key and its signature over both identities; null when there is none. */
  readonly tap: { readonly keyDer: Uint8Array; readonly crosscert: Uint8Array } | null;
  readonly family: readonly string[];
  readonly familyCerts: readonly Uint8Array[];
  readonly contact: string | null;
  readonly hibernating: boolean;
  readonly hiddenServiceDir: boolean;
  readonly tunnelledDirServer: boolean;
  readonly cachesExtraInfo: boolean;
  readonly policy: readonly string[];
  readonly ipv6Policy: string | null;
  readonly overloadedSec: number | null;
  readonly seal: RouterSeal;
  /** SHA-1 of the signed part: what the consensus names it by. */
  readonly digestSha1: Uint8Array;
  readonly document: Uint8Array;
}

const ANY_NUMBER = Number.MAX_SAFE_INTEGER;
const FAMILY_MEMBER = /^\$[0-9A-Fa-f]{40}(?:[=~][A-Za-z0-9]{1,19})?$/;

const RULES: ItemRules = {
  router: { min: 1, args: 5 },
  'identity-ed25519': { min: 1, object: 'ED25519 CERT' },
  'master-key-ed25519': { min: 1, args: 1 },
  'or-address': { max: ANY_NUMBER, args: 1 },
  platform: {},
  proto: { min: 1 },
  published: { min: 1 },
  fingerprint: {},
  uptime: { args: 1 },
  bandwidth: { min: 1, args: 3 },
  'extra-info-digest': { args: 1 },
  'caches-extra-info': {},
  'onion-key': { object: 'RSA PUBLIC KEY' },
  'signing-key': { min: 1, object: 'RSA PUBLIC KEY' },
  'onion-key-crosscert': { object: 'CROSSCERT' },
  'ntor-onion-key-crosscert': { min: 1, args: 1, object: 'ED25519 CERT' },
  'ntor-onion-key': { min: 1, args: 1 },
  family: {},
  'family-cert': { max: ANY_NUMBER, object: 'FAMILY CERT' },
  hibernating: { args: 1 },
  'hidden-service-dir': {},
  contact: {},
  accept: { max: ANY_NUMBER, args: 1 },
  reject: { max: ANY_NUMBER, args: 1 },
  'ipv6-policy': {},
  'tunnelled-dir-server': {},
  'overload-general': { args: 3 },
  'router-sig-ed25519': { min: 1, args: 1 },
  'router-signature': { min: 1, object: 'SIGNATURE' },
};

function utf8(latin: string | undefined): string | null {
  return latin === undefined ? null : Buffer.from(latin, 'latin1').toString('utf8');
}

function readExtraInfoDigest(item: Item | null): ExtraInfoDigest | null {
  if (item === null) return null;
  const second = item.args[1] === undefined ? null : decodeBase64(item.args[1]);
  return { sha1: hexField(item, 0, 20), sha256: second?.length === 32 ? second : null };
}

function readTap(table: ItemTable): ServerDescriptor['tap'] {
  const key = table.find('onion-key');
  const crosscert = table.find('onion-key-crosscert');
  if (key === null && crosscert === null) return null;
  if (key === null || crosscert === null) throw new Malformed(NOUN, 'has only half of the TAP onion key');
  return { keyDer: routerKeyField(key), crosscert: crosscert.objectBody('CROSSCERT') };
}

function readNtorCrosscert(table: ItemTable): { cert: Ed25519Cert; sign: 0 | 1 } {
  const item = table.get('ntor-onion-key-crosscert');
  const bit = item.arg(0);
  if (bit !== '0' && bit !== '1') throw item.malformed('has a bad sign bit');
  const cert = decodeEd25519Cert(item.objectBody('ED25519 CERT'));
  if (cert.certType !== CertType.NTOR_CROSS) throw item.malformed('has a certificate of another type');
  return { cert, sign: bit === '1' ? 1 : 0 };
}

function readOverload(item: Item | null): number | null {
  if (item === null || item.arg(0) !== '1') return null;
  return parseTime(`${item.arg(1)} ${item.arg(2)}`);
}

function checkFingerprint(item: Item | null, rsaId: Uint8Array): void {
  if (item === null) return;
  const declared = decodeHex(item.rest.replaceAll(' ', '').trimEnd());
  if (declared === null || !equal(declared, rsaId)) throw item.malformed('is not that of the signing key');
}

/** Read the members of a family: nicknames, or `$FINGERPRINT` with or without a nickname behind it. */
function readFamily(item: Item | null): readonly string[] {
  const members = item?.args ?? [];
  const isMember = (text: string): boolean => isNickname(text) || FAMILY_MEMBER.test(text);
  if (!members.every(isMember)) throw item!.malformed('has a member that cannot be one');
  return members;
}

function readIpv6Policy(item: Item | null): string | null {
  if (item === null) return null;
  const text = item.rest.trimEnd();
  parseSummary(text);
  return text;
}

function readPolicy(document: ReadDocument): string[] {
  const other = document.items.find(({ keyword }) => keyword === 'accept6' || keyword === 'reject6');
  if (other !== undefined) throw other.malformed('stands in no descriptor');
  const rules = document.items.filter((item) => item.keyword === 'accept' || item.keyword === 'reject');
  if (rules.length === 0) throw new Malformed(NOUN, 'has no exit policy');
  return rules.map((item) => `${item.keyword} ${item.rest.trimEnd()}`);
}

function readBandwidth(item: Item): DescriptorBandwidth {
  return {
    rate: integerField(item, 0, 1, INT32_MAX),
    burst: integerField(item, 1, 0, INT32_MAX),
    observed: integerField(item, 2, 0, INT32_MAX),
  };
}

/**
 * Parse one server descriptor. Checks its form and that its keys and identities agree, not its signatures.
 * @throws Malformed
 */
export function parseServerDescriptor(text: DocumentText): ServerDescriptor {
  const bytes = documentBytes(text);
  if (bytes.length > SERVER_DESCRIPTOR_BYTES_MAX) throw new Malformed(NOUN, 'is too long');
  const document = readDocument(bytes, NOUN, RULES);
  const { items, table } = document;
  const router = table.get('router');
  if (items[0] !== router || router.hasOpt) throw router.malformed('is not the first item');
  const seal = readRouterSeal(bytes, items, table);
  const master = table.get('master-key-ed25519');
  if (!equal(base64Field(master, 0, 32), seal.ed25519Id))
    throw master.malformed('is not that of the certificate');
  const rsaDer = routerKeyField(table.get('signing-key'));
  const rsaId = sha1(rsaDer);
  checkFingerprint(table.find('fingerprint'), rsaId);
  const ntorOnionKey = base64Field(table.get('ntor-onion-key'), 0, 32);
  if (isZero(ntorOnionKey)) throw table.get('ntor-onion-key').malformed('is zero');
  const ntor = readNtorCrosscert(table);
  const uptime = table.find('uptime');
  const hibernating = table.find('hibernating');
  const proto = table.get('proto').rest.trimEnd();
  parseProtocols(proto);
  return {
    nickname: nicknameField(router, 0),
    address: ipv4Field(router, 1),
    orPort: integerField(router, 2, 1, 65535),
    dirPort: integerField(router, 4, 0, 65535),
    ipv6: firstIpv6(table.all('or-address')),
    platform: utf8(table.find('platform')?.rest),
    proto,
    publishedSec: timeField(table.get('published')),
    uptimeSec: uptime === null ? null : integerField(uptime, 0, 0, ANY_NUMBER),
    bandwidth: readBandwidth(table.get('bandwidth')),
    extraInfoDigest: readExtraInfoDigest(table.find('extra-info-digest')),
    rsaId,
    rsaDer,
    ed25519Id: seal.ed25519Id,
    ntorOnionKey,
    ntorCrosscert: ntor.cert,
    ntorCrosscertSign: ntor.sign,
    tap: readTap(table),
    family: readFamily(table.find('family')),
    familyCerts: table.all('family-cert').map((item) => item.objectBody('FAMILY CERT')),
    contact: utf8(table.find('contact')?.rest),
    hibernating: hibernating !== null && Number(hibernating.arg(0)) > 0,
    hiddenServiceDir: table.find('hidden-service-dir') !== null,
    tunnelledDirServer: table.find('tunnelled-dir-server') !== null,
    cachesExtraInfo: table.find('caches-extra-info') !== null,
    policy: readPolicy(document),
    ipv6Policy: readIpv6Policy(table.find('ipv6-policy')),
    overloadedSec: readOverload(table.find('overload-general')),
    seal,
    digestSha1: seal.digestSha1,
    document: bytes,
  };
}

function firstIpv6(items: readonly Item[]): Endpoint | null {
  for (const item of items) {
    const endpoint = parseIpv6Endpoint(item.arg(0));
    if (endpoint !== null) return endpoint;
  }
  return null;
}

/**
 * Check every signature and cross-certificate of a descriptor, and that none of its certificates has expired.
 *
 * @param nowSec - wall time
 * @throws Malformed that says which one is wrong
 */
export function verifyServerDescriptor(descriptor: ServerDescriptor, nowSec: number): void {
  const { seal, tap, ntorCrosscert, ed25519Id, rsaId } = descriptor;
  checkRouterSeal(NOUN, seal, descriptor.rsaDer, nowSec);
  if (!equal(ntorCrosscert.certifiedKey, ed25519Id)) {
    throw new Malformed(NOUN, 'ntor-onion-key-crosscert certifies another identity');
  }
  const key = convertCurve25519PublicToEd25519(descriptor.ntorOnionKey, descriptor.ntorCrosscertSign);
  if (key === null) throw new Malformed(NOUN, 'ntor-onion-key belongs to no point of the curve');
  const problem = checkEd25519Cert(ntorCrosscert, key, nowSec);
  if (problem !== null) throw new Malformed(NOUN, `ntor-onion-key-crosscert: ${problem}`);
  if (tap === null) return;
  if (!verifyRaw(tap.keyDer, Buffer.concat([rsaId, ed25519Id]), tap.crosscert)) {
    throw new Malformed(NOUN, 'onion-key-crosscert is wrong');
  }
}
