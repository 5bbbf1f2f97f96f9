import { afterAll, expect, test } from 'vitest';
import { logConfiguration } from '../../src/broker/configuration.ts';
import type { Json } from '../../src/json.ts';
import { REPORT_GRANT } from '../support/broker.ts';
import { createStage } from '../support/stage.ts';
import { anyStore } from '../support/stores.ts';

const store = await anyStore();
afterAll(() => store.stop());

const from = (...teams: string[]) => teams.map((team) => ({ issuer: 'ci', claims: { team } }));
const report = (approval?: Json): Readonly<Record<string, Json>> => ({
  report: { ...(REPORT_GRANT as object), ...(approval === undefined ? {} : { approval }) } as Json,
});
const TWO = { stages: [{ from: from('dba') }, { from: from('lead'), approvals: 2 }] };

/** Loads one configuration after another, and answers how each weakened approval. */
async function load(...configurations: readonly Readonly<Record<string, Json>>[]) {
  const stage = await createStage(store);
  const told: string[][] = [];
  const logged: string[] = [];
  let seen = 0;
  for (const [i, grants] of configurations.entries()) {
    const hallpass = await stage.start({ grants });
    await logConfiguration(hallpass.broker, { digest: JSON.stringify(grants), parts: { [i]: `${i}` } });
    const weakened = (await hallpass.events()).filter((event) => event.kind === 'approval.weakened');
    told.push(weakened.slice(seen).flatMap(({ data }) => data.how));
    for (const { about } of weakened.slice(seen)) expect(about).toEqual({ grant: 'report' });
    seen = weakened.length;
    logged.push(...hallpass.logged.filter((line) => line.includes('approval was weakened')));
  }
  await stage.check();
  await stage.close();
  return { told, logged };
}

test('logConfiguration: approval that is switched off is an event of its own, and aloud', async () => {
  const { told, logged } = await load(report(TWO), report(TWO), report());
  expect(told).toEqual([[], [], ['nobody is asked any more']]);
  expect(logged).toHaveLength(1);
});

test('logConfiguration: a grant that goes and comes back without approval is told as well', async () => {
  const { told } = await load(report(TWO), {}, report(), report());
  expect(told).toEqual([[], [], ['nobody is asked any more'], []]);
});

test.each([
  ['a stage is gone', { stages: [{ from: from('dba') }] }, ['stage 2 is gone, or asks less']],
  [
    'a stage takes fewer',
    { stages: [{ from: from('dba') }, { from: from('lead') }] },
    ['stage 2 is gone, or asks less'],
  ],
  [
    'others may approve',
    { stages: [{ from: from('dba', 'sales') }, { from: from('lead'), approvals: 2 }] },
    ['stage 1 is gone, or asks less'],
  ],
  [
    'a stage has got a condition',
    {
      stages: [
        { from: from('dba') },
        { from: from('lead'), approvals: 2, when: 'parameters.region == "us"' },
      ],
    },
    ['stage 2 is gone, or asks less'],
  ],
  [
    'a condition approves',
    { ...TWO, auto_approve: ['claims.on_call == true'] },
    ['a condition approves in place of people: claims.on_call == true'],
  ],
  ['another stage comes before', { stages: [{ from: from('security') }, ...TWO.stages] }, []],
  [
    'fewer may approve, and more must',
    {
      stages: [
        { from: from('dba'), approvals: 3 },
        { from: from('lead'), approvals: 2 },
      ],
    },
    [],
  ],
  ['it lapses sooner', { ...TWO, lapse: '5m' }, []],
] as const)('logConfiguration: %s', async (_, approval, how) => {
  expect((await load(report(TWO), report(approval as unknown as Json))).told).toEqual([[], how]);
});

test('logConfiguration: that others may close the reviews of break-glass, or that there are none, is told', async () => {
  const db = { target: 'warehouse', ttl: { max: '1h' }, scope: { role: 'reader' } };
  const glass = (...teams: string[]) => ({
    report: {
      ...(REPORT_GRANT as object),
      who: [{ issuer: 'ci', claims: { sub: 'ada' } }],
      credentials: { db },
      approval: TWO,
      break_glass: { review: { by: from(...teams), due: '1h' } },
    } as Json,
  });
  const { told } = await load(glass('lead', 'audit'), glass('lead'), glass('lead', 'sales'), report(TWO));
  expect(told).toEqual([[], [], ['others may close its reviews'], ['no review follows its use any more']]);
});
