import { describe, expect, test } from 'bun:test';
import { DestroyReason, destroyReasonName, EndReason, endReasonName } from '../../src/cell/reason.ts';

describe('reasons', () => {
  test('are numbered without gaps', () => {
    expect(Object.values(DestroyReason)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    expect(Object.values(EndReason)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
  });

  test('have names; unassigned ones go by number', () => {
    expect(destroyReasonName(0)).toBe('NONE');
    expect(destroyReasonName(8)).toBe('CHANNEL_CLOSED');
    expect(destroyReasonName(13)).toBe('reason 13');
    expect(endReasonName(6)).toBe('DONE');
    expect(endReasonName(15)).toBe('reason 15');
  });
});
