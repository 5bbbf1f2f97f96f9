import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { attestorKinds, providerKinds } from '../../src/kinds.ts';

const SECRET = randomBytes(24).toString('hex');

/** Loads a configuration with these trails, one target, and Google as an issuer. */
async function load(trails: string) {
  const text = `broker:
  url: https://hallpass.acme.example
issuers:
  push: { type: google, audience: "https://hallpass.acme.example/audit/trails/google" }
targets:
  data: { provider: google, workload_identity_provider: projects/1/locations/global/workloadIdentityPools/pool/providers/hallpass }
audit:
  trails:
${trails}`;
  const config = await loadConfig({
    path: '/etc/hallpass.yaml',
    env: {},
    readFile: async (path) => ({
      bytes: Buffer.from(path === '/etc/hallpass.yaml' ? text : `${SECRET}\n`),
      mode: 0o600,
    }),
    attestors: attestorKinds,
    providers: providerKinds,
  });
  return config.ok
    ? { trails: config.value.audit.trails, digest: config.value.digest, faults: [] }
    : { trails: [], digest: '', faults: config.error.map(({ path, message }) => `${path}: ${message}`) };
}

const AWS = 'name: aws, type: cloudtrail, targets: [data]';
const FROM = 'from: { issuer: push, claims: { sub: "112233445566778899000" } }';

test('audit.trails: a secret from a file, or whose token it is, as the page of the log shows', async () => {
  const { faults, trails, digest } = await load(
    `    - { ${AWS}, bearer_secret_file: /run/secrets/trail }\n    - { name: google, type: google-audit, targets: [data], ${FROM} }\n`,
  );
  expect(faults).toEqual([]);
  expect(trails).toMatchObject([
    { name: 'aws', type: 'cloudtrail', targets: ['data'], from: { secret: SECRET } },
    { name: 'google', from: { who: { issuer: 'push' } } },
  ]);
  expect(digest).not.toContain(SECRET);
});

test('audit.trails: what could be anybody, or tells of what there is not, is a fault', async () => {
  const faults = async (line: string) => (await load(`    - { ${line} }\n`)).faults.join('\n');
  expect(await faults(AWS)).toMatch(/audit\.trails\[0\].*write bearer_secret_file, or from/);
  expect(await faults(`${AWS}, bearer_secret_file: /s, ${FROM}`)).toMatch(
    /write bearer_secret_file, or from/,
  );
  expect(await faults(`name: aws, type: cloudtrail, targets: [lake], bearer_secret_file: /s`)).toMatch(
    /audit\.trails\[0\]\.targets\[0\]: Unknown target "lake"/,
  );
  expect(await faults(`${AWS}, from: { issuer: pish, claims: { sub: "1" } }`)).toMatch(
    /audit\.trails\[0\]\.from\.issuer: Unknown issuer "pish"/,
  );
  expect(await faults(`${AWS}, bearer_secret: ${'x'.repeat(40)}`)).toMatch(/secret/);
});
