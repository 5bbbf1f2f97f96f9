import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadConfig } from '../../../src/config/load.ts';
import { attestorKinds, providerKinds } from '../../../src/kinds.ts';
import { readFrom } from '../../config/support.ts';

const PAGE = readFileSync(join(import.meta.dirname, '../../../src/providers/aws/README.md'), 'utf8');
const SAMPLE = /```yaml\n([\s\S]*?)```/.exec(PAGE)?.[1] ?? '';

/** Loads the page's sample, with who may use it, and with some text of it replaced. */
async function load(from = '', to = '') {
  expect(SAMPLE).toContain(from);
  const grant = '    who: [{ issuer: ci, claims: { sub: batch } }]\n    tasks: [nightly]';
  const text = `broker: { url: "https://hallpass.example.com" }
issuers:
  ci: { type: oidc, issuer: "https://issuer.example", audience: hallpass }
${SAMPLE.replace('    # who, tasks, ...', grant).replace(from, () => to)}`;
  const config = await loadConfig({
    path: '/etc/hallpass.yaml',
    env: {},
    readFile: readFrom({ '/etc/hallpass.yaml': text, '/etc/key': 'k'.repeat(40) }),
    attestors: attestorKinds,
    providers: providerKinds,
  });
  const said = config.ok ? config.value.warnings : config.error;
  return { ok: config.ok, said: said.map(({ path, message }) => `${path}: ${message}`) };
}

describe('settingsSchema', () => {
  test('settingsSchema: the sample of the page loads, and there is nothing to consider', async () => {
    expect(await load()).toEqual({ ok: true, said: [] });
  });

  test.for([
    [
      'a key in clear',
      'in clear',
      'source: web_identity',
      'source: static, access_key_id: AKIAXXXXXXXXXXXXXXXX, secret_access_key: x',
    ],
    [
      'denials without a role to write them',
      'name a role that may write',
      '      via_role_arn: arn:aws:iam::123456789012:role/hallpass/hallpass-denial-lake\n',
      '',
    ],
    [
      'role chaining with web identity',
      'contradicts web_identity',
      'region: eu-central-1',
      'region: eu-central-1\n    role_chaining: true',
    ],
    [
      'a grant of a role that cannot be denied',
      'denial.roles',
      'role_arn: arn:aws:iam::123456789012:role/hallpass/reports',
      'role_arn: arn:aws:iam::123456789012:role/hallpass/other',
    ],
    ['a TTL above 12 hours', 'Longer than aws', 'max: 1h', 'max: 13h'],
    [
      'an external id with web identity',
      'external_id',
      'session_policy:',
      'external_id: acme\n          session_policy:',
    ],
    ['an unknown region', 'region', 'region: eu-central-1', 'region: europe'],
  ])('settingsSchema: refuses %s', async ([, fault, from, to]) => {
    const { ok, said } = await load(from, to);
    expect(ok).toBe(false);
    expect(said.join()).toContain(fault);
  });

  test('cautions: a long-lived key, other addresses and role-wide denials are warned of', async () => {
    const key = 'source: static, access_key_id: AKIAXXXXXXXXXXXXXXXX, secret_access_key_file: key';
    expect((await load('source: web_identity', key)).said.join()).toContain('long-lived key');
    const elsewhere = 'region: eu-central-1\n    insecure_endpoints: { sts: "http://127.0.0.1:1" }';
    expect((await load('region: eu-central-1', elsewhere)).said.join()).toContain('for tests only');
    const wide = 'denial:\n      when_full: deny_all_sessions';
    expect((await load('denial:', wide)).said.join()).toContain("every task's sessions");
  });
});
