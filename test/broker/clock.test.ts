import { describe, expect, test } from 'vitest';
import { createClock } from '../../src/broker/clock.ts';

const EPOCH = Date.parse('2026-03-01T12:00:00Z');

/** A clock that can be set, one that only goes forward, and a store that is asked how late it is. */
function world() {
  let set = 0;
  let elapsed = 0;
  let delayMs = 0;
  let asked = 0;
  let storeSet = 0;
  const clock = createClock({
    now: () => EPOCH + elapsed + set,
    steady: () => 77 + elapsed,
    toleranceMs: 5_000,
    async storeClock() {
      asked++;
      elapsed += delayMs;
      return EPOCH + elapsed + storeSet;
    },
  });
  return {
    clock,
    set(ms: number) {
      set = ms;
    },
    setStore(ms: number) {
      storeSet = ms;
    },
    pass(ms: number) {
      elapsed += ms;
    },
    delay(ms: number) {
      delayMs = ms;
    },
    asked: () => asked,
  };
}

describe('clock', () => {
  test('asks the store once, and not again while nothing speaks against the clock', async () => {
    const { clock, pass, asked } = world();
    for (let second = 0; second < 9; second++) {
      expect(await clock.fault()).toBeNull();
      pass(1_000);
    }
    expect(asked()).toBe(1);
  });

  test.each([3_600_000, -3_600_000, 6_000, -6_000])(
    'a jump of %i ms is found by the next question',
    async (ms) => {
      const { clock, set } = world();
      expect(await clock.fault()).toBeNull();
      set(ms);
      expect(await clock.fault()).toContain(`differ by ${Math.abs(ms)} ms`);
      expect(await clock.fault()).toContain('differ');
      set(0);
      expect(await clock.fault()).toBeNull();
    },
  );

  test('a jump within the tolerance is looked into, and let pass', async () => {
    const { clock, set, asked } = world();
    await clock.fault();
    set(2_000);
    expect(await clock.fault()).toBeNull();
    expect(await clock.fault()).toBeNull();
    expect(asked()).toBe(2);
  });

  test('a clock that drifts is found out though it never jumps', async () => {
    const { clock, pass, set } = world();
    await clock.fault();
    const faults: (string | null)[] = [];
    for (let ms = 0; ms <= 8_000; ms += 400) {
      set(ms);
      pass(1_000);
      faults.push(await clock.fault());
    }
    expect(faults[0]).toBeNull();
    expect(faults.at(-1)).toContain('differ');
  });

  test('a store whose clock is set is found out within ten seconds, though ours has not moved', async () => {
    const { clock, pass, setStore } = world();
    await clock.fault();
    setStore(3_600_000);
    pass(10_001);
    expect(await clock.fault()).toContain('differ by 3600000 ms');
  });

  test('a store that answers late is no fault of the clock', async () => {
    const { clock, delay } = world();
    delay(30_000);
    expect(await clock.compare()).toBeNull();
  });

  test('a clock that jumps while the store is asked is judged as it then stands', async () => {
    let set = 0;
    const clock = createClock({
      now: () => EPOCH + set,
      steady: () => 0,
      toleranceMs: 5_000,
      async storeClock() {
        set = 60_000;
        return EPOCH;
      },
    });
    expect(await clock.fault()).toContain('differ by 60000 ms');
  });

  test('many who ask at once cost one question', async () => {
    const { clock, asked } = world();
    await Promise.all(Array.from({ length: 50 }, () => clock.fault()));
    expect(asked()).toBe(1);
  });
});
