/** Which cells may come in which state of a link handshake, and what the others cost. */

import { describe, expect, test } from 'bun:test';
import { buildCell, buildVariableCell } from '../../src/cell/cell.ts';
import { Command, isVariableLength } from '../../src/cell/command.ts';
import { LinkHandshake } from '../../src/channel/handshake.ts';
import { HANDSHAKE_BYTES_MAX } from '../../src/channel/handshake-cells.ts';
import { makeTestRelay } from './credentials.ts';
import { initiatorConfig, join, NOW_SEC, responderConfig } from './pair.ts';
import {
  authenticateCell,
  authenticateContext,
  authentication,
  certsCell,
  challengeCell,
  clientNetinfoCell,
  expectViolation,
  relayNetinfoCell,
  versionsCell,
  vpaddingCell,
} from './script.ts';

const alice = makeTestRelay(NOW_SEC);
const bob = makeTestRelay(NOW_SEC);
const pairOptions = { initiator: alice.credentials, responder: bob.credentials };
const initiatorCerts = alice.credentials.initiatorCerts;
const responderCerts = bob.credentials.responderCerts;

function initiatorAt(...cells: Uint8Array[]): LinkHandshake {
  const handshake = new LinkHandshake(initiatorConfig(pairOptions));
  handshake.start();
  for (const cell of cells) expect(handshake.receive(cell).outcome).toBeNull();
  return handshake;
}

function responderAt(...cells: Uint8Array[]): LinkHandshake {
  const handshake = new LinkHandshake(responderConfig(pairOptions));
  for (const cell of cells) expect(handshake.receive(cell).outcome).toBeNull();
  return handshake;
}

/** A responder that has taken a good AUTHENTICATE. */
function responderAuthenticated(): LinkHandshake {
  const sent = [versionsCell(), certsCell(initiatorCerts)];
  const handshake = new LinkHandshake(responderConfig(pairOptions));
  const flight = handshake.receive(sent[0]!).write;
  handshake.receive(sent[1]!);
  const context = authenticateContext(alice, bob, join(sent), flight);
  expect(handshake.receive(authenticateCell(authentication(context, alice.auth.seed))).outcome).toBeNull();
  return handshake;
}

const COMMANDS = [...Object.values(Command), 13, 127, 133, 255];

/** The shortest cell of a command that could be judged: its header, and a body that is not there yet. */
function header(command: number, circIdBytes: 2 | 4): Uint8Array {
  const empty = new Uint8Array(0);
  if (isVariableLength(command)) return buildVariableCell(0, command, empty, circIdBytes).subarray(0, -2);
  return buildCell(0, command, empty).subarray(4 - circIdBytes, 5);
}

const STATES: readonly {
  readonly name: string;
  readonly make: () => LinkHandshake;
  readonly allowed: readonly number[];
}[] = [
  { name: 'a responder awaiting VERSIONS', make: () => responderAt(), allowed: [Command.VERSIONS] },
  {
    name: 'a responder awaiting CERTS',
    make: () => responderAt(versionsCell()),
    allowed: [Command.CERTS, Command.NETINFO],
  },
  {
    name: 'a responder awaiting AUTHENTICATE',
    make: () => responderAt(versionsCell(), certsCell(initiatorCerts)),
    allowed: [Command.AUTHENTICATE, Command.NETINFO],
  },
  { name: 'a responder awaiting NETINFO', make: responderAuthenticated, allowed: [Command.NETINFO] },
  { name: 'an initiator awaiting VERSIONS', make: () => initiatorAt(), allowed: [Command.VERSIONS] },
  {
    name: 'an initiator awaiting CERTS',
    make: () => initiatorAt(versionsCell()),
    allowed: [Command.CERTS],
  },
  {
    name: 'an initiator awaiting AUTH_CHALLENGE',
    make: () => initiatorAt(versionsCell(), certsCell(responderCerts)),
    allowed: [Command.AUTH_CHALLENGE, Command.NETINFO],
  },
  {
    name: 'an initiator awaiting NETINFO',
    make: () => initiatorAt(versionsCell(), certsCell(responderCerts), challengeCell()),
    allowed: [Command.NETINFO],
  },
];

