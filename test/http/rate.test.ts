import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressKey, createRateBound } from '../../src/http/rate.ts';

describe('createRateBound', () => {
  it('never lets more through than the burst and the rate together', () => {
    const steps = fc.array(fc.nat({ max: 3000 }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 10 }),
        steps,
        (perSecond, burst, waits) => {
          const bound = createRateBound({ perSecond, burst }, 10);
          let now = 1_000_000;
          let passed = 0;
          for (const wait of waits) {
            now += wait;
            if (bound('k', now) === null) passed++;
          }
          expect(passed).toBeLessThanOrEqual(burst + ((now - 1_000_000) / 1000) * perSecond + 1e-6);
        },
      ),
    );
  });

  it('lets through whoever waits as long as it says', () => {
    const bound = createRateBound({ perSecond: 3, burst: 2 }, 10);
    let now = 0;
    for (let i = 0; i < 50; i++) {
      const wait = bound('k', now);
      if (wait === null) continue;
      now += wait;
      expect(bound('k', now)).toBeNull();
    }
    expect(now).toBeGreaterThan(0);
  });

  it('shuts nobody out for long when the clock jumps back', () => {
    const bound = createRateBound({ perSecond: 1, burst: 5 }, 10);
    bound('k', 1_000_000_000);
    expect(bound('k', 0) ?? 0).toBeLessThanOrEqual(1000);
  });

  it('forgets the least recently used key, and no other', () => {
    const bound = createRateBound({ perSecond: 0.001, burst: 1 }, 2);
    expect([bound('a', 0), bound('b', 0)]).toEqual([null, null]);
    expect(bound('a', 0)).not.toBeNull();
    expect(bound('c', 0)).toBeNull();
    expect(bound('a', 0)).not.toBeNull();
    expect(bound('b', 0)).toBeNull();
  });

  it('remembers exactly the keys that were used last, through any sequence', () => {
    const keys = fc.array(fc.integer({ min: 0, max: 12 }), { maxLength: 400 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), keys, (maxKeys, used) => {
        const bound = createRateBound({ perSecond: 0.001, burst: 1 }, maxKeys);
        let remembered: number[] = [];
        for (const key of used) {
          expect(bound(`k${key}`, 0) === null).toBe(!remembered.includes(key));
          remembered = [key, ...remembered.filter((other) => other !== key)].slice(0, maxKeys);
        }
      }),
    );
  });
});

describe('addressKey', () => {
  it.each([
    ['10.0.0.1', '10.0.0.1'],
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    [undefined, 'unknown'],
  ])('%s counts as %s', (address, key) => {
    expect(addressKey(address)).toBe(key);
  });
});
