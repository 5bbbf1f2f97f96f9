import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { fromContainerMetadata, fromHttp } from '@aws-sdk/credential-providers';
import { Compute, GoogleAuth } from 'google-auth-library';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { deliveryWorld, has } from './support/delivery.ts';

let world: Awaited<ReturnType<typeof deliveryWorld>>;
let agent: Awaited<ReturnType<typeof world.agent>>;
let token: string;

beforeAll(async () => {
  world = await deliveryWorld();
  agent = await world.agent('--gce', '--credential', 'aws', '--credential', 'google', '--credential', 'db');
  token = readFileSync(agent.variables.AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE!, 'utf8');
});
afterAll(() => world[Symbol.asyncDispose]());

/** The secret that the broker gave last for this credential: it can be recognized by its lease. */
const leaseOf = (name: string) =>
  [...world.verbs.leases.values()].filter(({ credential }) => credential === name).at(-1)!;
const keyId = () => `ASIA${leaseOf('aws').id.slice(-16).toUpperCase()}`;

interface Asked {
  readonly status: number;
  readonly body: string;
  readonly headers: Record<string, unknown>;
}

/** A request as it is, with whatever Host it says. */
function ask(url: string, headers: Record<string, string> = {}, options: object = {}): Promise<Asked> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { headers, ...options }, (answer) => {
      let body = '';
      answer.on('data', (chunk: Buffer) => (body += chunk));
      answer.once('end', () => resolve({ status: answer.statusCode ?? 0, body, headers: answer.headers }));
    });
    asked.once('error', reject);
    asked.end();
  });
}

describe('agent: programs that are not ours, as they are', () => {
  it('the aws CLI', async (ctx) => {
    if (!has('aws')) return ctx.skip('needs the aws CLI (PyPI awscli)');
    const { out, err } = await world.start('aws', ['configure', 'list'], agent.variables).ended;
    expect(err).toBe('');
    expect(out).toMatch(new RegExp(`access_key.*${keyId().slice(-4)}.*container-role`));
  });

  it('boto3', async (ctx) => {
    const script =
      'import boto3; print(boto3.Session().get_credentials().get_frozen_credentials().access_key)';
    const { code, out, err } = await world.start('python3', ['-c', script], agent.variables).ended;
    if (code !== 0 && err.includes('No module named')) return ctx.skip('needs boto3 (PyPI boto3)');
    expect([out.trim(), err]).toEqual([keyId(), '']);
  });

  it('the AWS SDK for JavaScript: fromHttp', async () => {
    const provide = fromHttp({
      awsContainerCredentialsFullUri: agent.variables.AWS_CONTAINER_CREDENTIALS_FULL_URI!,
      awsContainerAuthorizationTokenFile: agent.variables.AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE!,
    });
    expect(await provide()).toMatchObject({ accessKeyId: keyId(), expiration: expect.any(Date) });
  });

  it('the AWS SDK for JavaScript: fromContainerMetadata', async () => {
    onTestFinished(() => void vi.unstubAllEnvs());
    vi.stubEnv('AWS_CONTAINER_CREDENTIALS_FULL_URI', agent.variables.AWS_CONTAINER_CREDENTIALS_FULL_URI);
    vi.stubEnv('AWS_CONTAINER_AUTHORIZATION_TOKEN', token);
    expect(await fromContainerMetadata()()).toMatchObject({ accessKeyId: keyId() });
  });

  it("Google's library, by external account: the token_url takes our token and answers the access token", async () => {
    const auth = new GoogleAuth({
      keyFilename: agent.variables.GOOGLE_APPLICATION_CREDENTIALS!,
      scopes: ['https://www.googleapis.com/auth/cloud-platform'],
    });
    expect(await auth.getAccessToken()).toMatch(/^ya29\./);
  });

  it("Google's library, by the metadata server", async () => {
    onTestFinished(() => void vi.unstubAllEnvs());
    vi.stubEnv('GCE_METADATA_HOST', agent.variables.GCE_METADATA_HOST);
    const { token: access } = await new Compute().getAccessToken();
    expect(access).toMatch(/^ya29\./);
    const where = `http://${agent.variables.GCE_METADATA_HOST}/computeMetadata/v1/project/project-id`;
    const answer = await ask(where, { 'metadata-flavor': 'Google' });
    expect([answer.status, answer.body]).toEqual([200, 'acme-data']);
  });

  it('whatever reads files: the login is in one of mode 0600, and never in the list of variables', () => {
    const { PGPASSFILE = '', PGUSER } = agent.variables;
    expect(PGUSER).toBe(`hp_test_${leaseOf('db').id}`);
    expect(readFileSync(PGPASSFILE, 'utf8')).toContain(PGUSER);
    for (const file of readdirSync(agent.dir)) expect(statSync(join(agent.dir, file)).mode & 0o077).toBe(0);
    expect(Object.keys(agent.variables).filter((name) => /KEY|SECRET|SESSION/.test(name))).toEqual([]);
  });
});

