/**
 * The names of everything that the relay counts, and their columns on the scoreboard.
 *
 * Names are append-only: a column's number is its place in `COUNTER_NAMES`. Every refusal and every violation that
 * the relay can answer a peer with has one.
 */

import { assert } from '../fault.ts';

/** All counters, in column order. Append only. */
export const COUNTER_NAMES = [
  // Traffic.
  'bytes_read',
  'bytes_written',
  'cells_read',
  'cells_ring_received',
  'ring_full',
  // Links.
  'links_accepted',
  'links_dialled',
  'links_closed',
  'link_refused_per_address',
  'link_refused_total',
  'link_tls_failed',
  'link_dial_failed',
  // Link handshake: what ends it.
  'link_handshake_timeout',
  'link_handshake_before_versions',
  'link_handshake_no_common_version',
  'link_handshake_unexpected_cell',
  'link_handshake_nonzero_circuit_id',
  'link_handshake_oversized_cell',
  'link_handshake_too_long',
  'link_handshake_malformed',
  'link_handshake_bad_certs',
  'link_handshake_duplicate_cert',
  'link_handshake_missing_cert',
  'link_handshake_expired_certs',
  'link_handshake_bad_signature',
  'link_handshake_wrong_tls_certificate',
  'link_handshake_bad_authenticate',
  'link_handshake_wrong_identity',
  'link_clock_skew',
  // Open channels.
  'channels_opened',
  'channels_closed',
  'channel_unknown_cell',
  'channel_unexpected_cell',
  'channel_idle_closed',
  'channel_superseded',
  'channel_bad_closed',
  'channel_control_queue_overflow',
  'channel_bad_padding_negotiate',
  'channel_padding_sent',
  'channel_padding_received',
  'roster_full',
  // Circuits: life.
  'circuits_created',
  'circuits_closed',
  'circuit_destroy_sent',
  'circuit_destroy_received',
  'circuit_destroy_unknown',
  // Circuits: CREATE.
  'circuit_create_received',
  'circuit_create_fast_received',
  'circuit_create_zero_id',
  'circuit_bad_id',
  'circuit_id_in_use',
  'circuit_create_malformed',
  'circuit_create_tap_refused',
  'circuit_create_unknown_handshake',
  'circuit_create_hibernating',
  'circuit_ntor_failed',
  'circuit_ntor_v3_failed',
  'circuit_subprotocol_refused',
  'circuit_extension_malformed',
  'onion_queue_full',
  'onion_queue_expired',
  // Circuits: relay cells.
  'circuit_unknown_cell',
  'circuit_relay_while_create_queued',
  'circuit_relay_early_exceeded',
  'circuit_relay_early_backward',
  'circuit_unrecognised_no_next',
  'circuit_relay_malformed',
  'circuit_relay_unknown_command',
  'circuit_relay_zero_stream',
  'circuit_truncate_malformed',
  'circuit_truncate_received',
  'circuit_unexpected_sendme',
  'circuit_queue_limit_killed',
  // Extending.
  'extend_received',
  'extend_succeeded',
  'extend_malformed',
  'extend_not_in_relay_early',
  'extend_nonzero_stream',
  'extend_second_refused',
  'extend_no_rsa_id',
  'extend_zero_id_refused',
  'extend_self_refused',
  'extend_previous_hop_refused',
  'extend_private_address_refused',
  'extend_zero_port_refused',
  'extend_no_address_refused',
  'extend_ipv6_unavailable',
  'extend_identity_mismatch_refused',
  'extend_hibernating',
  'extend_no_circuit_id',
  'extend_dial_failed',
  'extend_timeout',
  'extend_created_malformed',
  'extend_created_unexpected',
  // Legs on other workers.
  'leg_opened',
  'leg_refused',
  'leg_destroyed',
  'leg_stale_slot',
  'leg_worker_died',
  // The worker itself.
  'worker_bugs',
  // Handshakes answered and messages taken, by kind.
  'ntor_processed',
  'ntor_v3_processed',
  'relay_drop_cells',
  'streams_refused',
  // The part of traffic and links that is IPv6.
  'bytes_read_ipv6',
  'bytes_written_ipv6',
  'links_accepted_ipv6',
  'links_dialled_ipv6',
  // Dials that were not made because too many hang.
  'link_dial_refused',
  // Open links that were silent, and those that take nothing any more.
  'channel_keepalive_sent',
  'channel_stuck_closed',
  // No file descriptors are left for more.
  'link_refused_too_many',
  // Relay cells passed on, either way; those for us or from us are none.
  'cells_relayed',
  // Circuits that there is no room for: on their link, on their worker, for their cells.
  'circuit_refused_per_link',
  'circuit_refused_total',
  'circuit_memory_killed',
  // Dials that were not made because this link asked for too many, or the consensus does not list their target.
  'link_dial_refused_per_link',
  'link_dial_refused_unlisted',
  // A peer with so many channels that one more is not listed.
  'roster_identity_full',
  // Extends refused because too many wait for the other worker already.
  'leg_ring_full',
  // Waits for an empty bucket: that of all traffic, that of relayed traffic, a link's own.
  'bandwidth_read_limit_hit',
  'bandwidth_write_limit_hit',
  'relay_bandwidth_read_limit_hit',
  'relay_bandwidth_write_limit_hit',
  'link_bandwidth_limit_hit',
  // Times that MaxMemInQueues was reached, what ending circuits gave back, and links closed for what they held.
  'oom_rounds',
  'oom_cell_bytes',
  'oom_links_closed',
  // Turns in which so many connected that the rest had to wait for the next.
  'listeners_paused',
  // Links refused to addresses, and to IPv6 prefixes, that are marked or have too many; marks made; no room to watch
  // one.
  'dos_link_refused_marked',
  'dos_link_refused_concurrent',
  'dos_link_refused_net_marked',
  'dos_link_refused_net_concurrent',
  'dos_link_marks',
  'dos_no_room',
  // Circuits refused to marked addresses; marks made for too many circuits, and for full queues.
  'dos_circuit_refused',
  'dos_circuit_marks',
  'dos_queue_marks',
  // The part of the circuits killed by a full queue whose queue was the one away from the client.
  'circuit_queue_limit_killed_out',
  // SENDMEs for a circuit that are none, of a version that the consensus forbids, or with another cell's tag.
  'circuit_sendme_malformed',
  'circuit_sendme_old_version',
  'circuit_sendme_wrong_tag',
  // Circuits that we start ourselves: begun, built, and how hops fail them.
  'origin_circuits_started',
  'origin_circuits_built',
  'origin_circuit_timeout',
  'origin_handshake_failed',
  'origin_truncated',
  'origin_message_malformed',
  'origin_cell_unrecognised',
  'origin_cell_wrong_hop',
  'origin_cell_unexpected',
  // Their streams: messages for one that never was, and those that its state does not allow.
  'origin_stream_unknown',
  'origin_stream_protocol',
  // Directory requests answered with a document; the others by what they got: 304, an error, or no answer at all.
  'directory_answered',
  'directory_not_modified',
  'directory_refused',
  'directory_request_refused',
  // Answers given up because the generation of documents that they read from had to go.
  'directory_abandoned',
  // The part that asked for a consensus or a diff to one.
  'directory_status_answered',
  'directory_status_not_modified',
  'directory_status_not_found',
  'directory_status_not_enough_signatures',
  'directory_status_busy',
  // Of those answered: begun and taken to their end, through circuits and over the DirPort.
  'directory_tunnelled_begun',
  'directory_tunnelled_finished',
  'directory_direct_begun',
  'directory_direct_finished',
  // Bytes of directory requests and of the answers to them, heads included.
  'directory_bytes_read',
  'directory_bytes_written',
  // Connections of the DirPort: taken, refused by DirPolicy or because there are too many, closed for their silence.
  'dir_port_accepted',
  'dir_port_refused_policy',
  'dir_port_refused_too_many',
  'dir_port_idle_closed',
  // Conflux: sets, their legs, those with their home on another worker, and sets that ended with a leg.
  'conflux_sets',
  'conflux_legs_linked',
  'conflux_legs_remote',
  'conflux_sets_torn',
  // Messages that came too early and waited, SWITCHes each way, messages between workers, those for what is gone.
  'conflux_reordered',
  'conflux_switches_received',
  'conflux_switches_sent',
  'joint_messages',
  'joint_stale',
  // Conflux: what closes a circuit, or its set.
  'conflux_off_refused',
  'conflux_uncontrolled_refused',
  'conflux_further_hops_refused',
  'conflux_twice_refused',
  'conflux_streams_refused',
  'conflux_link_malformed',
  'conflux_registry_away',
  'conflux_too_many_legs',
  'conflux_data_loss',
  'conflux_bad_sequence',
  'conflux_sequence_back',
  'conflux_queue_full',
  'conflux_unexpected_linked',
  'conflux_unexpected_linked_ack',
  'conflux_unexpected_switch',
  'conflux_early_message',
  'conflux_begin_dir_refused',
  'conflux_home_died',
  'conflux_memory_killed',
  'joint_queue_full',
  // Streams: asked for, by kind.
  'streams_begun',
  'streams_begun_dir',
  'streams_resolved',
  // BEGINs that were refused (all are in streams_refused): unreadable, over a client's own link, over a relay that is
  // not listed, while shutting down, by policy, to an address of the network, without a socket left.
  'stream_begin_malformed',
  'stream_first_hop_refused',
  'stream_unknown_hop_refused',
  'stream_hibernating_refused',
  'stream_policy_refused',
  'stream_reentry_refused',
  'stream_sockets_exhausted',
  // Names that gave no address, connections that were not made in time.
  'stream_resolve_failed',
  'stream_connect_timeout',
  // Streams beyond their circuit's bucket: refused, or their circuits closed.
  'dos_stream_refused',
  'dos_stream_circuits_closed',
  // Messages for streams that are not there, and BEGINs for those that are.
  'stream_unknown_dropped',
  'stream_known_begin_dropped',
  // DATA beyond its stream's window; SENDME, XON and XOFF that nothing asked for.
  'stream_window_exceeded',
  'stream_unexpected_sendme',
  'stream_xon_unexpected',
  'stream_xoff_unexpected',
  'stream_xon_sent',
  'stream_xoff_sent',
  // Streams that a changed policy ended; those gone whose destination did not take their last bytes.
  'stream_policy_closed',
  'stream_linger_expired',
  // DATA cells sent, and bytes of destinations (also in bytes_read and bytes_written).
  'stream_cells_sent',
  'exit_bytes_read',
  'exit_bytes_written',
  // Questions to nameservers, by their outcome; those of them that went over TCP.
  'dns_queries',
  'dns_answered',
  'dns_failed_format',
  'dns_failed_serverfailed',
  'dns_failed_notexist',
  'dns_failed_notimpl',
  'dns_failed_refused',
  'dns_failed_truncated',
  'dns_failed_unknown',
  'dns_failed_nodata',
  'dns_failed_timeout',
  'dns_failed_shutdown',
  'dns_tcp_queries',
  // Messages that answer no question: their number, their name, or its cases are another's; and those that do not read.
  'dns_answer_unasked',
  'dns_answer_misspelled',
  'dns_answer_malformed',
  // Nameservers that fell silent or refused, and those that cannot be reached.
  'dns_nameserver_failed',
  'dns_nameserver_unreachable',
  // Lookups refused: too many questions under way, or a name that may not be asked for.
  'dns_refused_overloaded',
  'dns_refused_name',
  // Lookups that the cache answered, and those that joined one under way.
  'dns_cache_hits',
  'dns_joined',
  // Answers with an address that stands for "no such name".
  'dns_hijacked',
  // Bytes of the cache given up at MaxMemInQueues.
  'oom_dns_bytes',
  // What streams of circuits held that were ended because memory ran out.
  'oom_stream_bytes',
  // Circuits that relays asked for over links to an address that we publish: it can be reached.
  'own_ipv4_reached',
  'own_ipv6_reached',
] as const;

export type CounterName = (typeof COUNTER_NAMES)[number];

/** Column of each counter, by name: `Counter.cells_relayed`. */
export const Counter: Readonly<Record<CounterName, number>> = Object.freeze(
  Object.fromEntries(COUNTER_NAMES.map((name, column) => [name, column])) as Record<CounterName, number>,
);

const known: ReadonlySet<string> = new Set(COUNTER_NAMES);

/** Find the column of a counter whose name is only known at run time (a `Violation`'s). @throws Bug if none has it. */
export function counterByName(name: string): number {
  assert(known.has(name), `scoreboard: no counter is named ${name}`);
  return Counter[name as CounterName];
}
