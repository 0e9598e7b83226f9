/**
 * The options of clients and onion services: known and checked, so that a shared torrc loads, but a relay does
 * nothing with them. The form is that of `options-relay.ts`.
 */

export const CLIENT_OPTIONS = `
__AllDirActionsPrivate | boolean | 0 | client
  Send every directory request through a circuit.
AllowNonRFC953Hostnames | boolean | 0 | client
  Accept odd host names from applications.
AutomapHostsOnResolve | boolean | 0 | client
  Answer lookups of special names with a made-up address.
AutomapHostsSuffixes | list | .onion,.exit | client
  Endings of the names that AutomapHostsOnResolve covers.
Bridge | lines | - | client
  Bridge to enter the network through.
CircuitBuildTimeout | interval | 0 | client
  Time to build a circuit before it is given up.
CircuitsAvailableTimeout | interval | 0 | client
  Time for which unused circuits are kept ready.
CircuitStreamTimeout | interval | 0 | client
  Time after which a stream is tried on another circuit.
ClientBootstrapConsensusAuthorityDownloadInitialDelay | interval-list | 6 | client | 0
  First delay before authorities are asked beside fallbacks.
ClientBootstrapConsensusAuthorityOnlyDownloadInitialDelay | interval-list | 0 | client | 0
  First delay when there are only authorities.
ClientBootstrapConsensusFallbackDownloadInitialDelay | interval-list | 0 | client | 0
  First delay before fallbacks are asked.
ClientBootstrapConsensusMaxInProgressTries | count | 3 | client
  Consensus downloads tried at the same time.
ClientDNSRejectInternalAddresses | boolean | 1 | client | 0
  Believe no answer that names a private address.
ClientOnionAuthDir | path | - | client
  Folder with keys for restricted onion services.
ClientOnly | boolean | 0 | client
  Never be a relay, whatever ORPort says.
ClientPreferIPv6DirPort | auto-boolean | auto | client
  Without effect for a long time.
ClientPreferIPv6ORPort | auto-boolean | auto | client
  Prefer guards over IPv6.
ClientRejectInternalAddresses | boolean | 1 | client | 0
  Refuse requests for private addresses.
ClientTransportPlugin | lines | - | client
  Program that reaches bridges through a pluggable transport.
ClientUseIPv4 | boolean | 1 | client
  Enter the network over IPv4; relays must leave it at 1.
ClientUseIPv6 | boolean | 1 | client
  Enter the network over IPv6.
ConfluxClientUX | text | throughput | client
  What split circuits aim at: throughput, latency, throughput_lowmem or latency_lowmem.
__DisablePredictedCircuits | boolean | 0 | client
  Build circuits only when they are needed.
DNSPort | port-lines | - | client
  Port that answers DNS questions over circuits.
__DNSPort | port-lines | - | client
  DNSPort as a controller sets it.
DormantCanceledByStartup | boolean | 0 | client
  Wake up at start.
DormantClientTimeout | interval | 24 hours | client
  Idle time after which a client sleeps.
DormantOnFirstStartup | boolean | 0 | client
  Sleep at the first start.
DormantTimeoutDisabledByIdleStreams | boolean | 1 | client
  Do not sleep while streams are open.
DormantTimeoutEnabled | boolean | 1 | client
  Sleep when idle.
EnforceDistinctSubnets | boolean | 1 | acts | 0
  Never use two relays of one subnet in a circuit.
EntryNodes | routers | - | client
  Relays to enter the network through.
ExcludeExitNodes | routers | - | client
  Relays never to exit from.
ExcludeNodes | routers | - | acts
  Relays that circuits of our own never go through.
ExitNodes | routers | - | client
  Relays to exit from.
FascistFirewall | boolean | 0 | client
  Dial only the ports that a strict firewall lets through.
FetchHidServDescriptors | boolean | 1 | client
  Fetch descriptors of onion services.
FetchServerDescriptors | boolean | 1 | client
  Fetch consensus and descriptors.
FirewallPorts | list |  | client
  Ports that FascistFirewall may dial.
GeoIPExcludeUnknown | auto-boolean | auto | client
  Exclude relays of unknown country together with excluded countries.
GuardLifetime | interval | 0 minutes | client
  How long a guard is kept.
HiddenServiceAllowUnknownPorts | service-lines | - | client
  Ignore streams to unknown ports of an onion service.
HiddenServiceDir | service-lines | - | client
  Folder of an onion service; the options after it belong to it.
HiddenServiceDirGroupReadable | service-lines | - | client
  Let the group read the service's folder.
HiddenServiceEnableIntroDoSBurstPerSec | service-lines | - | client
  Introductions that an introduction point may pass at once.
HiddenServiceEnableIntroDoSDefense | service-lines | - | client
  Ask introduction points to limit introductions.
HiddenServiceEnableIntroDoSRatePerSec | service-lines | - | client
  Introductions per second that an introduction point may pass.
HiddenServiceExportCircuitID | service-lines | - | client
  Tell the service which circuit a stream came from.
HiddenServiceMaxStreams | service-lines | - | client
  Streams per circuit of an onion service.
HiddenServiceMaxStreamsCloseCircuit | service-lines | - | client
  Close a circuit with too many streams.
HiddenServiceNonAnonymousMode | boolean | 0 | client restart
  Allow onion services that are not anonymous.
HiddenServiceNumIntroductionPoints | service-lines | - | client
  Introduction points of an onion service.
HiddenServiceOnionBalanceInstance | service-lines | - | client
  Be one of several machines behind one onion address.
HiddenServicePort | service-lines | - | client
  Port of an onion service and where it leads.
HiddenServicePoWDefensesEnabled | service-lines | - | client
  Ask clients for a proof of work under load.
HiddenServicePoWQueueBurst | service-lines | - | client
  Introductions with proof of work handled at once.
HiddenServicePoWQueueRate | service-lines | - | client
  Introductions with proof of work handled per second.
HiddenServiceSingleHopMode | boolean | 0 | client restart
  Reach rendezvous points in one hop.
HiddenServiceVersion | service-lines | - | client
  Version of an onion service: 3.
HSLayer2Nodes | routers | - | client
  Second hops of onion service circuits.
HSLayer3Nodes | routers | - | client
  Third hops of onion service circuits.
HTTPProxy | text | - | client
  Proxy for plain directory requests; deprecated.
HTTPProxyAuthenticator | text | - | client
  Name and password for HTTPProxy; deprecated.
HTTPSProxy | text | - | client
  HTTP CONNECT proxy for all links.
HTTPSProxyAuthenticator | text | - | client
  Name and password for HTTPSProxy.
HTTPTunnelPort | port-lines | - | client
  Port that takes HTTP CONNECT requests.
__HTTPTunnelPort | port-lines | - | client
  HTTPTunnelPort as a controller sets it.
LearnCircuitBuildTimeout | boolean | 1 | client
  Learn how long a circuit takes to build.
__LeaveStreamsUnattached | boolean | 0 | client
  Leave it to a controller to attach streams.
LongLivedPorts | list | 21,22,706,1863,5050,5190,5222,5223,6523,6667,6697,8300 | client
  Ports whose streams need stable relays.
MapAddress | lines | - | client
  Replace one address by another in requests.
MaxCircuitDirtiness | interval | 10 minutes | client
  Time for which a used circuit takes new streams.
MaxClientCircuitsPending | count | 32 | client
  Circuits under construction at a time.
MiddleNodes | routers | - | client
  Relays for the middle of circuits.
NATDPort | port-lines | - | client
  Port for streams redirected by ipfw.
__NATDPort | port-lines | - | client
  NATDPort as a controller sets it.
NewCircuitPeriod | interval | 30 seconds | client
  Time between two looks at whether new circuits are needed.
NodeFamily | lines | - | client
  Relays never to use together.
NumDirectoryGuards | count | 0 | client
  Guards for directory requests.
NumEntryGuards | count | 0 | client
  Guards for circuits.
NumPrimaryGuards | count | 0 | client
  Guards that are preferred.
PathBiasCircThreshold | integer | -1 | client
  Circuits before a guard's failures are judged.
PathBiasDropGuards | auto-boolean | 0 | client
  Drop guards that fail too often.
PathBiasExtremeRate | number | -1 | client
  Share of built circuits below which a guard is extreme.
PathBiasExtremeUseRate | number | -1 | client
  Share of used circuits below which a guard is extreme.
PathBiasNoticeRate | number | -1 | client
  Share of built circuits below which a notice is logged.
PathBiasNoticeUseRate | number | -1 | client
  Share of used circuits below which a notice is logged.
PathBiasScaleThreshold | integer | -1 | client
  Built circuits after which the counts are halved.
PathBiasScaleUseThreshold | integer | -1 | client
  Used circuits after which the counts are halved.
PathBiasUseThreshold | integer | -1 | client
  Used circuits before a guard is judged by them.
PathBiasWarnRate | number | -1 | client
  Share of built circuits below which a warning is logged.
PathsNeededToBuildCircuits | number | -1 | client
  Share of paths that must be known before circuits are built.
PublishHidServDescriptors | boolean | 1 | client
  Publish the descriptors of our onion services.
ReachableAddresses | lines | - | client
  Addresses that a firewall lets through; not for relays.
ReachableDirAddresses | lines | - | client
  Deprecated; without effect.
ReachableORAddresses | lines | - | client
  ORPorts that a firewall lets through; not for relays.
ReconfigDropsBridgeDescs | boolean | 0 | client
  Forget bridges' descriptors when the configuration changes.
RejectPlaintextPorts | list |  | client
  Ports to which no unencrypted stream may go.
SafeSocks | boolean | 0 | client
  Refuse requests that leaked a name by DNS.
Socks4Proxy | text | - | client
  SOCKS 4 proxy for all links.
Socks5Proxy | text | - | client
  SOCKS 5 proxy for all links.
Socks5ProxyPassword | text | - | client
  Password for Socks5Proxy.
Socks5ProxyUsername | text | - | client
  Name for Socks5Proxy.
SocksPolicy | lines | - | client
  Who may use the SocksPort.
SocksPort | port-lines | - | client
  Port for applications; a relay needs none and onionrelay opens none.
__SocksPort | port-lines | - | client
  SocksPort as a controller sets it.
SocksTimeout | interval | 2 minutes | client
  Time for a SOCKS request to be answered.
StrictNodes | boolean | 0 | client
  Treat excluded relays as forbidden always.
TCPProxy | text | - | client
  Proxy for all links: haproxy ADDRESS:PORT.
TestSocks | boolean | 0 | client
  Log whether SOCKS requests leaked names.
TrackHostExits | list |  | client
  Destinations that keep the same exit.
TrackHostExitsExpire | interval | 30 minutes | client
  Time for which TrackHostExits remembers.
TransPort | port-lines | - | client
  Port for transparently redirected streams.
__TransPort | port-lines | - | client
  TransPort as a controller sets it.
TransProxyType | text | default | client
  Kind of redirection: default, TPROXY, ipfw or pf-divert.
UnixSocksGroupWritable | boolean | 0 | client
  Let the group use unix SOCKS sockets.
UpdateBridgesFromAuthority | boolean | 0 | client
  Fetch bridges' descriptors from the bridge authority.
UseBridges | boolean | 0 | client
  Enter the network through bridges; not for relays.
UseEntryGuards | boolean | 1 | client
  Use the same few relays to enter the network.
UseGuardFraction | auto-boolean | auto | client
  Weigh guards by how long they have been guards.
VanguardsLiteEnabled | auto-boolean | auto | client
  Use the same few second hops for onion services.
VirtualAddrNetworkIPv4 | text | 127.192.0.0/10 | client
  IPv4 range for made-up addresses.
VirtualAddrNetworkIPv6 | text | [FE80::]/10 | client
  IPv6 range for made-up addresses.
WarnPlaintextPorts | list | 23,109,110,143 | client
  Ports at which a warning about unencrypted streams is logged.
`;
