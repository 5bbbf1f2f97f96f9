import { afterAll, expect, test } from 'vitest';
import { redactClaim } from '../../src/audit/redact.ts';
import { createVerbs } from '../../src/broker/create-verbs.ts';
import { asking, callerOf, REPORT_GRANT, reason, value } from '../support/broker.ts';
import { createStage } from '../support/stage.ts';
import { anyStore } from '../support/stores.ts';

const store = await anyStore();
afterAll(() => store.stop());

test('openTask: the value of a sensitive claim is in no event, whether it is allowed or refused', async () => {
  const stage = await createStage(store);
  const who = [{ issuer: 'ci', claims: { repository_id: '42', email: { glob: '*@acme.example' } } }];
  const { broker, events } = await stage.start({ grants: { report: { ...(REPORT_GRANT as object), who } } });
  const verbs = createVerbs({ ...broker, sensitiveClaims: new Set(['email']) });
  const ada = callerOf({ repository_id: '42', email: 'ada@acme.example' });
  const eve = callerOf({ repository_id: '42', email: 'eve@evil.example' });
  value(await verbs.openTask(ada, asking()));
  for (const caller of [eve, callerOf({ repository_id: '42' })])
    expect(reason(await verbs.openTask(caller, asking()))).toBe('not-allowed');
  const text = JSON.stringify(await events());
  for (const hidden of ['ada@', 'eve@', '@acme.example']) expect(text).not.toContain(hidden);
  // Equal values stay equal, and what is not sensitive stays to be read.
  expect(text).toContain(redactClaim('email', 'ada@acme.example').sha256);
  expect(text).toContain(`found sha256 ${redactClaim('email', 'eve@evil.example').sha256}`);
  expect(text).toContain('claims.email: expected another, found nothing');
  expect(text).toContain('"repository_id":"42"');
  await stage.close();
});
