/**
 * Judges what C tor warned of while ours were in its network.
 *
 * A warning passes if it is on one of two lists, of what C tors say among themselves, and does not name one of
 * ours: nothing that names ours by nickname, identity or address passes, nor anything unknown. What a broken
 * link, cell, certificate or descriptor makes C tor say is on neither list.
 */

/** What tells one of ours in a line of C tor's log. */
export interface OwnMarks {
  readonly nickname: string;
  /** RSA identity in hex, and Ed25519 identity in base64. */
  readonly identities: readonly string[];
  readonly ports: readonly number[];
}

/** In every small private network. */
const USUAL: readonly RegExp[] = [
  /ControlPort is open, but no authentication method/,
  /You have used DirAuthority or AlternateDirAuthority/,
  /V3AuthVotingInterval is very low/,
  /TestingTorNetwork is set/,
  /Your log may contain sensitive information/,
  /Cannot open fingerprint file '.*approved-routers'/,
  /You are running Tor as root/,
  /sr-state/,
  /Your v3 authority certificate expires in \d+ days/,
  // Before the first vote there is no consensus to fetch, and no vote of who was not up yet.
  /Received http status code 404 \("Not found"\) from server \S+ while fetching (consensus directory|"\/tor\/status-vote\/next\/)/,
  /Bw Weight Failure for Case/,
  /No available nodes when trying to choose node/,
  /Failed to choose an exit server/,
  /is giving Tor only an IP address/,
];

/**
 * On a machine that is slow or stands still for seconds, by where C tor says it. Seen by stopping processes of a
 * network at random, or read beside what was seen.
 *
 * Authorities have seconds for each step of a vote. Who is late has its vote and its signatures refused, and a
 * round without a majority ends without a consensus, or with one that not enough have signed.
 */
const SLOW: readonly RegExp[] = [
  // feature/dirauth/dirvote: dirvote_add_vote, and what its caller and the sender make of it.
  /Rejecting \S+'s posted vote from \S+ received at .*; our cutoff for received votes is/,
  /Rejecting vote from \S+ with valid-after time of .*; we were expecting/,
  /Couldn't store my own vote! \(I told myself, 'Bad valid-after time'/,
  /Rejected vote from \S+ \("(Posted vote received too late, would be dangerous to count it|Bad valid-after time|Already have a newer pending vote)"\)/,
  /http status 400 \("[^"]*"\) response after uploading (vote|signatures) to dirserver/,
  /Error adding retrieved vote: (Bad valid-after time|Already have a newer pending vote)/,
  // dirvote_compute_consensuses, dirvote_publish_consensus.
  /We don't have enough votes to generate a consensus: \d+ of \d+/,
  /Not enough info to publish pending \S+ consensus/,
  /Error publishing \S+ consensus/,
  // Signatures on what another authority made of other votes, or of another round.
  /(Unable to add signatures to consensus|Could not add queued signature to new consensus|Unable to store signatures posted by \S+|Problem adding detached signatures from [^:]*(:\d+)?[^:]*): (\S+ times do not match when adding detached signatures to consensus|Mismatched digest|No (signatures|digests) for given consensus flavor|No signatures to add)/,
  // feature/dirclient: the other authority does not answer, has nothing yet, or is busy.
  /Failed to post consensus (vote|signature) upload to /,
  /Received http status code (404|503) \(.*\) from server \S+ while fetching ("\/tor\/(status-vote\/next|keys)\/|consensus directory)/,
  // The same, when it asked itself, as authorities do among all of them.
  /We just marked ourself as down\. Are your external addresses reachable\?/,
  // feature/nodelist/networkstatus: networkstatus_check_consensus_signature, and its callers.
  /A consensus needs \d+ good signatures from recognized authorities for us to accept it/,
  /Consensus does not include configured authority '/,
  /Looks like we need to download a new certificate from authority '/,
  /Not enough good signatures on networkstatus consensus/,
  /Unable to load \S+ consensus directory \S+( based on a diff)? from server /,
  // core/or/connection_edge: an exit whose consensus is older than the path; for ours the tests wait.
  /Attempt by \S+ ID=.* RSA_ID=.* to open a stream from unknown relay/,
  // feature/relay/onion_queue, core/or/congestion_control_common, core/or/circuitlist: time itself.
  /Your computer is too slow to handle this many circuit creation requests/,
  /Sudden increase in circuit RTT \(\d+ vs \d+\), likely due to clock jump or suspended remote endpoint/,
  /Your system clock just jumped \d+ seconds/,
  /Tor has been idle for \d+ seconds/,
];

/** Find the warnings and errors in a log of C tor that count against ours. */
export function warningsAgainst(ours: readonly OwnMarks[], log: string): string[] {
  return log
    .split('\n')
    .filter((line) => / \[(warn|err)\] /.test(line))
    .filter((line) => names(ours, line) || ![...USUAL, ...SLOW].some((known) => known.test(line)));
}

function names(ours: readonly OwnMarks[], line: string): boolean {
  const words = new Set(line.split(/[^A-Za-z0-9+/_]+/));
  const [, ...ports] = line.split(/:(?=\d)/).map((part) => Number.parseInt(part, 10));
  return ours.some(
    (one) =>
      words.has(one.nickname) ||
      one.identities.some((identity) => words.has(identity)) ||
      ports.some((port) => one.ports.includes(port)),
  );
}
