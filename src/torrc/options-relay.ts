/**
 * The options that concern a relay, in the text form that `option-table.ts` reads.
 *
 * Two lines each: `name | type | default | effect [restart] [| default under TestingTorNetwork]`, then the
 * sentence that help, man page and sample torrc print. A default of `-` means unset.
 */

export const RELAY_OPTIONS = `
AccelDir | path | - | later restart
  Folder with OpenSSL engines.
AccelName | text | - | later restart
  Name of the OpenSSL engine to load.
AccountingMax | memory | 0 bytes | later
  Bytes that may be moved in one accounting period before the relay hibernates; 0 is no limit.
AccountingRule | text | max | later
  How AccountingMax counts: max, sum, in or out.
AccountingStart | text | - | later
  When an accounting period begins: month, week or day with a time of day.
Address | lines | - | acts
  Public IPv4 or IPv6 address (or a host name) that the descriptor names; one line per address family.
AddressDisableIPv6 | boolean | 0 | acts
  Leave every IPv6 ORPort out of the descriptor and do not look for an IPv6 address.
AlternateBridgeAuthority | lines | - | later
  Bridge authority that replaces the built-in one.
AlternateDirAuthority | lines | - | later
  Directory authority that replaces the built-in ones but keeps the bridge authority.
__AlwaysCongestionControl | boolean | 0 | later
  Negotiate congestion control on every circuit of our own.
AssumeReachable | boolean | 0 | acts
  Publish without first testing whether others can reach the ORPort.
AssumeReachableIPv6 | auto-boolean | auto | acts
  Like AssumeReachable for the IPv6 ORPort alone; auto follows AssumeReachable.
AvoidDiskWrites | boolean | 0 | later
  Write state and caches to disk less often.
BandwidthBurst | memory | 1 GB | acts
  Most bytes that the whole process may move at once, each way, after a pause.
BandwidthRate | memory | 1 GB | acts
  Average bytes per second for the whole process, each way.
BridgeDistribution | text | - | later
  How this bridge may be handed out: none, any, https, email, settings and so on.
BridgeRecordUsageByCountry | boolean | 1 | later
  Let a bridge count its clients by country.
BridgeRelay | boolean | 0 | later
  Be a bridge: a relay that is not in the public consensus.
CacheDirectory | path | - | acts restart
  Folder for cached directory documents; unset means the data directory.
CacheDirectoryGroupReadable | auto-boolean | auto | acts
  Let the group read the cache directory; auto follows DataDirectoryGroupReadable.
CellStatistics | boolean | 0 | later
  Collect statistics about cells waiting in queues.
CircuitPadding | boolean | 1 | later
  Take part in circuit padding; relays must leave it at 1.
CircuitPriorityHalflife | number | -1.0 | acts
  Half-life in seconds of a circuit's weight when circuits compete; negative follows the consensus.
CompiledProofOfWorkHash | auto-boolean | auto | later
  Use compiled code for proof-of-work puzzles.
ConfluxEnabled | auto-boolean | auto | acts
  Accept circuits whose traffic is split over several paths; auto follows the consensus.
ConnDirectionStatistics | boolean | 0 | later
  Count links by the direction in which they mostly carry data.
ConnectionPadding | auto-boolean | auto | later
  Pad links against traffic analysis; relays must leave it at auto.
ConnLimit | count | 1000 | later
  Least number of file descriptors that must be available.
ConstrainedSockets | boolean | 0 | later
  Set small kernel buffers on every socket.
ConstrainedSockSize | memory | 8192 | later
  Size of the kernel buffers under ConstrainedSockets: 2048 to 262144 bytes in steps of 1024.
ContactInfo | text | - | acts
  How the directory authorities and other operators can reach you; published word for word.
ControlPort | port-lines | - | later
  Port, or unix: path, of the control protocol; several lines allowed.
ControlPortFileGroupReadable | boolean | 0 | later
  Let the group read ControlPortWriteToFile.
ControlPortWriteToFile | path | - | later
  File into which the addresses of the open control ports are written.
__ControlPort | port-lines | - | later
  ControlPort as a controller sets it; never written out.
ControlSocket | lines | - | later
  Unix socket of the control protocol.
ControlSocketsGroupWritable | boolean | 0 | later
  Let the group use the control socket.
CookieAuthentication | boolean | 0 | later
  Let a controller prove itself by a file that only you can read.
CookieAuthFile | path | - | later
  Where the cookie of CookieAuthentication is written.
CookieAuthFileGroupReadable | boolean | 0 | later
  Let the group read CookieAuthFile.
CountPrivateBandwidth | boolean | 0 | acts | 1
  Limit traffic with private addresses too.
DataDirectory | path | - | acts restart
  Folder with keys, state and caches, created with mode 0700.
DataDirectoryGroupReadable | boolean | 0 | acts
  Let the group read the data directory (mode 0750).
DirAllowPrivateAddresses | boolean | 0 | acts | 1
  Allow a private address in the descriptor; only for test networks.
DirAuthority | lines | - | acts restart
  Directory authority to use instead of the built-in ones: [NICKNAME] [FLAGS] ADDRESS:PORT FINGERPRINT; several lines allowed.
DirAuthorityFallbackRate | number | 0.1 | later
  How seldom an authority is asked while fallbacks answer.
DirCache | boolean | 1 | acts
  Keep directory documents and serve them to clients.
DirPolicy | lines | - | acts
  Who may use the DirPort, in the form of an exit policy.
DirPort | port-lines | - | acts restart
  Port for plain HTTP directory requests; outdated.
DirPortFrontPage | path | - | acts
  HTML file shown at the root of the DirPort.
__DirPort | port-lines | - | acts restart
  DirPort as a controller sets it; never written out.
DirReqStatistics | boolean | 1 | later
  Collect statistics about directory requests.
DisableAllSwap | boolean | 0 | later restart
  Lock all memory so that nothing is swapped to disk.
DisableDebuggerAttachment | boolean | 1 | acts restart
  Keep other processes of the same user from attaching a debugger; it also turns core dumps off.
DisableNetwork | boolean | 0 | acts restart
  Open no port, dial nobody and publish nothing; the keys are kept ready.
DisableOOSCheck | boolean | 1 | later
  Do not close links when file descriptors run out.
__DisableSignalHandlers | boolean | 0 | later restart
  Leave signals alone because another program owns the process.
DoSCircuitCreationBurst | count | 0 | acts
  Circuits that one address may create at once; 0 follows the consensus.
DoSCircuitCreationDefenseTimePeriod | interval | 0 | acts
  How long an address that created too many circuits is refused; 0 follows the consensus.
DoSCircuitCreationDefenseType | integer | 0 | acts
  What happens to too many circuits: 1 nothing, 2 refuse; 0 follows the consensus.
DoSCircuitCreationEnabled | auto-boolean | auto | acts
  Defend against clients that create too many circuits; auto follows the consensus, as for all DoS options.
DoSCircuitCreationMinConnections | count | 0 | acts
  Links from one address from which on its circuits are judged; 0 follows the consensus.
DoSCircuitCreationRate | count | 0 | acts
  Circuits per second that one address may create; 0 follows the consensus.
DoSConnectionConnectBurst | count | 0 | acts
  Links that one address may open at once; 0 follows the consensus.
DoSConnectionConnectDefenseTimePeriod | interval | 0 | acts
  How long an address that opened too many links is refused; 0 follows the consensus.
DoSConnectionConnectRate | count | 0 | acts
  Links per second that one address may open; 0 follows the consensus.
DoSConnectionDefenseType | integer | 0 | acts
  What happens to too many links: 1 nothing, 2 close; 0 follows the consensus.
DoSConnectionEnabled | auto-boolean | auto | acts
  Defend against too many links from one address.
DoSConnectionMaxConcurrentCount | count | 0 | acts
  Links that one address may hold at a time; 0 follows the consensus.
DoSRefuseSingleHopClientRendezvous | auto-boolean | auto | later
  Refuse to be the rendezvous point of a client that is linked directly.
DoSStreamCreationBurst | count | 0 | acts
  Streams that one circuit may open at once; 0 follows the consensus.
DoSStreamCreationDefenseType | integer | 0 | acts
  What happens to too many streams: 1 nothing, 2 refuse the stream, 3 close the circuit; 0 follows the consensus.
DoSStreamCreationEnabled | auto-boolean | auto | acts
  Defend against too many streams on one circuit.
DoSStreamCreationRate | count | 0 | acts
  Streams per second on one circuit; 0 follows the consensus.
DownloadExtraInfo | boolean | 0 | acts
  Fetch the extra-info documents of other relays.
EntryStatistics | boolean | 0 | later
  Count the clients that link directly, by country.
ExitPolicy | lines | - | acts
  Which destinations exit traffic may reach: accept or reject ADDRESS[/MASK]:PORT, first match wins; the default policy follows.
ExitPolicyRejectLocalInterfaces | boolean | 0 | acts
  Reject exit traffic to the addresses of this machine.
ExitPolicyRejectPrivate | boolean | 1 | acts | 0
  Reject exit traffic to private networks and to this relay's own addresses.
ExitPortStatistics | boolean | 0 | later
  Count exit traffic by port.
ExitRelay | auto-boolean | auto | acts
  Whether exit traffic is allowed; auto means only if ExitPolicy, ReducedExitPolicy or IPv6Exit is set.
ExtendAllowPrivateAddresses | boolean | 0 | acts | 1
  Extend circuits to private and loopback addresses too; only for test networks.
ExtendByEd25519ID | auto-boolean | auto | later
  Name Ed25519 identities in circuits of our own; auto follows the consensus.
ExtORPort | port-lines | - | later
  Port on which pluggable transports hand over their clients.
ExtORPortCookieAuthFile | path | - | later
  Where the cookie of the ExtORPort is written.
ExtORPortCookieAuthFileGroupReadable | boolean | 0 | later
  Let the group read ExtORPortCookieAuthFile.
__ExtORPort | port-lines | - | later
  ExtORPort as a controller sets it; never written out.
ExtraInfoStatistics | boolean | 1 | later
  Put the collected statistics into the extra-info document.
FallbackDir | lines | - | later
  Directory to ask when no authority should be: ADDRESS:PORT orport=PORT id=FINGERPRINT.
FamilyId | lines | - | later
  Ed25519 identity of the family to which this relay belongs; * takes every family key found.
FamilyKeyDirectory | path | - | later restart
  Folder with family keys; unset means the key directory.
FetchDirInfoEarly | boolean | 0 | acts
  Fetch directory documents as early as a directory cache does.
FetchDirInfoExtraEarly | boolean | 0 | later
  Fetch directory documents before other caches do; needs FetchDirInfoEarly.
FetchUselessDescriptors | boolean | 0 | acts
  Fetch descriptors of every relay, running or not.
GeoIPFile | path | /usr/share/tor/geoip | later
  IPv4 address ranges by country.
GeoIPv6File | path | /usr/share/tor/geoip6 | later
  IPv6 address ranges by country.
HardwareAccel | boolean | 0 | later restart
  Ask OpenSSL for hardware acceleration; ours is always used where it exists.
HashedControlPassword | lines | - | later
  Hash of a control password, as --hash-password prints it.
__HashedControlSessionPassword | lines | - | later
  Hash of a control password for this run only.
HeartbeatPeriod | interval | 6 hours | acts
  Time between two heartbeat lines in the log; 0 turns them off, otherwise at least 30 minutes.
HiddenServiceStatistics | boolean | 1 | later
  Collect obfuscated statistics about onion service traffic.
IPv6Exit | boolean | 0 | acts
  Allow exit traffic to IPv6 addresses.
KeepalivePeriod | interval | 5 minutes | later
  Keep firewalls from closing idle links by sending padding this often.
KeepBindCapabilities | auto-boolean | auto | later restart
  Keep the right to open low ports after changing to User.
KeyDirectory | path | - | acts restart
  Folder with the identity and onion keys; unset means keys inside the data directory.
KeyDirectoryGroupReadable | auto-boolean | auto | acts
  Let the group read the key directory; auto follows DataDirectoryGroupReadable when both are the same folder.
KISTSchedRunInterval | msec-interval | 0 msec | later
  Time between two rounds of the KIST scheduler; 0 follows the consensus.
KISTSockBufSizeFactor | number | 1.0 | later
  Factor of the kernel's send buffer that KIST fills.
Log | lines | - | acts
  What is logged and where: SEVERITY[-SEVERITY], optional [DOMAIN,...] before it, then stdout, stderr, syslog or file PATH; several lines allowed.
LogMessageDomains | boolean | 0 | acts
  Write each record's domain into the log line.
LogTimeGranularity | msec-interval | 1 second | acts
  Resolution of the time stamps in logs: a divisor of one second or whole seconds.
MainloopStats | boolean | 0 | later
  Log statistics of the event loop with each heartbeat.
MaxAdvertisedBandwidth | memory | 1 GB | acts
  Most bytes per second that the descriptor claims.
MaxConsensusAgeForDiffs | interval | 0 seconds | acts
  Age up to which an old consensus is kept to serve differences from it; 0 decides itself.
MaxHSDirCacheBytes | memory | 0 | later
  Memory for onion service descriptors; 0 takes a fifth of MaxMemInQueues.
MaxMemInQueues | memory | 0 | acts
  Memory above which circuits are ended, the oldest queues first; 0 derives it from the machine's memory.
MaxOnionQueueDelay | msec-interval | 0 | acts
  Longest time that a circuit handshake may wait for a worker before it is refused; 0 follows the consensus.
MaxUnparseableDescSizeToLog | memory | 10 MB | later
  Disk space for documents that could not be parsed.
MetricsPort | port-lines | - | later
  Port on which Prometheus reads this relay's metrics.
MetricsPortPolicy | lines | - | later
  Who may read the MetricsPort, in the form of an exit policy.
__MetricsPort | port-lines | - | later
  MetricsPort as a controller sets it; never written out.
MyFamily | lines | - | later
  Fingerprints of the relays that you run too, comma separated.
Nickname | text | - | acts
  Name of this relay in directory documents: 1 to 19 letters and digits; unset means Unnamed.
NoExec | boolean | 0 | later restart
  Never start another program.
NumCPUs | count | 0 | acts restart
  Number of worker threads that carry cells; 0 takes one per core that this process may use.
OfflineMasterKey | boolean | 0 | acts
  Never create or load the Ed25519 master secret; the signing key comes from another machine.
ORPort | port-lines | - | acts restart
  Address and port for relay links, several lines allowed: [ADDRESS:](PORT|auto) with NoAdvertise, NoListen, IPv4Only or IPv6Only; 0 means none.
__ORPort | port-lines | - | acts restart
  ORPort as a controller sets it; used like ORPort but never written out.
OutboundBindAddress | lines | - | acts
  Source address for everything that the relay dials, at most one per address family.
OutboundBindAddressExit | lines | - | acts
  Source address for exit traffic; stronger than OutboundBindAddress.
OutboundBindAddressOR | lines | - | acts
  Source address for links to other relays; stronger than OutboundBindAddress.
OutboundBindAddressPT | lines | - | later
  Source address that pluggable transports shall use.
OverloadStatistics | boolean | 1 | acts
  Publish that this relay is overloaded: how often it hit its bandwidth limits.
__OwningControllerFD | count64 | 18446744073709551615 | later restart
  File descriptor of the controller that owns this process.
__OwningControllerProcess | text | - | later
  Exit when the process with this id ends.
PaddingStatistics | boolean | 1 | later
  Publish counts of padding cells.
PerConnBWBurst | memory | 0 | acts
  Most bytes that one link may move at once, each way, if its peer is no relay of the consensus; 0 follows the consensus.
PerConnBWRate | memory | 0 | acts
  Average bytes per second, each way, for a link whose peer is no relay of the consensus; 0 follows the consensus.
PidFile | path | - | acts restart
  File that holds the process id while the relay runs.
ProtocolWarnings | boolean | 0 | acts
  Log a peer's breaches of the protocol at warn instead of info.
PublishServerDescriptor | list | 1 | acts
  Where the server descriptor is uploaded: 1 or v3 (directory authorities), bridge, or 0 for nowhere.
ReducedCircuitPadding | boolean | 0 | later
  Pad circuits less; not for relays.
ReducedConnectionPadding | boolean | 0 | later
  Pad links less; not for relays.
ReducedExitPolicy | boolean | 0 | acts
  Use a shorter list of well-known ports as the exit policy.
ReevaluateExitPolicy | boolean | 0 | acts
  Close streams that a changed exit policy no longer allows.
RefuseUnknownExits | auto-boolean | auto | acts
  Refuse to exit for circuits whose previous hop is not a known relay.
RelayBandwidthBurst | memory | 0 | acts
  Most relayed bytes that may be moved at once, each way, after a pause; 0 follows RelayBandwidthRate.
RelayBandwidthRate | memory | 0 | acts
  Average bytes per second for relayed traffic, each way; 0 leaves it to BandwidthRate.
__ReloadTorrcOnSIGHUP | boolean | 1 | acts
  Whether HUP reads torrc again.
RephistTrackTime | interval | 24 hours | later
  How long the history of other relays is remembered.
RunAsDaemon | boolean | 0 | acts restart
  Detach from the terminal and run in the background.
SafeLogging | text | 1 | acts
  1 and relay scrub the addresses that a relay learns of from logs, 0 scrubs nothing.
Sandbox | boolean | 0 | later restart
  Confine the process to the system calls that it needs.
__SbwsExit | boolean | 0 | later
  Give streams of bandwidth measurements their own limits.
Schedulers | list | KIST,KISTLite,Vanilla | later
  Schedulers to try in this order: KIST, KISTLite, Vanilla.
ServerDNSAllowBrokenConfig | boolean | 1 | acts
  Start although the resolver configuration is broken.
ServerDNSAllowNonRFC953Hostnames | boolean | 0 | acts
  Resolve exit host names with odd characters.
ServerDNSDetectHijacking | boolean | 1 | acts
  Test whether the resolver answers for names that do not exist.
ServerDNSRandomizeCase | boolean | 1 | acts
  Mix the case of letters in queries against forged answers.
ServerDNSResolvConfFile | path | - | acts
  Resolver configuration to use instead of the system's.
ServerDNSSearchDomains | boolean | 0 | acts
  Try the local search domains for exit host names.
ServerDNSTestAddresses | list | www.google.com,www.mit.edu,www.yahoo.com,www.slashdot.org | acts
  Names that must resolve to different addresses when testing for hijacking.
ServerTransportListenAddr | lines | - | later
  Address and port on which a pluggable transport listens.
ServerTransportOptions | lines | - | later
  KEY=VALUE options handed to a pluggable transport.
ServerTransportPlugin | lines | - | later
  Program that offers pluggable transports on this bridge.
ShutdownWaitLength | interval | 30 seconds | acts
  After INT, time for which existing circuits are still served before the process exits.
SigningKeyLifetime | interval | 30 days | acts
  How long a new Ed25519 signing key is certified.
SSLKeyLifetime | interval | 0 | later
  Lifetime that the link certificate claims; 0 chooses at random.
SyslogIdentityTag | text | - | acts restart
  Suffix of the name under which records go to syslog.
TestingTorNetwork | boolean | 0 | acts restart
  Change many defaults to those of a private test network; needs DirAuthority lines.
TokenBucketRefillInterval | msec-interval | 100 msec | later restart
  Time between two refills of the bandwidth limits, 1 to 1000 ms; this relay refills every 4 to 10 ms whatever it says.
TruncateLogFile | boolean | 0 | acts
  Empty a log file when it is opened at start instead of appending.
UseDefaultFallbackDirs | boolean | 1 | later
  Use the built-in fallback directories.
UseMicrodescriptors | auto-boolean | auto | later
  Use microdescriptors for circuits of our own.
User | text | - | acts restart
  Account to change to once the ports are open and the keys are read.
`;