for (const { name, make, allowed } of STATES) {
  const first = name.endsWith('VERSIONS');
  const always: readonly number[] = [Command.VPADDING, Command.AUTHORIZE];
  const circIdBytes = first ? 2 : 4;

  describe(name, () => {
    for (const command of COMMANDS.filter((each) => !allowed.includes(each) && !always.includes(each))) {
      test(`refuses command ${command} by its header alone`, () => {
        const handshake = make();
        const bytes = header(command, circIdBytes);
        if (first) {
          const why = /before VERSIONS/;
          expectViolation(() => handshake.receive(bytes), 'link_handshake_before_versions', why);
        } else {
          expectViolation(
            () => handshake.receive(bytes),
            'link_handshake_unexpected_cell',
            /may not come now/,
          );
        }
      });
    }

    for (const command of allowed) {
      test(`waits for the rest of command ${command}`, () => {
        expect(make().receive(header(command, circIdBytes)).outcome).toBeNull();
      });
    }

    test('skips VPADDING and AUTHORIZE', () => {
      const handshake = make();
      handshake.receive(buildVariableCell(0, Command.AUTHORIZE, new Uint8Array(40), circIdBytes));
      handshake.receive(vpaddingCell(0, circIdBytes));
      handshake.receive(vpaddingCell(300, circIdBytes));
      expect(handshake.receive(header(allowed[0]!, circIdBytes)).outcome).toBeNull();
    });
  });
}

describe('a second cell of a kind is refused', () => {
  const second = (handshake: LinkHandshake, cell: Uint8Array) =>
    expectViolation(() => handshake.receive(cell), 'link_handshake_unexpected_cell', /may not come now/);

  test('VERSIONS, with a circuit id of the width agreed upon', () => {
    const wide = buildVariableCell(0, Command.VERSIONS, Uint8Array.of(0, 4), 4);
    second(responderAt(versionsCell()), wide);
    second(initiatorAt(versionsCell()), wide);
  });

  test('CERTS', () => {
    second(responderAt(versionsCell(), certsCell(initiatorCerts)), certsCell(initiatorCerts));
    second(initiatorAt(versionsCell(), certsCell(responderCerts)), certsCell(responderCerts));
  });

  test('AUTH_CHALLENGE', () => {
    second(initiatorAt(versionsCell(), certsCell(responderCerts), challengeCell()), challengeCell());
  });

  test('AUTHENTICATE', () => {
    second(responderAuthenticated(), authenticateCell(new Uint8Array(352)));
  });
});

describe('wrong order', () => {
  const refused = (handshake: LinkHandshake, cell: Uint8Array) =>
    expectViolation(() => handshake.receive(cell), 'link_handshake_unexpected_cell', /may not come now/);

  test('AUTHENTICATE before CERTS', () => {
    refused(responderAt(versionsCell()), authenticateCell(new Uint8Array(352)));
  });

  test('AUTHENTICATE after legacy certificates only', () => {
    const legacy = Uint8Array.from([2, ...entry(2, alice.certs.get(2)!), ...entry(3, Uint8Array.of(1))]);
    refused(responderAt(versionsCell(), certsCell(legacy)), authenticateCell(new Uint8Array(352)));
  });

  test('AUTH_CHALLENGE before CERTS', () => refused(initiatorAt(versionsCell()), challengeCell()));

  test('NETINFO of a responder before its CERTS', () => {
    refused(initiatorAt(versionsCell()), relayNetinfoCell());
  });

  test('AUTH_CHALLENGE to a responder, AUTHENTICATE to an initiator', () => {
    refused(responderAt(versionsCell()), challengeCell());
    const initiator = initiatorAt(versionsCell(), certsCell(responderCerts));
    refused(initiator, authenticateCell(new Uint8Array(352)));
  });

  test('fixed PADDING before NETINFO', () => {
    const padding = buildCell(0, Command.PADDING, new Uint8Array(0));
    refused(responderAt(versionsCell()), padding);
    refused(initiatorAt(versionsCell(), certsCell(responderCerts), challengeCell()), padding);
  });
});

