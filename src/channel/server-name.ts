/**
 * The server name that a dial shows in its ClientHello. It means nothing; C tor shows a random one, and so do we, so
 * that a link looks like any other TLS connection.
 * @source tor-spec "Negotiating and initializing channels"
 */

/** Make up a name of the form that C tor uses: `www.`, 8 to 19 letters of base32, `.com`. */
export function randomServerName(random: (n: number) => Uint8Array): string {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
  const bytes = random(20);
  let name = '';
  const length = 8 + (bytes[0]! % 12);
  for (let i = 0; i < length; i++) name += alphabet[bytes[i]! & 31];
  return `www.${name}.com`;
}
