/**
 * IP addresses and endpoints as bytes: 4 bytes for IPv4, 16 for IPv6, network order.
 *
 * Everything inside the relay passes addresses in this form; text appears only in torrc, documents and logs.
 */

/** An address and a port. `host` has 4 or 16 bytes and is never mutated. */
export interface Endpoint {
  readonly host: Uint8Array;
  readonly port: number;
}

/** Parse an IPv4 or IPv6 literal (IPv6 with or without brackets, no zone). Returns null if it is neither. */
export function parseIp(text: string): Uint8Array | null {
  if (text.startsWith('[') && text.endsWith(']')) {
    const inner = text.slice(1, -1);
    return inner.includes(':') ? parseIpv6(inner) : null;
  }
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

function parseIpv4(text: string): Uint8Array | null {
  const parts = text.split('.');
  if (parts.length !== 4) return null;
  const out = new Uint8Array(4);
  for (let i = 0; i < 4; i++) {
    const part = parts[i]!;
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return null;
    out[i] = Number(part);
  }
  return out;
}

function parseIpv6(text: string): Uint8Array | null {
  const halves = text.split('::');
  if (halves.length > 2) return null;
  const shortened = halves.length === 2;
  const head = groups(halves[0]!, !shortened);
  const tail = shortened ? groups(halves[1]!, true) : [];
  if (head === null || tail === null) return null;
  const missing = 8 - head.length - tail.length;
  if (shortened ? missing < 1 : missing !== 0) return null;
  const all = [...head, ...new Array<number>(missing).fill(0), ...tail];
  const out = new Uint8Array(16);
  for (let i = 0; i < 8; i++) {
    out[2 * i] = all[i]! >> 8;
    out[2 * i + 1] = all[i]! & 255;
  }
  return out;
}

/** Read groups between colons; a dotted quad may stand for the last two of the address, so only `atEnd`. */
function groups(text: string, atEnd: boolean): number[] | null {
  if (text === '') return [];
  const out: number[] = [];
  const parts = text.split(':');
  for (const [i, part] of parts.entries()) {
    if (part.includes('.')) {
      const v4 = atEnd && i === parts.length - 1 ? parseIpv4(part) : null;
      if (v4 === null) return null;
      out.push((v4[0]! << 8) | v4[1]!, (v4[2]! << 8) | v4[3]!);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return null;
      out.push(Number.parseInt(part, 16));
    }
  }
  return out;
}

/** Print an address: dotted quad, or RFC 5952 IPv6 without brackets. */
export function printIp(host: Uint8Array): string {
  if (host.length === 4) return `${host[0]}.${host[1]}.${host[2]}.${host[3]}`;
  const words: number[] = [];
  for (let i = 0; i < 16; i += 2) words.push((host[i]! << 8) | host[i + 1]!);
  let runAt = -1;
  let runLength = 1;
  for (let i = 0; i < 8; ) {
    let end = i;
    while (end < 8 && words[end] === 0) end++;
    if (end - i > runLength) {
      runAt = i;
      runLength = end - i;
    }
    i = end === i ? i + 1 : end;
  }
  const hex = words.map((word) => word.toString(16));
  if (runAt < 0) return hex.join(':');
  return `${hex.slice(0, runAt).join(':')}::${hex.slice(runAt + runLength).join(':')}`;
}

/** Print `1.2.3.4:9001` or `[2001:db8::1]:9001`. */
export function printEndpoint(endpoint: Endpoint): string {
  const host = printIp(endpoint.host);
  return endpoint.host.length === 16 ? `[${host}]:${endpoint.port}` : `${host}:${endpoint.port}`;
}

/** Turn an IPv4-mapped IPv6 address (::ffff:a.b.c.d) into its IPv4 form; others are returned as they are. */
export function unmapIp(host: Uint8Array): Uint8Array {
  if (host.length !== 16 || host[10] !== 255 || host[11] !== 255) return host;
  for (let i = 0; i < 10; i++) if (host[i] !== 0) return host;
  return host.slice(12);
}

/** Whether two addresses are the same bytes. */
export function sameIp(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Whether the address is all zero ("any"). */
export function isAnyIp(host: Uint8Array): boolean {
  return host.every((byte) => byte === 0);
}

/** Whether the address names one host: not "any", multicast or broadcast. */
export function isUnicastIp(host: Uint8Array): boolean {
  if (isAnyIp(host)) return false;
  return host.length === 4 ? host[0]! < 224 : host[0] !== 0xff;
}

/** Whether the address is the host's own loopback. */
export function isLoopback(host: Uint8Array): boolean {
  if (host.length === 4) return host[0] === 127;
  return host.subarray(0, 15).every((byte) => byte === 0) && host[15] === 1;
}

/**
 * Whether the address is not reachable from the public internet: the ranges that C tor treats as internal, and IPv6
 * multicast.
 * @source tor-spec "Handling extend requests", policies of C tor 0.4.9
 */
export function isInternalIp(host: Uint8Array): boolean {
  if (host.length === 4) {
    const a = host[0]!;
    const b = host[1]!;
    return (
      a === 0 ||
      a === 10 ||
      a === 127 ||
      (a === 169 && b === 254) ||
      (a === 172 && (b & 0xf0) === 16) ||
      (a === 192 && b === 168) ||
      (a === 100 && (b & 0xc0) === 64)
    );
  }
  const mapped = unmapIp(host);
  if (mapped.length === 4) return isInternalIp(mapped);
  const first = host[0]!;
  const second = host[1]!;
  if ((first & 0xfe) === 0xfc) return true;
  if (first === 0xfe && (second & 0x80) === 0x80) return true;
  if (first === 0xff) return true;
  return host.subarray(0, 15).every((byte) => byte === 0);
}
