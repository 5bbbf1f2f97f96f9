import { expect, test } from 'vitest';
import { deliverAws } from '../../src/cli/credentials/aws.ts';
import { planDelivery } from '../../src/cli/credentials/plan.ts';

const secret = {
  type: 'aws',
  values: { access_key_id: 'id', secret_access_key: 'key', session_token: 'token', region: 'eu-central-1' },
};
const lease = {} as Parameters<typeof planDelivery>[0][number]['lease'];
const plan = (parent: Record<string, string>, prefixes: Record<string, string> = {}) =>
  planDelivery([{ name: 'lake', lease, secret }], { prefixes, extra: {} }, '/run', parent);

test('deliverAws: gives the session in the variables that SDKs read first', () => {
  expect(deliverAws(secret).env).toEqual({
    AWS_ACCESS_KEY_ID: 'id',
    AWS_SECRET_ACCESS_KEY: 'key',
    AWS_SESSION_TOKEN: 'token',
    AWS_REGION: 'eu-central-1',
    AWS_DEFAULT_REGION: 'eu-central-1',
  });
});

test('planDelivery: static keys and a profile of the environment do not win, and it is said', () => {
  const { env, removed, notes } = plan({ AWS_ACCESS_KEY_ID: 'static', AWS_PROFILE: 'admin' });
  expect(env.AWS_ACCESS_KEY_ID).toBe('id');
  expect(removed).toContain('AWS_PROFILE');
  expect(notes.join('\n')).toMatch(/AWS_ACCESS_KEY_ID.*replaced[\s\S]*AWS_PROFILE.*hidden/);
});

test('planDelivery: under a prefix static keys stay, and it is said', () => {
  const { env, notes } = plan({ AWS_ACCESS_KEY_ID: 'static' }, { lake: 'LAKE_' });
  expect(env.LAKE_AWS_ACCESS_KEY_ID).toBe('id');
  expect(notes).toEqual([expect.stringContaining('AWS_ACCESS_KEY_ID is set')]);
});
