/**
 * Directory authorities: the `DirAuthority` line of torrc, and the public network's authorities.
 *
 * Everything that the fetcher and the publisher trust starts here: whose certificates count, whose signatures
 * make a consensus, where descriptors go. A line is read as C tor reads it: a flag that makes no sense costs a
 * warning, an address or a fingerprint that makes no sense costs the line.
 *
 * @source dir-spec "Directory authorities"; man page of C tor, DirAuthority
 */

import { type Endpoint, parseIp } from '../bytes/address.ts';
import { OperatorError } from '../fault.ts';
import { hexOf, isNickname } from '../netdoc/field.ts';

/** One directory authority. */
export interface DirectoryAuthority {
  /** Its nickname, or its RSA fingerprint where the line names none. */
  readonly nickname: string;
  /** SHA-1 of its relay identity key, 20 bytes. */
  readonly rsaId: Uint8Array;
  /** SHA-1 of the identity key that signs its certificates, 20 bytes; null when it signs no consensus. */
  readonly v3Ident: Uint8Array | null;
  /** IPv4 DirPort, plain HTTP. */
  readonly dir: Endpoint;
  /** Port for links; 0 when the line names none. */
  readonly orPort: number;
  /** IPv6 address and port for links. */
  readonly ipv6: Endpoint | null;
  /** Takes the descriptors of bridges. */
  readonly isBridgeAuthority: boolean;
  /** How often it is chosen in comparison with the others; 1 unless the line says otherwise. */
  readonly weight: number;
  /** DirPorts meant for one purpose only; `dir` serves every purpose that has none. */
  readonly uploadTo: readonly Endpoint[];
  readonly downloadFrom: readonly Endpoint[];
}

/** An authority and what was odd about its line but not fatal. */
export interface AuthorityLine {
  readonly authority: DirectoryAuthority;
  readonly warnings: readonly string[];
}

interface Draft {
  orPort: number;
  v3Ident: Uint8Array | null;
  ipv6: Endpoint | null;
  isBridgeAuthority: boolean;
  weight: number;
  uploadTo: Endpoint[];
  downloadFrom: Endpoint[];
  warnings: string[];
}

const EXAMPLE = 'DirAuthority name orport=9001 v3ident=<40 hex digits> 192.0.2.1:9030 <40 hex digits>';

/**
 * Parse the value of a `DirAuthority` line: `[nickname] [flag...] ipv4:dirport fingerprint`.
 *
 * @param text the value, without the keyword
 * @param where the line's place for messages, e.g. `torrc:7`
 * @throws OperatorError when address, port, `ipv6=` or fingerprint cannot be read
 */
export function parseDirAuthority(text: string, where: string): AuthorityLine {
  const words = text.split(/\s+/).filter((word) => word !== '');
  if (words.length === 0) throw new OperatorError('DirAuthority is empty', where, `write: ${EXAMPLE}`);
  const named = isNickname(words[0]!);
  let at = named ? 1 : 0;
  const draft = emptyDraft();
  for (; at < words.length && !/^[0-9]/.test(words[at]!); at++) readFlag(words[at]!, draft, where);
  if (words.length - at < 2) {
    throw new OperatorError('DirAuthority lacks its address or fingerprint', where, `write: ${EXAMPLE}`);
  }
  const dir = parseDirAddress(words[at]!, where);
  const fingerprint = words.slice(at + 1).join('');
  const rsaId = hexOf(fingerprint, 20);
  if (rsaId === null) {
    throw new OperatorError(
      `DirAuthority fingerprint "${fingerprint}" is not 40 hex digits`,
      where,
      'copy it from the authority\'s "fingerprint" file',
    );
  }
  const { warnings, ...rest } = draft;
  const nickname = named ? words[0]! : fingerprint.toUpperCase();
  return { authority: { nickname, rsaId, dir, ...rest }, warnings };
}

function emptyDraft(): Draft {
  return {
    orPort: 0,
    v3Ident: null,
    ipv6: null,
    isBridgeAuthority: false,
    weight: 1,
    uploadTo: [],
    downloadFrom: [],
    warnings: [],
  };
}

