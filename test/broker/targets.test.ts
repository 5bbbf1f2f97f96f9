import { describe, expect, test } from 'vitest';
import { createLane } from '../../src/broker/targets.ts';
import { ProviderError } from '../../src/errors.ts';
import { defaultLimits } from '../../src/limits.ts';
import { settle } from '../support/runtime.ts';

/** A lane of two at a time and a hundred that wait, over a clock that the test moves. */
function lane() {
  let now = 1_000_000;
  const open: ((error?: Error) => void)[] = [];
  const made = createLane(2, 100, 1_000, defaultLimits);
  const work = () =>
    new Promise<void>((resolve, reject) =>
      open.push((error) => (error === undefined ? resolve() : reject(error))),
    );
  return {
    refusal: () => made.refusal(now),
    run: (tooLate?: () => Error | null) => made.run(work, () => now, tooLate).catch((error: Error) => error),
    /** All that is at work ends, so much later. */
    async finish(afterMs: number, error?: Error) {
      now += afterMs;
      for (const end of open.splice(0)) end(error);
      await settle();
    },
  };
}

describe('lane', () => {
  test('sheds once those before would take longer than one may wait, and says when to come again', async () => {
    const { refusal, run, finish } = lane();
    for (let i = 0; i < 40; i++) void run();
    await settle();
    expect(refusal()).toBeNull();
    // 36 wait by then, two at a time.
    for (let i = 0; i < 2; i++) await finish(400);
    expect(refusal()).toEqual({ why: 'full', retryAfterMs: expect.any(Number) });
    expect(refusal()?.retryAfterMs).toBeGreaterThan(1_000);
    for (let i = 0; i < 15; i++) await finish(400);
    expect(refusal()).toBeNull();
  });

  test('takes one more when nobody waits, however slow the target is', async () => {
    const { refusal, run, finish } = lane();
    for (let i = 0; i < 3; i++) {
      void run();
      void run();
      await settle();
      await finish(60_000);
    }
    expect(refusal()).toBeNull();
  });

  test('work whose turn came too late is not begun, and says nothing of the target', async () => {
    const { refusal, run, finish } = lane();
    const late = new ProviderError('target-throttled', 'too late');
    const answers = Array.from({ length: defaultLimits.breakerFailures * 2 }, () => run(() => late));
    expect(await Promise.all(answers)).toEqual(answers.map(() => late));
    expect(refusal()).toBeNull();
    const throttled = Array.from({ length: defaultLimits.breakerFailures }, () => run());
    while (refusal() === null) {
      await settle();
      await finish(1, new ProviderError('target-throttled', 'slow down'));
    }
    expect(refusal()).toMatchObject({ why: 'open' });
    await Promise.all(throttled);
  });
});
