import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { GetObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { createClient } from '../../src/client/client.ts';
import type { Secret } from '../../src/http/contract.ts';
import { startSessionGate } from '../fakes/session-gate.ts';
import { startIssuer, type TestIssuer } from '../support/issuer.ts';
import { findProgram, type Moto, NEEDS_MOTO, startMoto } from '../support/moto.ts';
import { freePort } from '../support/ports.ts';
import { MAIN, startBroker, TSX } from './broker-process.ts';
import { type Chapter, conclude, createReporter, type DemoOptions, type Reporter } from './report.ts';
import { problemOf, theOne, until } from './tools.ts';

/** `npm run demo -- --provider aws`: sessions limited to a prefix, against moto. Answers the exit code. */

const AUDIENCE = 'hallpass-demo';
const BUCKET = 'acme-reports';
const CI_JOB = { sub: 'repo:acme/reports:ref:refs/heads/main', repository_id: '4711' };
const STRANGER = { sub: 'repo:mallory/reports:ref:refs/heads/main', repository_id: '6666' };
const OPERATOR = { sub: 'repo:acme/platform:ref:refs/heads/main', repository_id: '1' };

export async function demoAws(options: DemoOptions, print: (text: string) => void): Promise<number> {
  const startedAt = performance.now();
  const moto = await startMoto();
  if (moto === null) {
    print(`This demo ${NEEDS_MOTO}: install it, or see the other one with: npm run demo`);
    return 2;
  }
  const reporter = createReporter(print);
  await using world = await buildAwsWorld(moto);
  print(
    'A bucket in moto with its IAM enforced, and before it a gate for session policies, which moto does not know.',
  );
  const broker = await startBroker(world.configuration, world.url);
  try {
    await tellStory(world, reporter);
  } finally {
    await broker.stop();
  }
  return conclude(reporter, startedAt, options, print);
}

interface AwsWorld extends AsyncDisposable {
  readonly url: string;
  readonly configuration: string;
  readonly folder: string;
  /** The address of AWS. */
  readonly endpoint: string;
  readonly issuer: TestIssuer;
}

async function buildAwsWorld(moto: Moto): Promise<AwsWorld> {
  const gate = await startSessionGate(moto);
  const issuer = await startIssuer({ algorithms: ['ES256'] });
  const folder = await mkdtemp(join(tmpdir(), 'hallpass-demo-'));
  await moto.putObjects(BUCKET, { 'eu/january.csv': 'eu,1', 'us/january.csv': 'us,1' });
  const keys = await moto.addUser('hallpass', [
    { Effect: 'Allow', Action: 'sts:AssumeRole', Resource: 'arn:aws:iam::123456789012:role/*' },
    {
      Effect: 'Allow',
      Action: ['iam:ListRolePolicies', 'iam:PutRolePolicy', 'iam:DeleteRolePolicy'],
      Resource: '*',
    },
  ]);
  const reads = [{ Effect: 'Allow', Action: 's3:GetObject', Resource: `arn:aws:s3:::${BUCKET}/*` }];
  const reports = await moto.addRole('reports', 'hallpass', reads);
  const exports = await moto.addRole('exports', 'hallpass', reads);
  await moto.enforce();
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const configuration = join(folder, 'hallpass.yaml');
  const secretFile = join(folder, 'secret-access-key');
  await writeFile(secretFile, keys.secretAccessKey, { mode: 0o600 });
  const target = (more: string) => `    provider: aws
    region: us-east-1
    credentials: { source: static, access_key_id: ${keys.accessKeyId}, secret_access_key_file: ${secretFile} }
    insecure_endpoints: { sts: ${gate.url}, iam: ${gate.url} }
${more}`;
  const grant = (name: string, role: string, at: string) => `  ${name}:
    who: [{ issuer: ci, claims: { repository_id: "4711" } }]
    tasks: [${name}]
    parameters: { region: { type: string, enum: [eu, us], default: eu } }
    credentials:
      bucket:
        target: ${at}
        ttl: { default: 15s, max: 1h }
        scope:
          role_arn: ${role}
          session_policy:
            - { Effect: Allow, Action: s3:GetObject, Resource: "arn:aws:s3:::${BUCKET}/{{ parameters.region }}/*" }
`;
  await writeFile(
    configuration,
    `broker:
  url: ${url}
  listen: 127.0.0.1:${port}
  state_directory: ${join(folder, 'state')}
issuers:
  ci: { type: oidc, issuer: "${issuer.url}", audience: ${AUDIENCE}, allow_insecure_http: true }
targets:
  lake:
${target('')}
  lake-with-denial:
${target(`    denial: { roles: ["${exports}"], propagation_seconds: 3 }\n`)}
grants:
${grant('report', reports, 'lake')}${grant('export', exports, 'lake-with-denial')}
access:
  - { role: operator, issuer: ci, claims: { repository_id: "1" } }
`,
    { mode: 0o600 },
  );
  return {
    url,
    configuration,
    folder,
    endpoint: gate.url,
    issuer,
    async [Symbol.asyncDispose]() {
      await issuer.close();
      await gate.close();
      await moto[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function tellStory(world: AwsWorld, reporter: Reporter): Promise<void> {
  await ciJob(world, reporter.chapter('A CI job exchanges its token for a session limited to one prefix'));
  await refusals(world, reporter.chapter('A stranger, and a job that wants more'));
  await expiry(world, reporter.chapter('Its task ends, and AWS cannot withdraw a session'));
  await denial(world, reporter.chapter('Where the operator lets the broker deny sessions, it ends at once'));
}

async function ciJob(world: AwsWorld, { claim }: Chapter): Promise<void> {
  const job = [
    process.execPath,
    '--no-deprecation',
    '--import',
    TSX,
    join(import.meta.dirname, 'aws-job.ts'),
  ];
  const said = JSON.parse((await exec(world, job)) || '{}') as Record<string, string>;
  claim(
    '`hallpass exec` ran an ordinary program, which read its prefix',
    said.own === 'eu,1',
    said.own ?? 'nothing',
  );
  claim('it was refused the prefix beside it', said.other === 'AccessDenied', said.other);
  claim('it was refused to write', said.write === 'AccessDenied', said.write);
  const aws = await findProgram('aws');
  if (aws === null) return;
  const command = [aws, '--endpoint-url', world.endpoint, 's3', 'cp', `s3://${BUCKET}/eu/january.csv`, '-'];
  const text = await exec(world, command);
  claim('so did the aws command line', text === 'eu,1', text.slice(0, 60));
}

async function refusals(world: AwsWorld, { claim }: Chapter): Promise<void> {
  const stranger = await problemOf(clientFor(world, STRANGER).openTask({ grant: 'report', task: 'report' }));
  claim('another repository is refused', stranger === 'not-allowed', stranger);
  const wide = await problemOf(
    clientFor(world, CI_JOB).openTask({ grant: 'report', task: 'report', parameters: { region: '*' } }),
  );
  claim('a wildcard in place of a region is refused', wide === 'not-allowed', wide);
}

async function expiry(world: AwsWorld, { claim }: Chapter): Promise<void> {
  const task = await clientFor(world, CI_JOB).openTask({ grant: 'report', task: 'report' });
  const credential = theOne(task);
  await task.complete(0);
  const { state } = await clientFor(world, OPERATOR).readLease(credential.lease.id);
  claim('the lease is not said to have ended', state === 'ending', state);
  claim('its session still works, as AWS has it', (await readWith(world, credential.secret)) === 'eu,1');
  const lease = await ended(world, credential.lease.id);
  claim(
    'when its time is up the outcome is "expired"',
    lease?.outcome === 'expired',
    lease?.outcome ?? 'none',
  );
  const after = await readWith(world, credential.secret);
  claim('and its own dated Deny refuses it, 15 minutes before STS would', after === 'AccessDenied', after);
}

async function denial(world: AwsWorld, { claim }: Chapter): Promise<void> {
  const task = await clientFor(world, CI_JOB).openTask({
    grant: 'export',
    task: 'export',
    ttl_seconds: 3_000,
  });
  const credential = theOne(task);
  claim('the session works', (await readWith(world, credential.secret)) === 'eu,1');
  await task.complete(0);
  const after = await readWith(world, credential.secret);
  claim('when the task ends the session is refused', after === 'AccessDenied', after);
  const { state } = await clientFor(world, OPERATOR).readLease(credential.lease.id);
  claim('the lease ends no sooner than the denial is in force everywhere', state === 'ending', state);
  const lease = await ended(world, credential.lease.id);
  claim('then the outcome is "denied"', lease?.outcome === 'denied', lease?.outcome ?? 'none');
}

function ended(world: AwsWorld, leaseId: string) {
  return until(async () => {
    const lease = await clientFor(world, OPERATOR).readLease(leaseId);
    return lease.state === 'ended' ? lease : undefined;
  });
}

type Claims = typeof CI_JOB;

function clientFor({ url, issuer }: AwsWorld, claims: Claims) {
  return createClient({ url, token: () => issuer.sign({ aud: AUDIENCE, ...claims }) });
}

async function readWith({ endpoint }: AwsWorld, { values }: Secret): Promise<string> {
  const s3 = new S3Client({
    endpoint,
    region: values.region ?? '',
    forcePathStyle: true,
    maxAttempts: 1,
    credentials: {
      accessKeyId: values.access_key_id ?? '',
      secretAccessKey: values.secret_access_key ?? '',
      sessionToken: values.session_token ?? '',
    },
  });
  try {
    const { Body } = await s3.send(new GetObjectCommand({ Bucket: BUCKET, Key: 'eu/january.csv' }));
    return (await Body?.transformToString()) ?? '';
  } catch (error) {
    return (error as Error).name;
  } finally {
    s3.destroy();
  }
}

/** Runs a command under `hallpass exec`, as a CI system would; answers what it printed. */
async function exec(world: AwsWorld, command: readonly string[]): Promise<string> {
  const tokenFile = join(world.folder, `token-${crypto.randomUUID()}`);
  await writeFile(tokenFile, await world.issuer.sign({ aud: AUDIENCE, ...CI_JOB }), { mode: 0o600 });
  const args = ['--import', TSX, MAIN, 'exec', '--grant', 'report', '--task', 'report', '--', ...command];
  const env = {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    AWS_ENDPOINT_URL: world.endpoint,
    HALLPASS_URL: world.url,
    HALLPASS_TOKEN_FILE: tokenFile,
  };
  return promisify(execFile)(process.execPath, args, { env }).then(
    ({ stdout }) => stdout,
    (error: { stdout: string; stderr: string }) => error.stdout || error.stderr,
  );
}
