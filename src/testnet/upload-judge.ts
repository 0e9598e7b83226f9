/**
 * What an authority makes of an upload: parse, verify and weigh each document against what it holds.
 *
 * Refusals are C tor's and mostly in its words, which relays write to their logs. A document that cannot be read is
 * refused with the reason, where C tor would only say that it found none. Nothing is stored here.
 *
 * @source dir-spec "Uploading server descriptors and extra-info documents"
 */
import { isLoopback } from '../bytes/address.ts';
import { encodeHex } from '../bytes/base.ts';
import { equal } from '../bytes/secret.ts';
import { Malformed } from '../fault.ts';
import type { ExtraInfo } from '../netdoc/extra-info.ts';
import { parseExtraInfo, verifyExtraInfo } from '../netdoc/extra-info.ts';
import { splitDocuments } from '../netdoc/item.ts';
import type { ServerDescriptor } from '../netdoc/server-descriptor.ts';
import { parseServerDescriptor, verifyServerDescriptor } from '../netdoc/server-descriptor.ts';
import { viewPolicy } from './policy-view.ts';

const CLOCK_SKEW_SEC = 12 * 3600;
const AGE_SEC_MAX = 24 * 3600;
const COSMETIC_SEC = 2 * 3600;
const UPTIME_DRIFT_SEC = 6 * 3600;
const UPTIME_DRIFT_SHARE = 0.05;
/** A relay sends one of each kind. */
const DOCUMENTS_MAX = 16;

/** What the authority knows of a relay. */
export interface KnownRelay {
  readonly descriptor: ServerDescriptor;
  readonly extraInfo: ExtraInfo | null;
}

/** Finds what is known: by RSA identity in hex, and the RSA identity that an Ed25519 identity is pinned to. */
export interface KnownRelays {
  relay(rsaHex: string): KnownRelay | null;
  /** The Ed25519 identity that goes with an RSA one, in hex; null when none was seen. */
  pinnedEd25519(rsaHex: string): string | null;
  pinnedRsa(ed25519Hex: string): string | null;
}

/** What came of one document. */
export type Judgement =
  | { readonly kind: 'descriptor'; readonly descriptor: ServerDescriptor }
  | { readonly kind: 'extra-info'; readonly extraInfo: ExtraInfo }
  | { readonly kind: 'known'; readonly message: string }
  | { readonly kind: 'refused'; readonly message: string };

function refused(message: string): Judgement {
  return { kind: 'refused', message };
}

/**
 * Judge every document of an upload, descriptors first, as an extra-info document needs its relay's descriptor.
 * What a judgement accepts counts as known for those behind it.
 */
export function judgeUpload(body: Uint8Array, known: KnownRelays, nowSec: number): Judgement[] {
  if (!isPlainUtf8(body)) return [refused('descriptor(s) or extrainfo(s) not valid UTF-8 or had BOM.')];
  const documents = splitDocuments(body, ['router', 'extra-info']);
  if (documents.length === 0) return [refused('No descriptors found in your POST.')];
  if (documents.length > DOCUMENTS_MAX) return [refused('Too many documents in one POST.')];
  const judgements: Judgement[] = [];
  const fresh = new Map<string, ServerDescriptor>();
  const texts = documents.map(({ start, end }) => body.subarray(start, end));
  const isExtra = (text: Uint8Array): boolean => text[0] === 0x65;
  for (const text of texts.filter((one) => !isExtra(one))) {
    const judgement = orMalformed(() => judgeDescriptor(parseServerDescriptor(text), known, nowSec));
    if (judgement.kind === 'descriptor')
      fresh.set(encodeHex(judgement.descriptor.rsaId), judgement.descriptor);
    judgements.push(judgement);
  }
  for (const text of texts.filter(isExtra)) {
    judgements.push(orMalformed(() => judgeExtraInfo(parseExtraInfo(text), fresh, known, nowSec)));
  }
  return judgements;
}

function orMalformed(judge: () => Judgement): Judgement {
  try {
    return judge();
  } catch (error) {
    if (error instanceof Malformed) return refused(`Rejected: ${error.message}.`);
    throw error;
  }
}

function isPlainUtf8(bytes: Uint8Array): boolean {
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) return false;
  return Buffer.from(Buffer.from(bytes).toString('utf8')).equals(bytes);
}

