/**
 * The torrc of a relay of a test network, and what holds it on this machine.
 *
 * Pure. Everything listens on loopback and names loopback addresses; exits may be asked for any address, as C tor's
 * clients only take such for exits, but leave from 127.0.0.1, from where the kernel lets nothing out; and the names that
 * they are asked for are looked up at a resolver of this network.
 */
import type { Part } from './cast.ts';

export const LOOPBACK = '127.0.0.1';

/** What all relays of a network share. */
export interface NetworkPlan {
  /** The `DirAuthority` line, whole. */
  readonly authorityLine: string;
  /** resolv.conf of the exits. */
  readonly resolvConf: string;
}

/** Lines that everybody needs to be in the network: relays, clients, C tor's too. */
export function joiningLines(authorityLine: string): string[] {
  return ['TestingTorNetwork 1', authorityLine];
}

/** Print a relay's torrc. @param orPort - a port, or `auto` */
export function relayTorrc(part: Part, directory: string, orPort: string, plan: NetworkPlan): string {
  const { nickname, role, workers } = part;
  return [
    `Nickname ${nickname}`,
    `DataDirectory ${directory}`,
    `ORPort ${LOOPBACK}:${orPort}`,
    `Address ${LOOPBACK}`,
    'SocksPort 0',
    'ContactInfo a test network on one machine',
    'Log notice stdout',
    ...joiningLines(plan.authorityLine),
    'AssumeReachable 1',
    'ExtendAllowPrivateAddresses 1',
    'ShutdownWaitLength 0',
    `NumCPUs ${workers}`,
    `DirCache ${role === 'guard' ? 1 : 0}`,
    ...(role === 'exit' ? exitLines(plan) : ['ExitRelay 0', 'ExitPolicy reject *:*']),
    '',
  ].join('\n');
}

function exitLines({ resolvConf }: NetworkPlan): string[] {
  return [
    'ExitRelay 1',
    'ExitPolicy accept *:*',
    'ExitPolicyRejectPrivate 0',
    // An exit hears of the first consensus later than those who go through it.
    'RefuseUnknownExits 0',
    `OutboundBindAddressExit ${LOOPBACK}`,
    `ServerDNSResolvConfFile ${resolvConf}`,
    'ServerDNSDetectHijacking 0',
    'ServerDNSAllowBrokenConfig 1',
  ];
}
