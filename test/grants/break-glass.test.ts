import { expect, test } from 'vitest';
import { unnamedPeople } from '../../src/grants/break-glass.ts';
import { parsePrincipalMatcher } from '../../src/grants/principal.ts';
import { faultsOf, grantOf, world } from './support.ts';

const ops = [{ issuer: 'cluster', claims: { sub: 'system:serviceaccount:ops:dba' } }];
const GLASS = { review: { by: ops }, dangerously_without_approval: true };
const credentials = { db: { target: 'warehouse', ttl: { max: '1h' }, scope: { role: 'x' } } };
const SOUND = {
  who: [{ issuer: 'cluster', claims: { sub: ['ada', 'bob'] } }],
  break_glass: GLASS,
  task_grants: undefined,
  credentials,
};
const faults = (over: object) => faultsOf({ ...SOUND, ...over });

test('parseGrant: break-glass without approval has to be written in so many words', () => {
  expect(faults({})).toEqual([]);
  expect(grantOf(SOUND)).toMatchObject({ purpose: 'required', breakGlass: { withoutApproval: true } });
  const { dangerously_without_approval: _, ...quiet } = GLASS;
  expect(faults({ break_glass: quiet })).toEqual([
    expect.stringContaining('break_glass: Nobody would be asked'),
  ]);
  const approval = { stages: [{ from: ops }] };
  expect(faults({ break_glass: quiet, approval })).toEqual([]);
  expect(faults({ approval })).toEqual([
    expect.stringContaining('break_glass.dangerously_without_approval: Cannot stand beside approval'),
  ]);
  const auto_approve = ['claims.on_call == true'];
  expect(faults({ break_glass: quiet, approval: { ...approval, auto_approve } })).toEqual([
    expect.stringContaining('approval.auto_approve: Cannot approve break-glass by a condition'),
  ]);
  expect(faults({ break_glass: { ...GLASS, dangerously_without_approval: false } })).toHaveLength(1);
});

test.each([
  ['a glob', { sub: { glob: 'user/*' } }],
  ['a glob among names', { sub: ['ada', { glob: 'user/*' }] }],
  ['a group', { groups: { contains: 'sre' } }],
  ['a claim that many share', { team: 'sre' }],
  ['the entry of a list', { email: { contains: 'ada@acme.example' } }],
  ['everybody', {}],
])('parseGrant: break-glass is for named people, and refuses %s', (_, claims) => {
  expect(faults({ who: [...SOUND.who, { issuer: 'cluster', claims }] }).join()).toContain(
    'who[1].claims: Break-glass is for people by their names',
  );
});

test('parseGrant: break-glass through another, cut for others, or for longer than an hour is a fault', () => {
  expect(
    faults({ who: [{ ...SOUND.who[0], actor: { issuer: 'cluster', claims: { sub: 'agent' } } }] }),
  ).toEqual([expect.stringContaining('who[0].actor: Nobody breaks the glass through another')]);
  expect(faults({ task_grants: { max_age: '1h', max_uses: 1 } })).toEqual([
    expect.stringContaining('task_grants: Cannot cut'),
  ]);
  const long = { db: { ...credentials.db, ttl: { max: '1h', cap: '61m' } } };
  expect(faults({ credentials: long })).toEqual([
    expect.stringContaining('credentials.db.ttl.cap: Too long for break-glass: write 1h or less'),
  ]);
  expect(faults({ credentials: { db: { ...credentials.db, ttl: { max: '2h' } } } })).toHaveLength(2);
});

test('unnamedPeople: everybody whom it names has to be somebody of people', () => {
  const matcher = parsePrincipalMatcher({ issuer: 'cluster', claims: { sub: 'ada' } }, world.issuers, [], []);
  const rule = grantOf(SOUND).breakGlass!;
  expect(unnamedPeople(rule, [{ name: 'Ada', who: [matcher] }])).toEqual(['{"sub":"bob"} of "cluster"']);
  expect(unnamedPeople(rule, [])).toHaveLength(2);
});