function readFlag(word: string, draft: Draft, where: string): void {
  const equals = word.indexOf('=');
  const name = (equals < 0 ? word : word.slice(0, equals)).toLowerCase();
  const value = equals < 0 ? null : word.slice(equals + 1);
  if (value === null) readBareFlag(name, word, draft, where);
  else readValueFlag(name, value, draft, where);
}

function readBareFlag(name: string, word: string, draft: Draft, where: string): void {
  if (name === 'bridge') draft.isBridgeAuthority = true;
  else if (name === 'hs' || name === 'no-hs') {
    draft.warnings.push(`${where}: DirAuthority flag "${word}" has had no meaning for years; leave it out`);
  } else if (name !== 'no-v2') {
    draft.warnings.push(`${where}: DirAuthority flag "${word}" is unknown and was skipped`);
  }
}

function readValueFlag(name: string, value: string, draft: Draft, where: string): void {
  switch (name) {
    case 'orport': {
      const port = parsePort(value);
      if (port > 0) draft.orPort = port;
      else draft.warnings.push(`${where}: DirAuthority orport "${value}" is not a port (1-65535)`);
      return;
    }
    case 'weight': {
      const weight = Number(value);
      if (value !== '' && Number.isFinite(weight) && weight >= 0) draft.weight = weight;
      else draft.warnings.push(`${where}: DirAuthority weight "${value}" is not a number; taking 1`);
      return;
    }
    case 'v3ident': {
      const id = hexOf(value, 20);
      if (id !== null) draft.v3Ident = id;
      else draft.warnings.push(`${where}: DirAuthority v3ident "${value}" is not 40 hex digits`);
      return;
    }
    case 'ipv6':
      readIpv6(value, draft, where);
      return;
    case 'upload':
      draft.uploadTo.push(parseUrl(value, where));
      return;
    case 'download':
      draft.downloadFrom.push(parseUrl(value, where));
      return;
    case 'vote':
      // Only other authorities use it; it is still checked, as a typing error should not wait for them.
      parseUrl(value, where);
      return;
    default:
      draft.warnings.push(`${where}: DirAuthority flag "${name}=" is unknown and was skipped`);
  }
}

function readIpv6(value: string, draft: Draft, where: string): void {
  if (draft.ipv6 !== null) {
    draft.warnings.push(`${where}: DirAuthority has more than one ipv6=; the first one counts`);
    return;
  }
  const endpoint = parseEndpoint(value);
  if (endpoint === null || endpoint.host.length !== 16) {
    throw new OperatorError(
      `DirAuthority ipv6 "${value}" is not [address]:port`,
      where,
      'write ipv6=[2001:db8::1]:9001',
    );
  }
  draft.ipv6 = endpoint;
}

function parseDirAddress(text: string, where: string): Endpoint {
  const endpoint = parseEndpoint(text);
  if (endpoint === null || endpoint.host.length !== 4) {
    throw new OperatorError(
      `DirAuthority address "${text}" is not IPv4:DirPort`,
      where,
      'write it as 192.0.2.1:9030; host names are not looked up here',
    );
  }
  return endpoint;
}

function parseUrl(url: string, where: string): Endpoint {
  const match = /^http:\/\/([^/]+)\/?$/.exec(url);
  const endpoint = match === null ? null : parseEndpoint(match[1]!);
  if (endpoint === null) {
    throw new OperatorError(
      `DirAuthority URL "${url}" is not understood`,
      where,
      'write http://192.0.2.1:9030/',
    );
  }
  return endpoint;
}

function parseEndpoint(text: string): Endpoint | null {
  const colon = text.lastIndexOf(':');
  if (colon < 0) return null;
  const hostText = text.slice(0, colon);
  const host = parseIp(hostText);
  const port = parsePort(text.slice(colon + 1));
  if (host === null || port === 0) return null;
  // An IPv6 address without brackets would swallow its own port.
  if (host.length === 16 && !hostText.startsWith('[')) return null;
  return { host, port };
}

