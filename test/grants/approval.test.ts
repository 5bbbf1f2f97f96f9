import { expect, test } from 'vitest';
import { faultsOf, grantOf } from './support.ts';

const from = [{ issuer: 'cluster', claims: { sub: 'system:serviceaccount:ops:dba' } }];
const faults = (approval: object) => faultsOf({ approval });

test('parseGrant: approval that could come to need nobody, without saying when, is a fault', () => {
  const stages = [{ from, when: 'parameters.rows > 10' }];
  expect(faults({ stages })).toEqual([expect.stringContaining('approval.stages: Nobody might be asked')]);
  expect(faults({ stages, auto_approve: ['claims.on_call == true'] })).toHaveLength(1);
  expect(faults({ stages: [{ from }, ...stages], auto_approve: ['claims.on_call == true'] })).toEqual([]);
});

test.each([
  'true',
  '1 < 2',
  'purpose.startsWith("incident")',
  'ticket != ""',
  'purpose != "" && ticket.glob("OPS-*")',
])('parseGrant: auto_approve %j lets whoever asks approve himself', (expression) => {
  expect(faults({ stages: [{ from }], auto_approve: [expression] })).toEqual([
    expect.stringContaining('approval.auto_approve[0]: Whoever asks could approve himself'),
  ]);
});

test.each([
  'claims.on_call == true',
  'parameters.rows <= 10',
  'task == "x" && ticket != ""',
  'actors.size() == 0',
])('parseGrant: auto_approve %j is taken', (expression) => {
  expect(faults({ stages: [{ from }], auto_approve: [expression] })).toEqual([]);
});

test('parseGrant: conditions of approval are read as others are', () => {
  expect(
    faults({ stages: [{ from }, { from, when: 'parameters.nothing' }], auto_approve: ['claims.a ==', '1'] }),
  ).toEqual([
    expect.stringContaining('approval.stages[1].when: '),
    expect.stringContaining('approval.auto_approve[0]: '),
    expect.stringContaining('approval.auto_approve[1]: A condition must be true or false'),
  ]);
  const { approval } = grantOf({
    approval: { stages: [{ from }], auto_approve: ['claims.on_call == true'] },
  });
  expect(approval?.autoApprove.map(({ expression }) => expression)).toEqual(['claims.on_call == true']);
});