function entry(type: number, body: Uint8Array): number[] {
  return [type, body.length >> 8, body.length & 255, ...body];
}

describe('a circuit id', () => {
  const refused = (handshake: LinkHandshake, cell: Uint8Array) => {
    expectViolation(
      () => handshake.receive(cell.subarray(0, 5)),
      'link_handshake_nonzero_circuit_id',
      /with a circuit id/,
    );
  };

  test('in VERSIONS', () => {
    refused(responderAt(), versionsCell([4, 5], 1));
    refused(initiatorAt(), versionsCell([4, 5], 0x8000));
  });
  test('in CERTS', () => {
    refused(responderAt(versionsCell()), certsCell(initiatorCerts, 1));
    refused(initiatorAt(versionsCell()), certsCell(responderCerts, 0x80000000));
  });
  test('in AUTH_CHALLENGE', () => {
    refused(initiatorAt(versionsCell(), certsCell(responderCerts)), challengeCell([3], 256));
  });
  test('in AUTHENTICATE', () => {
    const handshake = responderAt(versionsCell(), certsCell(initiatorCerts));
    refused(handshake, authenticateCell(new Uint8Array(352), 3, 65536));
  });
  test('in NETINFO', () => {
    refused(responderAt(versionsCell()), clientNetinfoCell(1));
    refused(initiatorAt(versionsCell(), certsCell(responderCerts)), relayNetinfoCell(NOW_SEC, 1));
  });
  test('in VPADDING is nobody’s business', () => {
    const padding = buildVariableCell(7, Command.VPADDING, new Uint8Array(3), 4);
    expect(responderAt(versionsCell(), padding).receive(clientNetinfoCell()).outcome).not.toBeNull();
  });
});

describe('an oversized cell is refused before its body came', () => {
  const refused = (handshake: LinkHandshake, command: number, most: number, circIdBytes: 2 | 4) => {
    const cell = buildVariableCell(0, command, new Uint8Array(most + 1), circIdBytes);
    const action = () => handshake.receive(cell.subarray(0, circIdBytes + 3));
    expectViolation(action, 'link_handshake_oversized_cell', new RegExp(`of ${most + 1} bytes`));
  };

  test('VERSIONS', () => refused(responderAt(), Command.VERSIONS, 512, 2));
  test('CERTS', () => refused(responderAt(versionsCell()), Command.CERTS, 16384, 4));
  test('AUTH_CHALLENGE', () => {
    refused(initiatorAt(versionsCell(), certsCell(responderCerts)), Command.AUTH_CHALLENGE, 1024, 4);
  });
  test('AUTHENTICATE', () => {
    const handshake = responderAt(versionsCell(), certsCell(initiatorCerts));
    refused(handshake, Command.AUTHENTICATE, 1024, 4);
  });
  test('VPADDING and AUTHORIZE', () => {
    refused(responderAt(versionsCell()), Command.VPADDING, 16384, 4);
    refused(responderAt(), Command.AUTHORIZE, 16384, 2);
  });
});

test('padding without end ends the link', () => {
  const handshake = responderAt(versionsCell());
  const cell = vpaddingCell(1017);
  for (let sent = versionsCell().length; sent + cell.length <= HANDSHAKE_BYTES_MAX; sent += cell.length) {
    handshake.receive(cell);
  }
  expectViolation(() => handshake.receive(cell), 'link_handshake_too_long', /more than 65536 bytes/);
});

test('every truncation just waits', () => {
  const bytes = join([versionsCell(), certsCell(initiatorCerts), clientNetinfoCell()]);
  const steps = [0, 1, 2, 3, 4, 5, 8, 9, 10, 15, 16, 500, 1000, bytes.length - 515, bytes.length - 1];
  for (const length of steps) {
    expect(responderAt().receive(bytes.subarray(0, length)).outcome).toBeNull();
  }
});
