import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MAX_TOKEN_SECONDS, PUBLISH_AHEAD_MS, RELOAD_MS, RETIRE_AFTER_MS } from '../../src/issuer/limits.ts';
import { type DatedKey, missingAt, publishedAt, retiredAt, signerAt } from '../../src/issuer/rotation.ts';

const DAY = 86_400_000;

test('missingAt: the first keys of both algorithms sign at once', () => {
  expect(missingAt([], 1000, 30 * DAY)).toEqual([
    { algorithm: 'ES256', generation: 0, signsFrom: 1000 },
    { algorithm: 'RS256', generation: 0, signsFrom: 1000 },
  ]);
});

test('missingAt: the next key is made a day before its turn, and no second one', () => {
  const keys = missingAt([], 0, 30 * DAY);
  expect(missingAt(keys, 29 * DAY - 1, 30 * DAY)).toEqual([]);
  const next = missingAt(keys, 29 * DAY, 30 * DAY);
  expect(next).toMatchObject([{ generation: 1, signsFrom: 30 * DAY }, { generation: 1 }]);
  expect(missingAt([...keys, ...next], 30 * DAY, 30 * DAY)).toEqual([]);
});

test('signerAt: one key signs until the moment of the next, also when nobody ran for months', () => {
  const [first] = missingAt([], 0, 30 * DAY);
  const [late] = missingAt([first!], 100 * DAY, 30 * DAY);
  expect(late?.signsFrom).toBe(101 * DAY);
  const keys = [late!, first!];
  expect(signerAt(keys, 'ES256', 101 * DAY - 1)).toBe(first);
  expect(signerAt(keys, 'ES256', 101 * DAY)).toBe(late);
  expect(signerAt(keys, 'RS256', 101 * DAY)).toBeNull();
});

test('rotation: whatever the moments at which replicas look, tokens verify with a key set of any age that is allowed', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 10 * DAY }), { minLength: 5, maxLength: 40 }),
      fc.integer({ min: 2 * DAY, max: 60 * DAY }),
      (steps, rotateEveryMs) => {
        let now = 0;
        let keys: DatedKey[] = [];
        let published = new Map<DatedKey, number>();
        for (const step of steps) {
          keys = [...keys, ...missingAt(keys, now, rotateEveryMs)];
          const retired = retiredAt(keys, now);
          // What is dropped signed its last token, by the clock of a replica that reads late, so long ago that it is dead.
          for (const old of retired) {
            const next = keys.find(
              (key) => key.algorithm === old.algorithm && key.generation === old.generation + 1,
            );
            expect(next!.signsFrom + RELOAD_MS + MAX_TOKEN_SECONDS * 1000).toBeLessThan(now);
          }
          keys = keys.filter((key) => !retired.includes(key));
          published = new Map(publishedAt(keys, now).map((key) => [key, published.get(key) ?? now]));
          for (const algorithm of ['ES256', 'RS256'] as const) {
            const signer = signerAt(keys, algorithm, now)!;
            const since = published.get(signer);
            expect(since).toBeDefined();
            if (signer.generation > 0)
              expect(signer.signsFrom - since!).toBeGreaterThanOrEqual(PUBLISH_AHEAD_MS);
          }
          now += step;
        }
      },
    ),
  );
  expect(RETIRE_AFTER_MS).toBeGreaterThan(RELOAD_MS + MAX_TOKEN_SECONDS * 1000);
});
