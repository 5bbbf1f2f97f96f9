import { expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { attestorKinds } from '../../src/kinds.ts';
import { readFrom } from './support.ts';

const STAFF = `
  staff: { type: oidc, issuer: https://login.acme.example, audience: [hallpass-web, hallpass-cli] }
  metal: { type: github, audience: https://hallpass.acme.example }
`;

async function load(signIn: string, issuers = STAFF) {
  const text = `
broker: { url: https://hallpass.acme.example }
issuers:${issuers}
sign_in:
${signIn}
`;
  const config = await loadConfig({
    path: '/etc/hallpass.yaml',
    env: { WEB_SECRET: 'a-client-secret' },
    readFile: readFrom({ '/etc/hallpass.yaml': text }),
    attestors: attestorKinds,
    providers: {},
  });
  return config.ok
    ? { signIn: config.value.signIn, digest: config.value.digest, faults: [] }
    : { signIn: null, digest: '', faults: config.error.map(({ path, message }) => `${path}: ${message}`) };
}

test('sign_in: says where, as which clients, and for how long', async () => {
  const { signIn, digest, faults } = await load(`
  issuer: staff
  scopes: [openid, groups]
  cli: { client_id: hallpass-cli }
  browser: { client_id: hallpass-web, client_secret_env: WEB_SECRET, idle: 10m }
`);
  expect(faults).toEqual([]);
  expect(signIn).toEqual({
    issuer: 'staff',
    at: {
      url: 'https://login.acme.example',
      audiences: ['hallpass-web', 'hallpass-cli'],
      singleUse: false,
      allowInsecureHttp: false,
    },
    scope: 'openid groups',
    tokenEndpoint: null,
    cliClientId: 'hallpass-cli',
    browser: {
      clientId: 'hallpass-web',
      clientSecret: 'a-client-secret',
      sessionMs: 28_800_000,
      idleMs: 600_000,
    },
  });
  expect(digest).not.toContain('a-client-secret');
});

test.each([
  [
    'an unknown issuer',
    'issuer: stuff\n  cli: { client_id: hallpass-cli }',
    /^sign_in\.issuer: Unknown issuer "stuff".*staff/,
  ],
  [
    'an issuer at which nobody signs in',
    'issuer: metal\n  cli: { client_id: x }',
    /^sign_in\.issuer: Cannot sign people in there/,
  ],
  ['no client', 'issuer: staff', /^sign_in: Nothing can sign in/],
  [
    'a client whose tokens would be refused',
    'issuer: staff\n  cli: { client_id: other }',
    /^sign_in\.cli\.client_id: .*add "other" to issuers\.staff\.audience/,
  ],
  [
    'scopes without openid',
    'issuer: staff\n  scopes: [email]\n  cli: { client_id: hallpass-cli }',
    /^sign_in\.scopes: .*openid/,
  ],
  [
    'a secret in clear',
    'issuer: staff\n  browser: { client_id: hallpass-web, client_secret: abc }',
    /Cannot take a secret in clear/,
  ],
  [
    'a token endpoint in clear',
    'issuer: staff\n  token_endpoint: http://id.example/token\n  cli: { client_id: hallpass-cli }',
    /^sign_in\.token_endpoint/,
  ],
  [
    'a session for ever',
    'issuer: staff\n  browser: { client_id: hallpass-web, session: 30d }',
    /^sign_in\.browser\.session: Too long/,
  ],
])('sign_in: refuses %s', async (_what, signIn, fault) => {
  const { faults } = await load(`  ${signIn}`);
  expect(faults).toEqual([expect.stringMatching(fault)]);
});

test('sign_in: refuses the command line where each token serves once', async () => {
  const issuers = STAFF.replace('type: oidc,', 'type: oidc, single_use: true,');
  const { faults } = await load('  issuer: staff\n  cli: { client_id: hallpass-cli }', issuers);
  expect(faults).toEqual([expect.stringMatching(/^sign_in\.cli: Every command shows the same token/)]);
});
