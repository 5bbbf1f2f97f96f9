import { expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { attestorKinds, providerKinds } from '../../src/kinds.ts';
import { authority } from '../support/authority.ts';
import { startIssuer } from '../support/issuer.ts';

/** Loads a configuration of these lines; answers faults and warnings as lines of text. */
async function load(yaml: string, files: Record<string, string> = {}) {
  const text = `broker:\n  url: https://hallpass.acme.example\n${yaml}`;
  const config = await loadConfig({
    path: '/etc/hallpass.yaml',
    env: {},
    readFile: async (path) => {
      const content = path === '/etc/hallpass.yaml' ? text : files[path];
      if (content === undefined) throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
      return { bytes: Buffer.from(content), mode: 0o600 };
    },
    attestors: attestorKinds,
    providers: providerKinds,
  });
  const lines = (faults: readonly { path: string; message: string }[]) =>
    faults.map(({ path, message }) => `${path}: ${message}`);
  return config.ok
    ? { faults: [], warnings: lines(config.value.warnings), issuers: [...config.value.issuers.keys()] }
    : { faults: lines(config.error), warnings: [], issuers: [] };
}

const access = (issuer: string, claims: string) =>
  `access:\n  - role: auditor\n    issuer: ${issuer}\n    claims: ${claims}\n`;

it('loadConfig: each preset takes the lines that its page shows', async () => {
  const { faults, issuers } = await load(`issuers:
  a: { type: github, audience: hallpass }
  b: { type: github-enterprise, audience: hallpass, server_url: https://github.acme.example }
  c: { type: gitlab, audience: hallpass }
  d: { type: buildkite, audience: hallpass }
  e: { type: circleci, organization_id: 11111111-2222-3333-4444-555555555555 }
  f: { type: terraform-cloud, audience: hallpass }
  g: { type: bitbucket, workspace: acme, workspace_uuid: 11111111-2222-3333-4444-555555555555 }
  h: { type: kubernetes, audience: hallpass }
  i: { type: google, audience: hallpass }
  j: { type: azure, audience: hallpass, tenant_id: 11111111-2222-3333-4444-555555555555 }
  k: { type: aws-web-identity, audience: hallpass, issuer: "https://abc-1.tokens.sts.global.api.aws" }
  l: { type: spiffe, trust_domain: prod.acme.example, audience: hallpass, bundle_url: "https://spire.acme.example/bundle" }
  m: { type: aws, audience: "https://hallpass.acme.example", regions: [eu-west-1] }
`);
  expect(faults).toEqual([]);
  expect(issuers).toHaveLength(13);
});

it('loadConfig: what a preset knows decides about grants and access rules', async () => {
  const issuer = 'issuers:\n  ci: { type: github, audience: hallpass }\n';
  expect(
    (await load(issuer + access('ci', '{ repository: acme/etl, event_name: push }'))).faults.join(),
  ).toMatch(/access\[0\]\.claims: .*repository_id/);
  expect((await load(issuer + access('ci', '{ repository_id: "7", event_name: push }'))).faults).toEqual([]);
});

it('loadConfig: two entries for one issuer are a fault, by whatever kind', async () => {
  const { faults } = await load(`issuers:
  a: { type: gitlab, audience: hallpass }
  b: { type: oidc, audience: hallpass, issuer: "https://gitlab.com" }
  c: { type: spiffe, trust_domain: td, audience: x, bundle_path: /b }
  d: { type: spiffe, trust_domain: td, audience: y, bundle_path: /c }
`);
  expect(faults).toEqual([
    expect.stringMatching(/issuers\.b\.issuer: The same issuer as "a"/),
    expect.stringMatching(/issuers\.d: The same issuer as "c"/),
  ]);
});

it('loadConfig: pinned keys are listed as an exception, and are for this broker alone', async () => {
  const signer = await startIssuer();
  const jwks = JSON.stringify(signer.jwks());
  await signer.close();
  const entry = (audience: string) =>
    `issuers:\n  cron: { type: keys, audience: "${audience}", subjects: [cron], owner: ops, expires: "2030-01-31", jwks: ${jwks} }\n`;
  const sound = await load(entry('https://hallpass.acme.example') + access('cron', '{ sub: cron }'));
  expect(sound.faults).toEqual([]);
  expect(sound.warnings).toEqual([expect.stringMatching(/issuers\.cron: An exception.*"ops".*2030-01-31/)]);
  const foreign = await load(entry('https://other.example'));
  expect(foreign.faults).toEqual([
    expect.stringMatching(/issuers\.cron\.audience: .*hallpass\.acme\.example/),
  ]);
});

it('loadConfig: an authority is read from its file, and one without lists is an exception', async () => {
  const { pem } = await authority();
  const entry = 'issuers:\n  mesh: { type: client-certificate, ca_file: ca.pem, subject_from: dns }\n';
  const sound = await load(entry + access('mesh', '{ sub: etl.acme.example }'), { '/etc/ca.pem': pem });
  expect(sound.faults).toEqual([]);
  expect(sound.warnings).toContainEqual(expect.stringMatching(/issuers\.mesh: No revocation lists/));
  const broken = await load(entry, { '/etc/ca.pem': 'x' });
  expect(broken.faults).toEqual([expect.stringMatching(/issuers\.mesh\.ca_file: Cannot use the file/)]);
  const wide = await load(entry + access('mesh', '{ organizations: { contains: Acme } }'), {
    '/etc/ca.pem': pem,
  });
  expect(wide.faults).toEqual([expect.stringMatching(/access\[0\]\.claims: Too wide/)]);
});

it('loadConfig: an issuer of client certificates is warned of where the listener asks for none', async () => {
  const { pem, keyPem } = await authority();
  const files = { '/etc/ca.pem': pem, '/etc/tls.crt': pem, '/etc/tls.key': keyPem };
  const entry = 'issuers:\n  mesh: { type: client-certificate, ca_file: ca.pem, subject_from: dns }\n';
  const warned = async (tls: string) =>
    (await load(tls + entry, files)).warnings.filter((line) => line.includes('client_certificates'));
  const tls = (more: string) => `  tls: { cert_file: tls.crt, key_file: tls.key${more} }\n`;
  const warning = expect.stringMatching(/issuers\.mesh: Nobody can prove anything to this issuer/);
  expect(await warned('')).toEqual([warning]);
  expect(await warned(tls(''))).toEqual([warning]);
  expect(await warned(tls(', client_certificates: request'))).toEqual([]);
});

it('loadConfig: who stands in for an issuer is somebody whom that issuer knows too (20)', async () => {
  const signer = await startIssuer();
  const jwks = JSON.stringify(signer.jwks());
  await signer.close();
  const issuers = (fallback: string, more = '') => `issuers:
  staff: { type: oidc, issuer: "https://login.acme.example", audience: hallpass${more} }
  stand-in: { type: keys, audience: "https://hallpass.acme.example", subjects: [alice, bob], owner: ops, expires: "2030-01-31", ${fallback}, jwks: ${jwks} }
`;
  const human = (name: string, ...identities: string[]) =>
    `  - { name: ${name}, identities: [${identities.join(', ')}] }\n`;
  const at = (issuer: string, sub: string) => `{ issuer: ${issuer}, claims: { sub: ${sub} } }`;
  const alice = human('Alice', at('staff', 'a1'), at('stand-in', 'alice'));
  const both = `people:\n${alice}${human('Bob', at('staff', 'b1'), at('stand-in', 'bob'))}`;
  expect((await load(issuers('fallback_for: staff') + both)).faults).toEqual([]);
  expect((await load(`${issuers('fallback_for: staff')}people:\n${alice}`)).faults).toEqual([
    expect.stringMatching(/issuers\.stand-in\.subjects: Cannot tell who "bob" is at "staff"/),
  ]);
  const alone = `people:\n${alice}${human('Bob', at('stand-in', 'bob'))}`;
  expect((await load(issuers('fallback_for: staff') + alone)).faults).toEqual([
    expect.stringMatching(/Cannot tell who "bob" is/),
  ]);
  expect((await load(issuers('fallback_for: stand-in') + both)).faults).toEqual([
    expect.stringMatching(/issuers\.stand-in\.fallback_for: Unknown issuer "stand-in"/),
  ]);
  expect((await load(issuers('fallback_for: nobody') + both)).faults.join()).toMatch(
    /Unknown issuer "nobody"/,
  );
  const pinned = await load(issuers('fallback_for: staff', ', jwks_file: k.json') + both, {
    '/etc/k.json': jwks,
  });
  expect(pinned.faults).toEqual([expect.stringMatching(/fallback_for: .*nothing of it is fetched/)]);
  expect((await load(issuers('fallback_after_seconds: 600') + both)).faults).toEqual([
    expect.stringMatching(/fallback_after_seconds: Cannot wait for nobody/),
  ]);
});
