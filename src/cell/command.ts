/**
 * Commands of channel cells, and which of them carry a length.
 *
 * @source tor-spec "Cells (messages on channels)"
 */

/** Every channel command that is or was assigned. */
export const Command = {
  PADDING: 0,
  CREATE: 1,
  CREATED: 2,
  RELAY: 3,
  DESTROY: 4,
  CREATE_FAST: 5,
  CREATED_FAST: 6,
  VERSIONS: 7,
  NETINFO: 8,
  RELAY_EARLY: 9,
  CREATE2: 10,
  CREATED2: 11,
  PADDING_NEGOTIATE: 12,
  VPADDING: 128,
  CERTS: 129,
  AUTH_CHALLENGE: 130,
  AUTHENTICATE: 131,
  AUTHORIZE: 132,
} as const;

/** Whether cells of this command carry a length field instead of having the fixed size. Total: unknown ones too. */
export function isVariableLength(command: number): boolean {
  return command >= 128 || command === Command.VERSIONS;
}

const NAMES = new Map<number, string>(Object.entries(Command).map(([name, command]) => [command, name]));

/** Name a command for people; unassigned ones are called by number. */
export function commandName(command: number): string {
  return NAMES.get(command) ?? `command ${command}`;
}
