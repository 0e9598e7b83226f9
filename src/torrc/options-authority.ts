/**
 * The options of directory authorities and of test networks. The form is that of `options-relay.ts`.
 */

export const AUTHORITY_OPTIONS = `
AuthDirBadExit | lines | - | authority
  Addresses of relays to vote as bad exits.
AuthDirBadExitCCs | list |  | authority
  Countries whose relays are bad exits.
AuthDirFastGuarantee | memory | 100 KB | authority
  Bandwidth that always earns Fast.
AuthDirGuardBWGuarantee | memory | 2 MB | authority
  Bandwidth that always is enough for Guard.
AuthDirHasIPv6Connectivity | boolean | 0 | authority
  Test the IPv6 addresses of relays.
AuthDirInvalid | lines | - | authority
  Addresses of relays never voted Valid.
AuthDirInvalidCCs | list |  | authority
  Countries whose relays are never voted Valid.
AuthDirListBadExits | boolean | 0 | authority
  Vote about BadExit.
AuthDirListMiddleOnly | boolean | 0 | authority
  Vote about MiddleOnly.
AuthDirMaxServersPerAddr | count | 2 | authority | 0
  Relays accepted from one address; 0 is no limit.
AuthDirMiddleOnly | lines | - | authority
  Addresses of relays to vote as middle only.
AuthDirMiddleOnlyCCs | list |  | authority
  Countries whose relays are middle only.
AuthDirPinKeys | boolean | 1 | authority
  Hold relays to the pair of identities that they first showed.
AuthDirReject | lines | - | authority
  Addresses of relays to reject.
AuthDirRejectCCs | list |  | authority
  Countries whose relays are rejected.
AuthDirRejectRequestsUnderLoad | boolean | 1 | authority
  Answer 503 to directory requests beyond the bandwidth.
AuthDirSharedRandomness | boolean | 1 | authority
  Take part in the shared random value.
AuthDirTestEd25519LinkKeys | boolean | 1 | authority
  Test the Ed25519 identity of relays.
AuthDirTestReachability | boolean | 1 | authority
  Test whether relays can be reached.
AuthDirVoteGuard | routers | - | authority
  Relays always voted Guard.
AuthDirVoteGuardBwThresholdFraction | number | 0.75 | authority
  Share of relays whose bandwidth sets the Guard threshold.
AuthDirVoteGuardGuaranteeTimeKnown | interval | 8 days | authority
  Age that always is enough for Guard.
AuthDirVoteGuardGuaranteeWFU | number | 0.98 | authority
  Share of uptime that always is enough for Guard.
AuthDirVoteStableGuaranteeMinUptime | interval | 30 days | authority
  Uptime that always is enough for Stable.
AuthDirVoteStableGuaranteeMTBF | interval | 5 days | authority
  Time between failures that always is enough for Stable.
AuthoritativeDirectory | boolean | 0 | authority
  Be a directory authority; onionrelay is not one and refuses 1.
BridgeAuthoritativeDir | boolean | 0 | authority
  Be the authority of the bridges.
BridgePassword | text | - | authority
  Password for reading the bridge authority's list.
ConsensusParams | lines | - | authority
  Consensus parameters to vote for.
GuardfractionFile | path | - | authority
  File with the share of time for which relays were guards.
MinimalAcceptedServerVersion | text | 0.4.8.0-alpha-dev | authority
  Oldest relay version whose descriptor is accepted.
MinMeasuredBWsForAuthToIgnoreAdvertised | integer | 500 | authority
  Measured relays from which claimed bandwidths are ignored.
MinUptimeHidServDirectoryV2 | interval | 96 hours | authority | 0 minutes
  Uptime that HSDir needs.
RecommendedClientVersions | lines | - | authority
  Client versions to recommend.
RecommendedServerVersions | lines | - | authority
  Relay versions to recommend.
RecommendedVersions | lines | - | authority
  Versions to recommend to all.
TestingAuthDirTimeToLearnReachability | interval | 30 minutes | authority | 0 minutes
  Time after start before relays are voted down.
TestingAuthKeyLifetime | interval | 2 days | acts
  Lifetime of the link authentication key's certificate; only for test networks.
TestingAuthKeySlop | interval | 3 hours | acts
  How long before its end the link certificate is replaced; only for test networks.
TestingBridgeBootstrapDownloadInitialDelay | interval-list | 0 | client | 0
  First delay before bridges' descriptors are fetched at start.
TestingBridgeDownloadInitialDelay | interval-list | 10800 | client | 10
  First delay before bridges' descriptors are fetched again.
TestingClientConsensusDownloadInitialDelay | interval-list | 0 | client | 0
  First delay before a client fetches a consensus.
TestingClientDownloadInitialDelay | interval-list | 0 | client | 0
  First delay before a client fetches other documents.
TestingClientMaxIntervalWithoutRequest | interval | 10 minutes | client | 5 seconds
  Longest wait for more items before a client sends a request.
TestingDirAuthVoteExit | routers | - | authority
  Relays always voted Exit in a test network.
TestingDirAuthVoteExitIsStrict | boolean | 0 | authority
  No other relays are voted Exit.
TestingDirAuthVoteGuard | routers | - | authority
  Relays always voted Guard in a test network.
TestingDirAuthVoteGuardIsStrict | boolean | 0 | authority
  No other relays are voted Guard.
TestingDirAuthVoteHSDir | routers | - | authority
  Relays always voted HSDir in a test network.
TestingDirAuthVoteHSDirIsStrict | boolean | 0 | authority
  No other relays are voted HSDir.
TestingDirConnectionMaxStall | interval | 5 minutes | acts restart | 30 seconds
  Time after which a silent directory connection is closed; only for test networks.
TestingEnableCellStatsEvent | boolean | 0 | later | 1
  Offer CELL_STATS events to controllers; only for test networks.
TestingEnableConnBwEvent | boolean | 0 | later | 1
  Offer CONN_BW events to controllers; only for test networks.
TestingLinkCertLifetime | interval | 2 days | acts
  Lifetime of the link key's Ed25519 certificate; only for test networks.
TestingLinkKeySlop | interval | 3 hours | acts
  How long before its end the authentication certificate is replaced; only for test networks.
TestingMinExitFlagThreshold | memory | 0 | authority
  Least bandwidth for Exit in a test network.
TestingMinFastFlagThreshold | memory | 0 | authority
  Least bandwidth for Fast in a test network.
TestingMinTimeToReportBandwidth | interval | 1 day | acts | 0 seconds
  Time that a bandwidth history must span to be published; only for test networks.
TestingServerConsensusDownloadInitialDelay | interval-list | 0 | acts restart | 0
  First delay before a relay fetches a consensus; only for test networks.
TestingServerDownloadInitialDelay | interval-list | 0 | acts restart | 0
  First delay before a relay fetches other documents; only for test networks.
TestingSigningKeySlop | interval | 1 day | acts
  How long before its end the signing key is replaced; only for test networks.
TestingV3AuthInitialDistDelay | interval | 5 minutes | authority | 20 seconds
  V3AuthDistDelay before the first consensus.
TestingV3AuthInitialVoteDelay | interval | 5 minutes | authority | 20 seconds
  V3AuthVoteDelay before the first consensus.
TestingV3AuthInitialVotingInterval | interval | 30 minutes | authority | 150 seconds
  V3AuthVotingInterval before the first consensus.
TestingV3AuthVotingStartOffset | interval | 0 | authority
  Shift of the voting schedule.
V3AuthDistDelay | interval | 5 minutes | authority | 20 seconds
  Time between voting and publishing.
V3AuthNIntervalsValid | count | 3 | authority
  Voting periods for which a consensus stays valid.
V3AuthoritativeDirectory | boolean | 0 | authority
  Vote on and sign the consensus.
V3AuthUseLegacyKey | boolean | 0 | authority
  Sign the consensus with a legacy key too.
V3AuthVoteDelay | interval | 5 minutes | authority | 20 seconds
  Time for votes to arrive.
V3AuthVotingInterval | interval | 1 hour | authority | 5 minutes
  Time between two consensuses.
V3BandwidthsFile | path | - | authority
  File with measured bandwidths.
VersioningAuthoritativeDirectory | boolean | 0 | authority
  Recommend software versions in votes.
`;