function parsePort(text: string): number {
  if (!/^[0-9]{1,5}$/.test(text)) return 0;
  const port = Number(text);
  return port <= 65535 ? port : 0;
}

/** nickname, IPv4 address, DirPort, ORPort, IPv6 ORPort, v3 identity, RSA identity. */
type PublicRow = readonly [string, string, number, number, string, string, string];

/** @source auth_dirs.inc of C tor 0.4.9: the network's published authorities. */
const PUBLIC_NETWORK: readonly PublicRow[] = [
  [
    'moria1',
    '128.31.0.39',
    9231,
    9201,
    '',
    'F533C81CEF0BC0267857C99B2F471ADF249FA232',
    '1A25C6358DB91342AA51720A5038B72742732498',
  ],
  [
    'tor26',
    '217.196.147.77',
    80,
    443,
    '[2a02:16a8:662:2203::1]:443',
    '2F3DF9CA0E5D36F2685A2DA67184EB8DCB8CBA8C',
    'FAA4BCA4A6AC0FB4CA2F8AD5A11D9E122BA894F6',
  ],
  [
    'dizum',
    '45.66.35.11',
    80,
    443,
    '',
    'E8A9C45EDE6D711294FADF8E7951F4DE6CA56B58',
    '7EA6EAD6FD83083C538F44038BBFA077587DD755',
  ],
  ['Serge', '66.111.2.131', 9030, 9001, '', '', 'BA44A889E64B93FAA2B114E02C2A279A8555C533'],
  [
    'gabelmoo',
    '131.188.40.189',
    80,
    443,
    '[2001:638:a000:4140::ffff:189]:443',
    'ED03BB616EB2F60BEC80151114BB25CEF515B226',
    'F2044413DAC2E02E3D6BCF4735A19BCA1DE97281',
  ],
  [
    'dannenberg',
    '193.23.244.244',
    80,
    443,
    '[2001:678:558:1000::244]:443',
    '0232AF901C31A04EE9848595AF9BB7620D4C5B2E',
    '7BE683E65D48141321C5ED92F075C55364AC7123',
  ],
  [
    'maatuska',
    '171.25.193.9',
    443,
    80,
    '[2001:67c:289c::9]:80',
    '49015F787433103580E3B66A1707A00E60F2D15B',
    'BD6A829255CB08E66FBE7D3748363586E46B3810',
  ],
  [
    'longclaw',
    '199.58.81.140',
    80,
    443,
    '',
    '23D15D965BC35114467363C165C4F724B64B4F66',
    '74A910646BCEEFBCD2E874FC1DC997430F968145',
  ],
  [
    'bastet',
    '204.13.164.118',
    80,
    443,
    '[2620:13:4000:6000::1000:118]:443',
    '27102BC123E7AF1D4741AE047E160C91ADC76B21',
    '24E2F139121D4394C54B5BCC368B3B411857C413',
  ],
  [
    'faravahar',
    '216.218.219.41',
    80,
    443,
    '',
    '70849B868D606BAECFB6128C5E3D782029AA394F',
    'E3E42D35F801C9D5AB23584E0025D56FE2B33396',
  ],
];

/** List the public network's authorities. `Serge` takes bridges' descriptors only. */
export function publicAuthorities(): DirectoryAuthority[] {
  return PUBLIC_NETWORK.map(([nickname, address, dirPort, orPort, ipv6, v3Ident, rsaId]) => ({
    ...emptyAuthority,
    nickname,
    rsaId: hexOf(rsaId, 20)!,
    v3Ident: v3Ident === '' ? null : hexOf(v3Ident, 20),
    dir: { host: parseIp(address)!, port: dirPort },
    orPort,
    ipv6: ipv6 === '' ? null : parseEndpoint(ipv6),
    isBridgeAuthority: v3Ident === '',
  }));
}

const emptyAuthority = { weight: 1, uploadTo: [], downloadFrom: [] } as const;

/** Keep those authorities whose signatures make a consensus. */
export function votingAuthorities(all: readonly DirectoryAuthority[]): DirectoryAuthority[] {
  return all.filter((authority) => authority.v3Ident !== null);
}
