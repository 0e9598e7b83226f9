/**
 * `print man|unit|torrc`: the manual page, a systemd unit and a commented torrc, made from the option table.
 */

import { OPTIONS, type OptionSpec } from '../torrc/option-table.ts';

/** A section of the manual page and of the sample torrc. */
const SECTIONS: readonly { readonly title: string; readonly has: (spec: OptionSpec) => boolean }[] = [
  { title: 'OPTIONS THAT ACT', has: (spec) => spec.effect === 'acts' },
  { title: 'RELAY OPTIONS WITHOUT EFFECT YET', has: (spec) => spec.effect === 'later' },
  { title: 'CLIENT OPTIONS', has: (spec) => spec.effect === 'client' },
  { title: 'DIRECTORY AUTHORITY OPTIONS', has: (spec) => spec.effect === 'authority' },
];

const SWITCHES: readonly (readonly [string, string])[] = [
  ['-f FILE', 'Read FILE instead of /etc/tor/torrc or ~/.torrc; - is standard input.'],
  ['--defaults-torrc FILE', 'Read FILE instead of /etc/tor/torrc-defaults; torrc is stronger.'],
  ['--ignore-missing-torrc', 'Go on with the defaults when the file of -f does not exist.'],
  ['--verify-config', 'Check the configuration and exit.'],
  ['--list-fingerprint [rsa|ed25519]', 'Print the identity, made if there is none yet, and exit.'],
  ['--hash-password PASSWORD', 'Print the hash for HashedControlPassword and exit.'],
  ['--keygen', 'Make or renew the Ed25519 master and signing keys and exit.'],
  ['--dump-config short|full', 'Print the options that were set, or all, and exit.'],
  ['--list-torrc-options', 'Print the names of all options and exit.'],
  ['--quiet, --hush', 'Log nothing, or only warnings, to the terminal.'],
  ['--version', 'Print the version and exit.'],
  ['--OPTION VALUE', 'Set an option; it is stronger than torrc.'],
  ['+OPTION VALUE', "Add a line to torrc's instead of replacing them."],
  ['/OPTION', 'Set an option back to its default.'],
];

/** What may be printed. */
export const PRINTABLE = ['man', 'unit', 'torrc'] as const;
export type Printable = (typeof PRINTABLE)[number];

/** Print one of the documents. `executable` is the path that the unit starts. */
export function printDocument(what: Printable, version: string, executable: string): string {
  if (what === 'man') return printMan(version);
  return what === 'unit' ? printUnit(executable) : printTorrc();
}

/** Print the help of C tor's command line: switches, then the options that act. */
export function printHelp(): string {
  const entry = (name: string, text: string) => [`  ${name}`, `      ${text}`];
  const acting = OPTIONS.filter((spec) => spec.effect === 'acts' && !spec.name.startsWith('_'));
  const out = [
    'onionrelay [switches] [--Option value]...',
    '',
    'Switches:',
    ...SWITCHES.flatMap(([name, text]) => entry(name, text)),
    '',
    'Options that act, in torrc or on the command line:',
    ...acting.flatMap((spec) => entry(`${spec.name} ${placeholder(spec)}`, spec.text)),
  ];
  return `${out.join('\n')}\n`;
}

/** Print the names of all options, one per line, as `--list-torrc-options` does. */
export function printOptionNames(): string {
  return OPTIONS.map((spec) => `${spec.name}\n`).join('');
}

/** Print the manual page in roff. */
export function printMan(version: string): string {
  const out = [
    `.TH ONIONRELAY 1 "" "onionrelay ${roff(version)}"`,
    '.SH NAME',
    'onionrelay \\- a Tor relay on every core',
    '.SH SYNOPSIS',
    '.B onionrelay',
    '[\\fIswitches\\fR] [\\fB\\-\\-\\fIOption value\\fR]...',
    '.br',
    '.B onionrelay',
    '\\fIsubcommand\\fR [\\fIswitches\\fR] [\\fB\\-\\-\\fIOption value\\fR]...',
    '.SH DESCRIPTION',
    'onionrelay runs a Tor relay from the torrc and the data directory of C tor.',
    'HUP reads torrc again, INT ends the relay after ShutdownWaitLength, TERM ends it at once.',
    'It exits with 1 when the configuration is at fault, 2 when the keys are, 3 when a port is.',
    'The subcommands run, verify\\-config, fingerprint, keygen, hash\\-password, dump\\-config and print do what the',
    'switches do; bench loads a relay on loopback and measures it; testnet runs a whole private Tor network on this',
    'machine. Each has its own \\-\\-help.',
    '.SH SWITCHES',
    ...SWITCHES.flatMap(([name, text]) => ['.TP', `.B ${roff(name)}`, roff(text)]),
  ];
  for (const { title, has } of SECTIONS) {
    out.push(`.SH ${title}`, ...OPTIONS.filter(has).flatMap(manEntry));
  }
  return `${out.join('\n')}\n`;
}

