import { expect, test } from 'vitest';
import { withDeadline } from '../../src/runtime.ts';
import { createTestRuntime } from './runtime.ts';

test('advance: fires sleeps in the order of their instants, each at its own', async () => {
  const runtime = createTestRuntime({ now: 1_000 });
  const seen: string[] = [];
  const note = (name: string) => () => seen.push(`${name}@${runtime.now()}`);
  void runtime.sleep(30).then(note('c'));
  void runtime
    .sleep(10)
    .then(note('a'))
    .then(() => runtime.sleep(10).then(note('b')));
  void runtime.sleep(41).then(note('late'));
  await runtime.advance(40);
  expect(seen).toEqual(['a@1010', 'b@1020', 'c@1030']);
  expect(runtime.now()).toBe(1_040);
  expect(runtime.sleeping()).toBe(1);
});

test('jump: moves the wall clock and wakes nobody', async () => {
  const runtime = createTestRuntime({ now: 1_000 });
  let woken = false;
  void runtime.sleep(10).then(() => {
    woken = true;
  });
  runtime.jump(5_000);
  await runtime.advance(9);
  expect([woken, runtime.now()]).toEqual([false, 6_009]);
  await runtime.advance(1);
  expect(woken).toBe(true);
});

test('sleep: rejects with the reason of its signal and is forgotten', async () => {
  const runtime = createTestRuntime();
  const controller = new AbortController();
  const sleep = runtime.sleep(10, controller.signal);
  controller.abort(new Error('enough'));
  await expect(sleep).rejects.toThrow('enough');
  await expect(runtime.sleep(10, controller.signal)).rejects.toThrow('enough');
  expect(runtime.sleeping()).toBe(0);
});

test('withDeadline: ends by the hand-moved clock', async () => {
  const runtime = createTestRuntime();
  const work = withDeadline(runtime, 50, () => new Promise(() => {}));
  const outcome = expect(work).rejects.toMatchObject({ code: 'timeout' });
  await runtime.advance(50);
  await outcome;
});

test('randomBytes: repeats with a seed and has the size asked for', () => {
  const [one, two] = [createTestRuntime({ seed: 's' }), createTestRuntime({ seed: 's' })];
  expect(one.randomBytes(40)).toEqual(two.randomBytes(40));
  expect(one.randomBytes(40)).not.toEqual(createTestRuntime({ seed: 's' }).randomBytes(40));
  expect(createTestRuntime().randomBytes(7)).toHaveLength(7);
});

test('fetch: writes every host down before it is asked', async () => {
  const runtime = createTestRuntime({ fetch: async () => new Response('x') });
  await runtime.fetch('http://127.0.0.1:9/a');
  await runtime.fetch(new URL('https://example.test/b'));
  expect(runtime.hosts).toEqual(['127.0.0.1:9', 'example.test']);
});
