import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runProgram } from '../../src/cli/program.ts';
import { has } from './support/delivery.ts';
import { fakeIo } from './support/io.ts';

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'hallpass-doctor-'));
});
afterEach(() => rmSync(home, { recursive: true }));

const secret = () => `canary${randomBytes(12).toString('hex')}`;

/** Puts a file below the home. */
function put(path: string, content: string): void {
  mkdirSync(dirname(join(home, path)), { recursive: true });
  writeFileSync(join(home, path), content);
}

async function doctor(args: readonly string[] = [], env: Record<string, string> = {}) {
  const terminal = fakeIo({ HOME: home, ...env }, { now: () => Date.UTC(2030, 5, 1) });
  Object.assign(terminal.io, { cwd: () => home });
  const code = await runProgram(['doctor', ...args], {
    io: terminal.io,
    version: '1',
    serve: async () => 0,
    check: async () => 0,
  });
  return { code, ...terminal.written };
}

/** `rule place`, below the home. */
async function findings(env: Record<string, string> = {}): Promise<string[]> {
  const { out } = await doctor(['--json'], env);
  expect(out).not.toContain('canary');
  const { findings: found } = JSON.parse(out) as { findings: { rule: string; place: string }[] };
  return found.map(({ rule, place }) => `${rule} ${place.replace(`${home}/`, '')}`);
}

const key = (type: 'pkcs1' | 'pkcs8', passphrase?: string) =>
  generateKeyPairSync('rsa', {
    modulusLength: 1024,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type, format: 'pem', ...(passphrase ? { cipher: 'aes-256-cbc', passphrase } : {}) },
  }).privateKey;

describe('doctor: finds by place, and never shows a value', () => {
  it('nothing on a machine that has nothing', async () => {
    expect(await findings()).toEqual([]);
    expect((await doctor(['--ci'])).code).toBe(0);
  });

  it('variables that win over a lease', async () => {
    const env = {
      AWS_ACCESS_KEY_ID: secret(),
      AWS_SECRET_ACCESS_KEY: secret(),
      PGPASSWORD: secret(),
      DATABASE_URL: `postgres://u:${secret()}@db/x`,
      HARMLESS_URL: 'postgres://u@db/x',
      AWS_PROFILE: 'job',
      VAULT_TOKEN: '',
    };
    expect(await findings(env)).toEqual([
      'aws-static-key env:AWS_ACCESS_KEY_ID',
      'aws-static-key env:AWS_SECRET_ACCESS_KEY',
      'pg-password env:PGPASSWORD',
      'url-password env:DATABASE_URL',
    ]);
  });

  const cases: readonly (readonly [string, string, () => string, readonly string[]])[] = [
    [
      'AWS keys',
      '.aws/credentials',
      () => `[default]\naws_access_key_id = AKIA\naws_secret_access_key=${secret()}\n`,
      ['aws-static-key .aws/credentials:3'],
    ],
    [
      'AWS keys beside a process',
      '.aws/config',
      () => `[profile a]\ncredential_process = x\naws_secret_access_key = ${secret()}\n`,
      ['aws-static-key .aws/config:3'],
    ],
    ['an AWS process alone', '.aws/config', () => '[profile a]\ncredential_process = x\n', []],
    [
      'a Google key',
      '.config/gcloud/application_default_credentials.json',
      () => JSON.stringify({ type: 'service_account', private_key: secret() }),
      ['google-key .config/gcloud/application_default_credentials.json'],
    ],
    [
      'a Google federation',
      '.config/gcloud/application_default_credentials.json',
      () => JSON.stringify({ type: 'external_account' }),
      [],
    ],
    [
      'a password file',
      '.pgpass',
      () => `# x:1:d:u:p\ndb\\:1:5432:*:u:${secret()}\n`,
      ['pg-password .pgpass:2'],
    ],
    [
      "git's store",
      '.git-credentials',
      () => `https://u:${secret()}@git.example\n`,
      ['git-token .git-credentials:1'],
    ],
    [
      'a remote',
      '.git/config',
      () =>
        `[remote "o"]\n\turl = https://x:${secret()}@git.example/a.git\n[remote "p"]\n\turl = git@git.example:a.git\n`,
      ['git-token .git/config:2'],
    ],
    [
      'a header',
      '.git/config',
      () => `[http "https://git.example/"]\n\textraheader = AUTHORIZATION: basic ${secret()}\n`,
      ['git-token .git/config:2'],
    ],
    ['netrc', '.netrc', () => `machine a\n  login u\n  password ${secret()}\n`, ['netrc-password .netrc:3']],
    [
      'kubectl',
      '.kube/config',
      () =>
        `users:\n- name: a\n  user:\n    exec: {command: x}\n- name: b\n  user:\n    token: ${secret()}\n`,
      ['kube-static-user .kube/config:5'],
    ],
    ['no kubectl', '.kube/config', () => '\t: [broken', []],
    [
      'docker',
      '.docker/config.json',
      () => JSON.stringify({ auths: { 'ghcr.io': { auth: secret() }, 'x.io': {} } }, null, 1),
      ['docker-auth .docker/config.json:3'],
    ],
    ['Vault', '.vault-token', secret, ['vault-token .vault-token']],
    [
      'npm',
      '.npmrc',
      () => `a=b\n//r.example/:_authToken=\${T}\n//r.example/:_authToken=${secret()}\n`,
      ['npm-token .npmrc:3'],
    ],
    ['an RSA key', '.ssh/id_rsa', () => key('pkcs1'), ['ssh-key .ssh/id_rsa']],
    ['a PKCS #8 key', '.ssh/deploy', () => key('pkcs8'), ['ssh-key .ssh/deploy']],
    ['a locked PKCS #8 key', '.ssh/deploy', () => key('pkcs8', 'x'), []],
    ['a locked RSA key', '.ssh/id_rsa', () => key('pkcs1', 'x'), []],
  ];
  it.each(cases)('%s in %s', async (_, path, content, expected) => {
    put(path, content());
    expect(await findings()).toEqual(expected);
  });

  it("OpenSSH's own keys, with and without a passphrase", async (ctx) => {
    if (!has('ssh-keygen')) return ctx.skip('needs ssh-keygen (Debian openssh-client)');
    mkdirSync(join(home, '.ssh'));
    for (const [name, passphrase] of [
      ['open', ''],
      ['locked', 'x y z'],
    ] as const)
      execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', passphrase, '-f', join(home, '.ssh', name)]);
    expect(await findings()).toEqual(['ssh-key .ssh/open']);
  });
});