function manEntry(spec: OptionSpec): string[] {
  const usual = spec.default === null || spec.default === '' ? '' : ` Default: ${spec.default}.`;
  const testing =
    spec.testingDefault === spec.default ? '' : ` Default in a test network: ${spec.testingDefault}.`;
  const restart = spec.reload === 'restart' ? ' It may not change while the relay runs.' : '';
  return [
    '.TP',
    `.B ${roff(spec.name)} ${roff(placeholder(spec))}`,
    roff(spec.text + usual + testing + restart),
  ];
}

function placeholder(spec: OptionSpec): string {
  switch (spec.type) {
    case 'boolean':
      return '0|1';
    case 'auto-boolean':
      return '0|1|auto';
    case 'memory':
      return 'NUMBER [BYTES|KBYTES|MBYTES|GBYTES|KBITS|MBITS|GBITS]';
    case 'interval':
    case 'interval-list':
      return 'NUMBER [SECONDS|MINUTES|HOURS|DAYS|WEEKS]';
    case 'msec-interval':
      return 'NUMBER [MSEC|SECONDS]';
    case 'integer':
    case 'count':
    case 'count64':
    case 'number':
      return 'NUMBER';
    case 'path':
      return 'PATH';
    case 'port-lines':
      return '[ADDRESS:]PORT|auto';
    case 'list':
    case 'routers':
      return 'ITEM,ITEM,...';
    default:
      return 'VALUE';
  }
}

/** Escape text for roff: backslashes, hyphens, and a dot or quote that would begin a request. */
function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^([.'])/, '\\&$1');
}

/** Print a commented torrc: the options that act, then the names of the others. */
export function printTorrc(): string {
  const out = [
    '## A sample torrc for onionrelay. Remove the # in front of what you want to set.',
    '## These two lines join the public network:',
    '#ORPort 9001',
    '#ContactInfo you@example.org',
  ];
  for (const { title, has } of SECTIONS) {
    out.push('', `## ${title}`);
    for (const spec of OPTIONS.filter(has)) {
      if (spec.effect === 'acts') out.push('', `## ${spec.text}`);
      out.push(`#${spec.name} ${spec.default ?? ''}`.trimEnd());
    }
  }
  return `${out.join('\n')}\n`;
}

/**
 * Print a systemd unit. It unsets the variables that would make the executable something else (Bun reads
 * them), keeps /proc visible, because cores and memory are read there, and sets no MemoryDenyWriteExecute,
 * because JavaScript is compiled while it runs.
 */
export function printUnit(executable: string): string {
  return `[Unit]
Description=onionrelay, a Tor relay
Documentation=man:onionrelay(1)
After=network-online.target nss-lookup.target
Wants=network-online.target

[Service]
Type=exec
UnsetEnvironment=BUN_BE_BUN BUN_OPTIONS NODE_OPTIONS NODE_TLS_REJECT_UNAUTHORIZED
ExecStartPre=${executable} -f /etc/tor/torrc --verify-config
ExecStart=${executable} -f /etc/tor/torrc
ExecReload=/bin/kill -HUP \${MAINPID}
KillSignal=SIGINT
TimeoutStartSec=120
TimeoutStopSec=60
Restart=on-failure
RestartPreventExitStatus=1 2
LimitNOFILE=1048576

User=tor
StateDirectory=tor
StateDirectoryMode=0700
LogsDirectory=tor
RuntimeDirectory=tor
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
ReadWritePaths=/var/lib/tor
PrivateTmp=yes
PrivateDevices=yes
ProtectHostname=yes
ProtectClock=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
UMask=0077

[Install]
WantedBy=multi-user.target
`;
}
