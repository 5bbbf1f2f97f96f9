import { expect, test } from 'vitest';
import { configPath, environmentFaults } from '../../src/config/environment.ts';
import { example, faultsIn, load } from './support.ts';

test('overrides: the environment replaces what the file says', async () => {
  const config = await load(example(['broker:', 'database:\n  url_file: /nowhere\nbroker:']), {
    DATABASE_URL: 'postgres://me@127.0.0.1/hallpass',
    HALLPASS_LISTEN: '[::1]:9',
    HALLPASS_URL: 'http://localhost:9/',
    HALLPASS_LOG_LEVEL: 'debug',
    HALLPASS_NAME: '',
  });
  expect(config).toMatchObject({
    ok: true,
    value: {
      database: { url: 'postgres://me@127.0.0.1/hallpass' },
      broker: { listen: { host: '::1', port: 9 }, url: 'http://localhost:9', name: 'acme-eu' },
      log: { level: 'debug' },
    },
  });
});

test('overrides: a fault in a variable names the variable', async () => {
  expect(
    await faultsIn(example(), {
      HALLPASS_LOG_LEVEL: 'loud',
      HALLPASS_LISTEN: '0.0.0.0:1',
      DATABASE_URL: 'mysql://x',
    }),
  ).toEqual([
    expect.stringMatching(/^environment DATABASE_URL: Cannot use this: write postgres:/),
    expect.stringMatching(/^environment HALLPASS_LISTEN: Cannot listen on/),
    expect.stringMatching(/^environment HALLPASS_LOG_LEVEL: Expected one of/),
  ]);
});

test('environmentFaults: what looks like ours and is not', () => {
  expect(environmentFaults({ HALLPASS_LISTN: 'x', HALLPASS_TOKEN: 'x', PATH: '/', HALL: 'x' })).toEqual([
    { path: ['HALLPASS_LISTN'], message: expect.stringContaining('did you mean "HALLPASS_LISTEN"') },
  ]);
});

test('environmentFaults: what our own commands set is known', () => {
  const set = [
    'HALLPASS_TASK',
    'HALLPASS_TASK_TOKEN',
    'HALLPASS_AGENT_SOCK',
    'HALLPASS_CREDENTIAL_FILE',
    'HALLPASS_GOOGLE_ID_TOKEN_FILE',
    'HALLPASS_VAULT_FILE',
  ];
  expect(environmentFaults(Object.fromEntries(set.map((name) => [name, 'x'])))).toEqual([]);
});

test('environmentFaults: what Kubernetes sets for a service of our name is not ours', () => {
  const links = [
    'HALLPASS_SERVICE_HOST',
    'HALLPASS_SERVICE_PORT',
    'HALLPASS_SERVICE_PORT_HTTPS',
    'HALLPASS_PORT',
  ];
  const more = [
    'HALLPASS_PORT_8443_TCP',
    'HALLPASS_PORT_8443_TCP_ADDR',
    'HALLPASS_EU_SERVICE_HOST',
    'HALLPASS_EU_PORT',
  ];
  const env = Object.fromEntries([...links, ...more].map((name) => [name, 'x']));
  expect(environmentFaults(env)).toEqual([]);
});

test('configPath: flag, variable, default', () => {
  expect(configPath({ HALLPASS_CONFIG: 'a' }, 'b')).toBe('b');
  expect(configPath({ HALLPASS_CONFIG: 'a' }, undefined)).toBe('a');
  expect(configPath({ HALLPASS_CONFIG: '' }, undefined)).toBe('hallpass.yaml');
});
