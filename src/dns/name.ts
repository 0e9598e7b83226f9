/**
 * Host names as clients send them: which may be asked for, and which stand for an address (`4.3.2.1.in-addr.arpa`).
 *
 * Pure. Names are texts of one byte a character, at most 255 of them.
 *
 * @source RFC 1035 "Domain name space"; RFC 3596 for `ip6.arpa`; what C tor 0.4.9 refuses at exits
 */

const IPV4_SUFFIX = '.in-addr.arpa';
const IPV6_SUFFIX = '.ip6.arpa';
const NAME_MOST = 253;
const LABEL_MOST = 63;

/** Whether a name is made of letters, digits, `-`, `_` and dots: others are refused unless torrc allows them. */
export function isPlainName(name: string): boolean {
  return /^[A-Za-z0-9._-]*$/.test(name);
}

/** Whether a name fits into a question: labels of 1 to 63 bytes, 253 bytes in all; a dot may end it. */
export function isAskable(name: string): boolean {
  const bare = name.endsWith('.') ? name.slice(0, -1) : name;
  if (bare === '' || bare.length > NAME_MOST) return false;
  return bare.split('.').every((label) => label.length >= 1 && label.length <= LABEL_MOST);
}

/** The address (4 or 16 bytes) that a reverse name stands for; 'bad' for a malformed one, null for any other name. */
export function parseReverseName(name: string): Uint8Array | 'bad' | null {
  const lower = name.toLowerCase();
  if (lower.endsWith(IPV4_SUFFIX)) {
    const parts = lower.slice(0, -IPV4_SUFFIX.length).split('.');
    if (parts.length !== 4 || !parts.every((part) => /^[0-9]{1,3}$/.test(part) && Number(part) < 256)) {
      return 'bad';
    }
    return Uint8Array.from(parts.reverse().map(Number));
  }
  if (lower.endsWith(IPV6_SUFFIX)) {
    const digits = lower.slice(0, -IPV6_SUFFIX.length).split('.');
    if (digits.length !== 32 || !digits.every((digit) => /^[0-9a-f]$/.test(digit))) return 'bad';
    return Uint8Array.fromHex(digits.reverse().join(''));
  }
  return null;
}

/** The name under which the host name of an address is asked for. */
export function reverseName(host: Uint8Array): string {
  if (host.length === 4) return `${[...host].reverse().join('.')}${IPV4_SUFFIX}`;
  return `${[...host.toHex()].reverse().join('.')}${IPV6_SUFFIX}`;
}
