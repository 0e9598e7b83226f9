import { expect, test } from 'bun:test';
import { type OwnMarks, warningsAgainst } from './c-tor-warnings.ts';

const OURS: OwnMarks = {
  nickname: 'ours1',
  identities: ['9AE4AF2A4C76B2D8CB4B4B4C1BC0E9A64AC9C3AA', 'mtjbgC7UKF5yjIEZTXFps53E4Ooj78SLBorWJpMeFwk'],
  ports: [14_001, 14_002],
};
const THEIRS = { rsa: 'F679CE8FF6AEFDF7A983C3C0198FAA62B380708D', port: 18_147 };

const at = (text: string): string => `Nov 22 19:48:57.000 [warn] ${text}`;
const judged = (text: string): string[] => warningsAgainst([OURS], `${at(text)}\n`);

test('what C tors on a slow machine say of each other passes', () => {
  for (const text of [
    "We don't have enough votes to generate a consensus: 1 of 2",
    'Not enough info to publish pending microdesc consensus',
    "Rejecting auth3's posted vote from 127.0.0.1 received at 2026-11-22 19:48:57; our cutoff for received votes is 2026-11-22 19:48:56. Check your clock, CPU load, and network load. Also check the authority that posted the vote.",
    'Rejected vote from 127.0.0.1:41160 ("Posted vote received too late, would be dangerous to count it").',
    'Rejecting vote from 127.0.0.1 with valid-after time of 2026-11-22 19:49:00; we were expecting 2026-11-22 19:49:20',
    "Couldn't store my own vote! (I told myself, 'Bad valid-after time'.)",
    `http status 400 ("Bad valid-after time") response after uploading vote to dirserver 127.0.0.1:${THEIRS.port}. Please correct.`,
    'Unable to add signatures to consensus: Valid-After times do not match when adding detached signatures to consensus',
    'Could not add queued signature to new consensus: Valid-After times do not match when adding detached signatures to consensus',
    `Unable to store signatures posted by 127.0.0.1:${THEIRS.port}: Mismatched digest.`,
    `Problem adding detached signatures from 127.0.0.1:${THEIRS.port}: Mismatched digest.`,
    "A consensus needs 2 good signatures from recognized authorities for us to accept it. This ns one has 1 (auth3). 1 (auth2) of the authorities we know didn't sign it.",
    `Attempt by 127.0.0.1:46876 ID=HEEhfYp3RK2ITtD0VExamghU8J5cffhKfBFfQIWO570 RSA_ID=${THEIRS.rsa} to open a stream from unknown relay. Closing.`,
  ]) {
    expect(judged(text)).toEqual([]);
  }
});

test('the same fails when it names one of ours', () => {
  for (const text of [
    "Rejecting ours1's posted vote from 127.0.0.1 received at 2026-11-22 19:48:57; our cutoff for received votes is 2026-11-22 19:48:56.",
    `Received http status code 404 ("Not found") from server 127.0.0.1:${OURS.ports[0]} while fetching consensus directory.`,
    `Received http status code 404 ("Not found") from server [::1]:${OURS.ports[1]} while fetching consensus directory.`,
    `Attempt by 127.0.0.1:46876 ID=<none> RSA_ID=${OURS.identities[0]} to open a stream from unknown relay. Closing.`,
    `Attempt by 127.0.0.1:46876 ID=${OURS.identities[1]} RSA_ID=${THEIRS.rsa} to open a stream from unknown relay. Closing.`,
  ]) {
    expect(judged(text)).toEqual([at(text)]);
  }
});

test('what may be the doing of ours fails, named or not', () => {
  for (const text of [
    'Received a bad CERTS cell on OR connection (handshaking (Tor, v3 handshake)): A required certificate was missing',
    "Didn't recognize a cell, but circ stops here! Closing circuit. It was created 3 seconds ago.",
    'Client asked me to extend back to the previous hop.',
    'http status 400 ("Rejected router descriptor") response from dirserver 127.0.0.1:18147. Please correct.',
    'Couldn\'t set consensus from cache file "cached-consensus"',
    'http status 400 () response after uploading a letter',
    'Unable to add signatures to consensus: (unknown)',
  ]) {
    expect(judged(text)).toEqual([at(text)]);
  }
  expect(warningsAgainst([OURS], 'Nov 22 19:48:57.000 [err] tor_assertion_failed_(): Bug: x\n')).toHaveLength(
    1,
  );
  expect(warningsAgainst([OURS], 'Nov 22 19:48:57.000 [notice] Received a bad CERTS cell\n')).toEqual([]);
});
