import { describe, expect, it } from 'vitest';
import { problemCodes } from '../../src/http/contract.ts';
import { PROBLEMS, problemBody, retryAfterSeconds, thrownFault } from '../../src/http/wire.ts';

describe('problemBody', () => {
  it('has a status and a title of its own for every code', () => {
    expect(Object.keys(PROBLEMS).toSorted()).toEqual([...problemCodes].toSorted());
    expect(new Set(Object.values(PROBLEMS).map(({ title }) => title)).size).toBe(problemCodes.length);
  });

  it('says internal for whatever is not known, without its message', () => {
    for (const thrown of [new Error('x'), 'x', null, undefined, { code: 'store-unavailable' }])
      expect(JSON.stringify(problemBody(thrownFault(thrown), 'r'))).not.toMatch(/"x"|store/);
  });

  it('rounds a wait up to whole seconds, at least one', () => {
    expect([0, 1, 1000, 1001].map(retryAfterSeconds)).toEqual([1, 1, 1, 2]);
  });
});
