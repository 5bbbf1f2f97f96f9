import { expect, test } from 'vitest';
import { ProviderError } from '../../src/errors.ts';
import type { EndableTarget, Terms } from '../../src/providers/provider.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { fakeProvider, type MemoryScope } from './provider.ts';

const terms = (name: string): Terms => ({
  leaseId: name,
  name,
  now: 0,
  mintBefore: 10,
  expiresAt: 100,
  context: { issuer: 'i', subject: 's', grant: 'g', task: 't', taskId: 'x', purpose: null },
});
const signal = new AbortController().signal;
const context = { runtime: systemRuntime, target: 'memory', mark: 'hp_' };
const none = { ends: 'confirmed', extend: true } as const;

test('fakeProvider: a credential works until it is ended', async () => {
  const world = fakeProvider({ now: () => 5 });
  const target = world.provider.open(none, context) as EndableTarget<MemoryScope>;
  const { secret } = await target.mint({ role: 'r' }, terms('hp_a'), signal);
  expect(world.use(secret)).toBe(true);
  const ending = { leaseId: 'hp_a', name: 'hp_a', handle: null, expiresAt: 100 };
  expect(await target.end(ending, signal)).toMatchObject({ found: true });
  expect(world.use(secret)).toBe(false);
  expect(await target.end(ending, signal)).toMatchObject({ found: false });
});

test('fakeProvider: a fault after the call leaves its effect', async () => {
  const world = fakeProvider({ now: () => 5 });
  const target = world.provider.open(none, context);
  world.fault = (_call, phase) => {
    if (phase === 'after') throw new ProviderError('target-failed', 'broken pipe');
  };
  await expect(target.mint({ role: 'r' }, terms('hp_a'), signal)).rejects.toThrow('broken pipe');
  expect([...world.live.keys()]).toEqual(['hp_a']);
});

test('fakeProvider: a call that is given up goes on, but mints nothing after its window', async () => {
  let now = 5;
  const world = fakeProvider({ now: () => now });
  const target = world.provider.open(none, context);
  let release = () => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  world.fault = (_call, phase) => (phase === 'before' ? gate : undefined);
  const controller = new AbortController();
  const minting = target.mint({ role: 'r' }, terms('hp_a'), controller.signal);
  const late = target.mint({ role: 'r' }, terms('hp_b'), signal);
  controller.abort();
  await expect(minting).rejects.toMatchObject({ code: 'target-timeout' });
  now = 11;
  release();
  await expect(late).rejects.toMatchObject({ code: 'target-refused' });
  expect(world.live.size).toBe(0);
});

test('fakeProvider: a denied credential exists and is refused', async () => {
  const world = fakeProvider({ now: () => 5, denialDelayMs: 7 });
  const target = world.provider.open({ ...none, ends: 'denied' }, context) as EndableTarget<MemoryScope>;
  const { secret } = await target.mint({ role: 'r' }, terms('hp_a'), signal);
  const ended = await target.end({ leaseId: 'a', name: 'hp_a', handle: null, expiresAt: 100 }, signal);
  expect(ended.effectiveAt).toBe(12);
  expect(world.use(secret)).toBe(false);
  expect(world.live.has('hp_a')).toBe(true);
});

test('fakeProvider: an expiry-only target has no end', () => {
  const world = fakeProvider({ now: () => 5 });
  expect(world.provider.open({ ...none, ends: 'expiry-only' }, context)).not.toHaveProperty('end');
});