function judgeDescriptor(descriptor: ServerDescriptor, known: KnownRelays, nowSec: number): Judgement {
  verifyServerDescriptor(descriptor, nowSec);
  viewPolicy(descriptor.policy);
  const { publishedSec, address, ipv6, tap, rsaId, ed25519Id } = descriptor;
  if (tap === null) return refused('Missing TAP key in descriptor.');
  if (publishedSec > nowSec + CLOCK_SKEW_SEC) {
    return refused('Rejected: Your clock is set too far in the future, or your timezone is not correct.');
  }
  if (publishedSec < nowSec - AGE_SEC_MAX) {
    return refused(
      'Rejected: Server is expired, or your clock is too far in the past, or your timezone is not correct.',
    );
  }
  // The other way round than on the public network: nothing may leave this machine.
  if (!isLoopback(address) || (ipv6 !== null && !isLoopback(ipv6.host))) {
    return refused('Rejected: Address is not on loopback, and this network stays on one machine.');
  }
  const rsaHex = encodeHex(rsaId);
  const ed25519Hex = encodeHex(ed25519Id);
  const pinnedEd25519 = known.pinnedEd25519(rsaHex) ?? ed25519Hex;
  const pinnedRsa = known.pinnedRsa(ed25519Hex) ?? rsaHex;
  if (pinnedEd25519 !== ed25519Hex || pinnedRsa !== rsaHex) {
    return refused('Ed25519 identity key or RSA identity key has changed.');
  }
  const old = known.relay(rsaHex)?.descriptor ?? null;
  if (old !== null && publishedSec <= old.publishedSec) {
    return { kind: 'known', message: 'Router descriptor is not newer than the one that is known.' };
  }
  if (old !== null && isCosmetic(old, descriptor)) {
    const message =
      'Not replacing router descriptor; no information has changed since the last one with this identity.';
    return { kind: 'known', message };
  }
  return { kind: 'descriptor', descriptor };
}

/** Whether a newer descriptor says nothing that anybody needs to know. */
function isCosmetic(old: ServerDescriptor, next: ServerDescriptor): boolean {
  const facts = (one: ServerDescriptor): string =>
    JSON.stringify([
      one.nickname.toLowerCase(),
      [...one.address],
      one.orPort,
      one.dirPort,
      one.ipv6 === null ? null : [[...one.ipv6.host], one.ipv6.port],
      one.tap === null ? null : encodeHex(one.tap.keyDer),
      encodeHex(one.ntorOnionKey),
      one.platform,
      one.proto,
      one.contact,
      one.hibernating,
      one.policy,
      one.ipv6Policy,
      one.tunnelledDirServer,
      one.family,
      one.bandwidth.rate,
      one.bandwidth.burst,
    ]);
  if (facts(old) !== facts(next)) return false;
  const [a, b] = [old.bandwidth.observed, next.bandwidth.observed];
  if (a < b / 2 || b < a / 2) return false;
  const apartSec = next.publishedSec - old.publishedSec;
  if (apartSec > COSMETIC_SEC) return false;
  const [before, after] = [old.uptimeSec ?? 0, next.uptimeSec ?? 0];
  const driftSec = Math.abs(after - (before + apartSec));
  return driftSec <= UPTIME_DRIFT_SEC || driftSec <= UPTIME_DRIFT_SHARE * Math.max(before, after);
}

function judgeExtraInfo(
  extraInfo: ExtraInfo,
  fresh: ReadonlyMap<string, ServerDescriptor>,
  known: KnownRelays,
  nowSec: number,
): Judgement {
  const rsaHex = encodeHex(extraInfo.rsaId);
  const held = known.relay(rsaHex);
  const descriptor = fresh.get(rsaHex) ?? held?.descriptor;
  if (descriptor === undefined) return refused('No corresponding router descriptor for this extra-info.');
  verifyExtraInfo(extraInfo, descriptor.rsaDer, nowSec);
  const named = descriptor.extraInfoDigest;
  if (named === null || !equal(named.sha1, extraInfo.digestSha1)) {
    // The one of a descriptor that was not taken over says nothing new either.
    const message = 'Extra-info is not the one that the router descriptor names.';
    return { kind: 'known', message };
  }
  if (held?.extraInfo && equal(held.extraInfo.digestSha1, extraInfo.digestSha1)) {
    return { kind: 'known', message: 'Extra-info document is known.' };
  }
  return { kind: 'extra-info', extraInfo };
}