it('agent: its file hides static keys and passwords that would win over what it gives', async (ctx) => {
  if (!has('aws')) return ctx.skip('needs the aws CLI (PyPI awscli)');
  const fixed = { AWS_ACCESS_KEY_ID: 'AKIASTATICSTATIC', AWS_SECRET_ACCESS_KEY: 'x', PGPASSWORD: 'x' };
  const script = `. ${join(agent.dir, 'env')}; echo "[$PGPASSWORD]"; aws configure list`;
  const { out } = await world.start('/bin/sh', ['-c', script], fixed).ended;
  expect(out).toContain('[]');
  expect(out).toMatch(new RegExp(`access_key.*${keyId().slice(-4)}.*container-role`));
});

describe('agent: who may ask', () => {
  const aws = () => agent.variables.AWS_CONTAINER_CREDENTIALS_FULL_URI!;
  const gce = () =>
    `http://${agent.variables.GCE_METADATA_HOST}/computeMetadata/v1/instance/service-accounts/default/token`;
  const flavor = { 'metadata-flavor': 'Google' };

  it('answers who proves it, so that the refusals below mean something', async () => {
    expect((await ask(aws(), { authorization: token })).status).toBe(200);
    const answer = await ask(gce(), flavor);
    expect([answer.status, answer.headers['metadata-flavor']]).toEqual([200, 'Google']);
  });

  it.each([{}, { authorization: 'x' }, { authorization: `Bearer x` }])('AWS: refuses %j', async (headers) => {
    const answer = await ask(aws(), headers as Record<string, string>);
    expect(answer.status).toBe(403);
    expect(answer.body).not.toContain('ASIA');
  });

  it.each([
    { host: 'evil.example' },
    { host: 'evil.example:80' },
    { host: '169.254.169.254' },
    { 'x-forwarded-for': '10.0.0.1' },
    { forwarded: 'for=10.0.0.1' },
    { origin: 'http://localhost' },
  ])('refuses %j on every endpoint, with every proof', async (foreign) => {
    for (const [url, proof] of [
      [aws(), { authorization: token }],
      [gce(), flavor],
    ] as const) {
      const answer = await ask(url, { ...proof, ...(foreign as Record<string, string>) });
      expect(answer.status).toBe(403);
      expect(answer.body).not.toMatch(/ASIA|ya29/);
    }
  });

  it('Google metadata: refuses without its header', async () => {
    expect((await ask(gce())).status).toBe(403);
  });

  it('Google metadata: refuses another user of the machine', async (ctx) => {
    if (process.getuid?.() !== 0) return ctx.skip('needs root, to be another user');
    const script = `const http = require('node:http');
      process.setgid(65534); process.setuid(65534);
      http.get(process.argv[1], { headers: { 'Metadata-Flavor': 'Google' } }, (a) => { console.log(a.statusCode); a.destroy(); });`;
    const { out } = await world.start(process.execPath, ['-e', script, gce()]).ended;
    expect(out.trim()).toBe('403');
  });

  it('token_url: refuses a subject token that is not ours', async () => {
    const url = `${new URL(aws()).origin}/google/token`;
    const form = (subject: string) =>
      new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: subject,
      });
    const refused = await fetch(url, { method: 'POST', body: form('x') });
    expect(refused.status).toBe(401);
    expect((await fetch(url, { method: 'POST', body: form(token) })).status).toBe(200);
    expect((await fetch(url, { method: 'POST', body: `x=${'y'.repeat(20_000)}` })).status).toBe(413);
  });

  it('keeps its secrets in no folder that others can enter, and follows no link to one', async () => {
    const open = join(world.home, 'open');
    mkdirSync(open, { mode: 0o755 });
    symlinkSync(agent.dir, join(world.home, 'link'));
    for (const dir of [open, join(world.home, 'link')]) {
      const { code, err } = await world.hallpass(['agent', '--grant', 'reports', '--task', 'x', '--dir', dir])
        .ended;
      expect(code).toBe(2);
      expect(err).toContain('mode 0700');
    }
  });

  it('does not displace an agent that runs', async () => {
    const args = ['agent', '--grant', 'reports', '--task', 'x', '--dir', agent.dir];
    const { code, err } = await world.hallpass(args).ended;
    expect([code, err]).toEqual([2, expect.stringContaining('an agent runs')]);
    expect(existsSync(join(agent.dir, 'agent.sock'))).toBe(true);
  });
});

describe('agent: its life', () => {
  it('opens one task for a hundred who ask at once', async () => {
    const before = world.verbs.tasks.size;
    const url = agent.variables.AWS_CONTAINER_CREDENTIALS_FULL_URI!;
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => ask(url, { authorization: token }, { agent: false })),
    );
    expect(new Set(answers.map(({ body }) => body)).size).toBe(1);
    expect(world.verbs.tasks.size).toBe(before);
  });

  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)(
    'completes its task and leaves no secret on %s',
    async (signal) => {
      const own = await world.agent('--credential', 'db');
      const task = [...world.verbs.tasks.values()].at(-1)!;
      expect(task.state).toBe('open');
      own.child.kill(signal);
      expect((await own.ended).code).toBe(0);
      expect(world.verbs.tasks.get(task.id)).toMatchObject({ state: 'ended', endReason: 'completed' });
      expect(readdirSync(own.dir)).toEqual([]);
    },
  );
});
