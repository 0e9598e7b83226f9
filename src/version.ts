/**
 * What this build calls itself. `build.ts` stamps the commit in; uncompiled sources say `dev`.
 */
declare const ONIONRELAY_COMMIT: string | undefined;

/** The same as in package.json; a test compares them. */
export const VERSION = '0.1.0';

/** The commit that was built. */
export const COMMIT = typeof ONIONRELAY_COMMIT === 'string' ? ONIONRELAY_COMMIT : 'dev';

/** The `platform` line of our descriptor. Not beginning with `Tor `, so authorities judge no version by it. */
export const PLATFORM = `onionrelay ${VERSION} on Linux`;

/**
 * What we speak, each number only when its duty holds.
 * @source tor-spec "Subprotocol versioning"
 */
export const PROTOCOLS =
  'Conflux=1 Cons=1-2 Desc=1-4 DirCache=2 FlowCtrl=1-2 Link=4-5 LinkAuth=3 Microdesc=1-3 Relay=2-4';
