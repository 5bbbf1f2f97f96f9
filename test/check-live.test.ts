import { afterEach, describe, expect, test } from 'vitest';
import { checkLive } from '../src/check-live.ts';
import type { Config, ConfiguredTarget } from '../src/config/config.ts';
import { provider as aws } from '../src/providers/aws/provider.ts';
import type { ProviderKind, SelfTest } from '../src/providers/provider.ts';
import { systemRuntime } from '../src/runtime.ts';
import { fakeIo } from './cli/support/io.ts';
import { fakeProvider } from './fakes/provider.ts';
import { type AwsWorld, ROLE, startAwsWorld } from './providers/aws/world.ts';

let world: AwsWorld | undefined;
afterEach(async () => {
  await world?.stop();
  world = undefined;
});

const sound = (name: string, selfTest?: () => Promise<SelfTest>): ConfiguredTarget => {
  const { provider } = fakeProvider({ now: Date.now });
  const kind: ProviderKind<never, never> = {
    ...(provider as unknown as ProviderKind<never, never>),
    open: (settings, context) => {
      const target = provider.open(settings, context);
      return { ...target, ...(selfTest ? { selfTest } : {}) } as never;
    },
  };
  return { name, kind: kind as ProviderKind, settings: { ends: 'confirmed', extend: true }, scopes: [] };
};

async function check(targets: readonly ConfiguredTarget[], json = false) {
  const { io, written } = fakeIo();
  const config = { targets: new Map(targets.map((target) => [target.name, target])) } as unknown as Config;
  const status = await checkLive(config, { runtime: systemRuntime, io, json });
  return { status, written };
}

describe('checkLive', () => {
  test('checkLive: is content when every target works', async () => {
    const { status, written } = await check([sound('warehouse'), sound('lake')]);
    expect(status).toBe(0);
    expect(written.out).toMatch(/lake +ok +create and delete/);
    expect(written.err).toContain('All 2 targets work');
  });

  test('checkLive: tries every target, and a bug in one hides no other', async () => {
    const broken = sound('broken', () => Promise.reject(new Error('secret inside')));
    const { status, written } = await check([broken, sound('warehouse')]);
    expect(status).toBe(10);
    expect(written.out).toMatch(/broken +FAILED/);
    expect(written.out).toMatch(/warehouse +ok/);
    expect(written.out + written.err).not.toContain('secret inside');
  });

  test('checkLive: names what is missing at AWS, with the policies to paste', async () => {
    world = await startAwsWorld();
    const target = (name: string, who: 'broker' | 'powerless'): ConfiguredTarget => ({
      name,
      kind: aws as ProviderKind,
      settings: world?.settings({}, who),
      scopes: [{ role_arn: ROLE }, { role_arn: 'arn:aws:iam::123456789012:role/{{ parameters.x }}' }],
    });
    const { status, written } = await check([target('good', 'broker'), target('bad', 'powerless')], true);
    expect(status).toBe(10);
    const [bad, good] = (JSON.parse(written.out) as { targets: SelfTest[] }).targets;
    expect(good).toMatchObject({ ok: true, remedies: [] });
    expect(bad?.steps.at(-1)).toMatchObject({ ok: false, detail: expect.stringContaining('sts:AssumeRole') });
    const remedies = bad?.remedies.map((text) => JSON.parse(text.slice(text.indexOf('{')))) ?? [];
    expect(remedies).toHaveLength(2);
    for (const { Statement } of remedies)
      expect(Statement[0].Action).toEqual(['sts:AssumeRole', 'sts:TagSession', 'sts:SetSourceIdentity']);
  });
});
