/** Options whose change changes our descriptor. */

const PUBLISHED: ReadonlySet<string> = new Set([
  'Address',
  'AddressDisableIPv6',
  'AssumeReachable',
  'AssumeReachableIPv6',
  'BandwidthBurst',
  'BandwidthRate',
  'ContactInfo',
  'DirAllowPrivateAddresses',
  'DirCache',
  'DownloadExtraInfo',
  'ExitPolicy',
  'ExitPolicyRejectLocalInterfaces',
  'ExitPolicyRejectPrivate',
  'ExitRelay',
  'IPv6Exit',
  'MaxAdvertisedBandwidth',
  'Nickname',
  'OutboundBindAddress',
  'OutboundBindAddressExit',
  'OutboundBindAddressOR',
  'PublishServerDescriptor',
  'ReducedExitPolicy',
  'RelayBandwidthBurst',
  'RelayBandwidthRate',
]);

/** Whether our descriptor speaks of this option. */
export function affectsDescriptor(option: string): boolean {
  return PUBLISHED.has(option);
}
