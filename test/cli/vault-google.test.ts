import { expect, test } from 'vitest';
import { planDelivery } from '../../src/cli/credentials/plan.ts';

const none = { prefixes: {}, extra: {} };
const plan = (secret: { type: string; values: Record<string, string> }, parent = {}) =>
  planDelivery([{ name: 'it', secret } as never], none, '/folder', parent);

test('deliverVault: a token goes into the variables of the command line, and what would win over it is hidden', () => {
  const values = { address: 'https://vault.example', namespace: 'teams', token: 'the-token' };
  const { env, files, removed, notes } = plan(
    { type: 'vault', values },
    { VAULT_AGENT_ADDR: 'x', VAULT_TOKEN: 'old' },
  );
  expect(env).toEqual({
    VAULT_ADDR: 'https://vault.example',
    VAULT_NAMESPACE: 'teams',
    VAULT_TOKEN: 'the-token',
  });
  expect(files).toEqual({});
  expect(removed).toContain('VAULT_AGENT_ADDR');
  expect(removed).not.toContain('VAULT_TOKEN');
  expect(notes.join('\n')).toContain('VAULT_TOKEN');
});

test('deliverVault: what was read is in a file, and a token of the environment is hidden when we have none', () => {
  const { env, files, removed } = plan({ type: 'vault', values: { address: 'a', db_password: 'secret' } });
  expect(JSON.parse(files[env.HALLPASS_VAULT_FILE ?? ''] ?? '')).toEqual({ db_password: 'secret' });
  expect(JSON.stringify(env)).not.toContain('secret');
  expect(removed).toContain('VAULT_TOKEN');
});

test('deliverGoogle: an access token is in the file that gcloud reads, without a line break', () => {
  const { env, files, removed } = plan({ type: 'google', values: { access_token: 'ya29.x', project: 'p' } });
  expect(files[env.CLOUDSDK_AUTH_ACCESS_TOKEN_FILE ?? '']).toBe('ya29.x');
  expect(env).toMatchObject({ CLOUDSDK_CORE_PROJECT: 'p', GOOGLE_OAUTH_ACCESS_TOKEN: 'ya29.x' });
  expect(removed).toContain('CLOUDSDK_AUTH_ACCESS_TOKEN');
});

test('deliverGoogle: an ID token is in a file of its own', () => {
  const { env, files } = plan({ type: 'google', values: { id_token: 'a.b.c' } });
  expect(files[env.HALLPASS_GOOGLE_ID_TOKEN_FILE ?? '']).toBe('a.b.c');
  expect(env).not.toHaveProperty('GOOGLE_OAUTH_ACCESS_TOKEN');
});