describe('doctor: exceptions', () => {
  const exception = (over: Record<string, string> = {}) =>
    JSON.stringify({
      exceptions: [
        {
          rule: 'vault-token',
          place: join(home, '.vault-token'),
          owner: 'platform@acme.example',
          reason: 'until the migration is done',
          expires: '2030-06-01',
          ...over,
        },
      ],
    });

  it('cover a finding until their day is over, and no other', async () => {
    put('.vault-token', secret());
    expect((await doctor(['--ci'])).code).toBe(1);
    put('hallpass-exceptions.yaml', exception());
    const { code, out } = await doctor(['--ci']);
    expect(code).toBe(0);
    expect(out).toContain('excepted by platform@acme.example until 2030-06-01');
    expect((await doctor(['--ci'], { PGPASSWORD: secret() })).code).toBe(1);
  });

  it('cover nothing once they have expired, and it is said', async () => {
    put('.vault-token', secret());
    put('hallpass-exceptions.yaml', exception({ expires: '2030-05-31' }));
    const { code, err } = await doctor(['--ci']);
    expect(code).toBe(1);
    expect(err).toContain('has expired');
  });

  it.each([
    [{ place: '*' }, 'no wildcards'],
    [{ rule: '*' }, 'no wildcards'],
    [{ place: '/home/?/.ssh' }, 'no wildcards'],
    [{ owner: ' ' }, 'exceptions.0.owner'],
    [{ reason: 'x' }, 'exceptions.0.reason'],
    [{ expires: '' }, 'exceptions.0.expires'],
    [{ expires: '2031-06-03' }, 'at most 365 days'],
    [{ more: 'x' }, 'more'],
  ])('are refused as a whole with %j', async (over, message) => {
    put('.vault-token', secret());
    put('hallpass-exceptions.yaml', exception(over as Record<string, string>));
    const { code, err } = await doctor(['--ci']);
    expect(code).toBe(2);
    expect(err).toContain(message);
  });

  it('must be there when they are named', async () => {
    expect((await doctor(['--ci', '--exceptions', 'nowhere.yaml'])).code).toBe(2);
  });
});
