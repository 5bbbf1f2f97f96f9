import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createVerifiedTokens, type VerifiedToken } from '../../../src/identity/jwt/verified.ts';

/** Entries are told apart by identity alone. */
function entry(subject: string): VerifiedToken {
  const proof = { method: 'test', evidenceHash: subject, expiresAt: 0 };
  return { principal: { issuer: 'ci', subject, claims: {}, proof }, times: { sub: subject, exp: 0, iat: 0 } };
}

test('createVerifiedTokens: forgets what was used least lately, and nothing else', () => {
  const tokens = createVerifiedTokens(2);
  const [a, b, c] = [entry('a'), entry('b'), entry('c')];
  tokens.put('a', 1, a);
  tokens.put('b', 1, b);
  expect(tokens.get('a', 1)).toBe(a);
  tokens.put('c', 1, c);
  expect(['a', 'b', 'c'].map((hash) => tokens.has(hash))).toEqual([true, false, true]);
});

test('createVerifiedTokens: holds for one generation of keys, and takes nothing from one that is past', () => {
  const tokens = createVerifiedTokens(10);
  tokens.put('a', 1, entry('a'));
  expect(tokens.get('a', 2)).toBeUndefined();
  expect(tokens.has('a')).toBe(false);
  const b = entry('b');
  tokens.put('b', 2, b);
  tokens.put('late', 1, entry('late'));
  expect(tokens.get('late', 2)).toBeUndefined();
  expect(tokens.get('b', 2)).toBe(b);
});

test('createVerifiedTokens: never answers what was not put for that generation, and stays within its bound', () => {
  const step = fc.record({
    put: fc.boolean(),
    hash: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
    rise: fc.nat(1),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const tokens = createVerifiedTokens(3);
      const model = new Map<string, VerifiedToken>();
      let generation = 1;
      for (const { put, hash, rise } of steps) {
        if (rise) model.clear();
        generation += rise;
        if (put) {
          const token = entry(`${hash}${generation}`);
          tokens.put(hash, generation, token);
          model.set(hash, token);
        } else {
          const found = tokens.get(hash, generation);
          if (found) expect(found).toBe(model.get(hash));
        }
        expect(['a', 'b', 'c', 'd', 'e'].filter((one) => tokens.has(one)).length).toBeLessThanOrEqual(3);
      }
    }),
  );
});
