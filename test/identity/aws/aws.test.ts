import { AssumeRoleCommand, STSClient } from '@aws-sdk/client-sts';
import fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import { EXIT } from '../../../src/cli/exit-codes.ts';
import { readIdentity } from '../../../src/identity/aws/identity.ts';
import { attestorKind } from '../../../src/identity/aws/kind.ts';
import { QUESTION_TIMEOUT_MS } from '../../../src/identity/aws/limits.ts';
import { systemRuntime } from '../../../src/runtime.ts';
import { commandLine } from '../../cli/support/run.ts';
import { accepted } from '../../conformance/attestor.ts';
import { encodeRequest, type StsFault } from '../../fakes/sts.ts';
import { MOTO_ACCOUNT, NEEDS_MOTO, startMoto } from '../../support/moto.ts';
import { until } from '../../support/runtime.ts';
import { AUDIENCE, openAwsWorld } from './world.ts';

const signal = new AbortController().signal;

async function world(settings?: Record<string, unknown>) {
  const opened = await openAwsWorld(settings);
  onTestFinished(() => opened.sts.close());
  return opened;
}

test('attest: account, role and session, and one use by the signature', async () => {
  const { attestor, runtime, token } = await world();
  const principal = accepted(await attestor.attest(token(), runtime.now(), signal));
  expect(principal.claims).toEqual({
    sub: principal.subject,
    arn: principal.subject,
    account: '123456789012',
    partition: 'aws',
    type: 'assumed-role',
    role: 'etl',
    session: 'nightly',
    unique_id: 'AROATESTTESTTESTTEST1',
  });
  const again = accepted(await attestor.attest(token(), runtime.now(), signal));
  expect(again.proof.singleUse?.id).toBe(principal.proof.singleUse?.id);
  const later = accepted(await attestor.attest(token({ now: runtime.now() }), runtime.now(), signal));
  expect(later.proof.singleUse?.id).not.toBe(principal.proof.singleUse?.id);
});

test('attest: asks once about one request, and not at all about what cannot be good', async () => {
  const { verdict, token, sts } = await world();
  expect(await verdict(token())).toBe('ok');
  expect(await verdict(token())).toBe('ok');
  expect(sts.hits()).toBe(1);
  expect(await verdict(token({ audience: 'https://other.example' }))).toBe('audience');
  expect(sts.hits()).toBe(1);
});

test('attest: an account that is not listed is nobody', async () => {
  const { verdict, token } = await world({ accounts: ['999999999999'] });
  expect(await verdict(token())).toBe('unknown-issuer');
});

test.each<[StsFault, string]>([
  ['status-500', 'keys-unavailable'],
  ['throttle', 'keys-unavailable'],
  ['huge', 'keys-unavailable'],
  ['redirect', 'keys-unavailable'],
  ['not-xml', 'malformed'],
  ['doctype', 'malformed'],
  ['two-arns', 'malformed'],
])('attest: STS answers with %s: nobody is proven (4)', async (fault, reason) => {
  const { verdict, token, sts, runtime } = await world();
  sts.fail(fault);
  expect(await verdict(token())).toBe(reason);
  expect(new Set(runtime.hosts)).toEqual(new Set([sts.host]));
  sts.fail(null);
  expect(await verdict(token())).toBe('ok');
});

test('attest: an STS that hangs is given up', async () => {
  const { verdict, token, sts, runtime } = await world();
  sts.fail('hang');
  const waiting = verdict(token());
  await until(() => sts.hits() === 1);
  await runtime.advance(QUESTION_TIMEOUT_MS);
  expect(await waiting).toBe('keys-unavailable');
});

test('attest: no address in a token is ever asked but the configured ones', async () => {
  const { attestor, runtime, sts, caller } = await world();
  const host = fc.oneof(
    fc.webUrl(),
    fc.string(),
    fc.constantFrom(`${sts.url}?x`, sts.url.slice(0, -1), 'file:///etc/passwd'),
  );
  await fc.assert(
    fc.asyncProperty(host, fc.dictionary(fc.string(), fc.string()), async (url, headers) => {
      const evidence = { kind: 'bearer', token: encodeRequest({ url, headers }) } as const;
      const answer = await attestor.attest(evidence, runtime.now(), signal);
      expect(answer?.ok ?? false).toBe(false);
    }),
    { numRuns: 300 },
  );
  expect(runtime.hosts).toEqual([]);
  expect(caller.account).toBe('123456789012');
});

test('settings: regions become exactly their hosts', () => {
  const describe = (settings: Record<string, unknown>) => {
    const written = attestorKind.settings.parse({ type: 'aws', audience: AUDIENCE, ...settings });
    const resolved = attestorKind.resolve(written, {});
    if (!resolved.ok) throw new Error('unresolved');
    return attestorKind.describe(resolved.value).names;
  };
  expect(describe({ regions: ['eu-west-1', 'us-gov-west-1', 'cn-north-1'] })).toEqual([
    'https://sts.eu-west-1.amazonaws.com/',
    'https://sts.us-gov-west-1.amazonaws.com/',
    'https://sts.cn-north-1.amazonaws.com.cn/',
  ]);
  for (const regions of [[], ['evil.test/'], ['eu-west-1.evil.test'], ['EU-WEST-1'], ['eu-west-1/../x']]) {
    expect(attestorKind.settings.safeParse({ type: 'aws', audience: AUDIENCE, regions }).success).toBe(false);
  }
  expect(attestorKind.settings.safeParse({ type: 'aws', audience: AUDIENCE }).success).toBe(false);
});

test('attest: a request that is signed for another region than its address is refused', async () => {
  const written = attestorKind.settings.parse({
    type: 'aws',
    audience: AUDIENCE,
    regions: ['eu-west-1', 'us-east-1'],
  });
  const resolved = attestorKind.resolve(written, {});
  if (!resolved.ok) throw new Error('unresolved');
  const { runtime, token } = await world();
  const attestor = attestorKind.create('aws', resolved.value, runtime);
  const evidence = token({ url: 'https://sts.us-east-1.amazonaws.com/', region: 'eu-west-1' });
  expect(await attestor.attest(evidence, runtime.now(), signal)).toMatchObject({
    error: { reason: 'malformed' },
  });
  expect(runtime.hosts).toEqual([]);
});

const answer = (arn: string, userId: string, account: string) =>
  Buffer.from(
    `<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>${arn}</Arn><UserId>${userId}</UserId><Account>${account}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`,
  );

test.each([
  ['arn:aws:iam::012345678901:user/team/etl', 'AIDA1', 'user', { user: 'etl' }],
  ['arn:aws:iam::012345678901:root', '012345678901', 'root', {}],
  [
    'arn:aws-cn:sts::012345678901:assumed-role/etl/i-1',
    'AROA1:i-1',
    'assumed-role',
    { role: 'etl', session: 'i-1' },
  ],
  ['arn:aws:sts::012345678901:federated-user/bob', '012345678901:bob', 'federated-user', { user: 'bob' }],
])('readIdentity: %s', (arn, userId, type, members) => {
  expect(readIdentity(answer(arn, userId, '012345678901'))).toMatchObject({
    ok: true,
    value: { arn, type, account: '012345678901', ...members },
  });
});

test.each([
  ['another account', answer('arn:aws:iam::012345678901:user/etl', 'AIDA1', '999999999999')],
  ['another session', answer('arn:aws:sts::012345678901:assumed-role/etl/a', 'AROA1:b', '012345678901')],
  ['a service', answer('arn:aws:iam::012345678901:group/etl', 'AGPA1', '012345678901')],
  ['an entity', answer('&#97;rn:aws:iam::012345678901:root', 'x', '012345678901')],
  ['nothing', Buffer.from('')],
])('readIdentity: refuses %s', (_, xml) => {
  expect(readIdentity(xml).ok).toBe(false);
});

/** Runs `hallpass identity aws` with these credentials in its environment. */
async function commandToken(env: Record<string, string>, endpoint: string): Promise<string> {
  const before = { ...process.env };
  Object.assign(process.env, { AWS_EC2_METADATA_DISABLED: 'true', ...env });
  try {
    const { run, written } = commandLine();
    const args = ['--audience', AUDIENCE, '--region', 'eu-west-1', '--endpoint', endpoint];
    expect(await run('identity', 'aws', ...args), written.err).toBe(EXIT.done);
    return written.out.trim();
  } finally {
    for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name];
    Object.assign(process.env, before);
  }
}

test('identity aws: what it prints is accepted, and holds no secret', async () => {
  const { attestor, sts, caller } = await openAwsWorldNow();
  const env = {
    AWS_ACCESS_KEY_ID: caller.accessKeyId,
    AWS_SECRET_ACCESS_KEY: caller.secretAccessKey,
    AWS_SESSION_TOKEN: caller.sessionToken ?? '',
  };
  const token = await commandToken(env, sts.url);
  expect(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()).not.toContain(
    caller.secretAccessKey,
  );
  const verdict = await attestor.attest({ kind: 'bearer', token }, Date.now(), signal);
  expect(accepted(verdict).claims.role).toBe('etl');
});

/** A world on the real clock, for what signs with that. */
async function openAwsWorldNow() {
  const { fakeSession, startFakeSts } = await import('../../fakes/sts.ts');
  const caller = fakeSession('etl', 'nightly');
  const sts = await startFakeSts([caller], Date.now);
  onTestFinished(() => sts.close());
  return { caller, sts, attestor: attestorFor(sts.url) };
}

function attestorFor(endpoint: string) {
  const written = attestorKind.settings.parse({
    type: 'aws',
    audience: AUDIENCE,
    endpoint,
    allow_insecure_http: true,
  });
  const resolved = attestorKind.resolve(written, {});
  if (!resolved.ok) throw new Error('unresolved');
  return attestorKind.create('aws', resolved.value, systemRuntime);
}

test('identity aws: moto, with signatures enforced, knows its user and its role, and refuses a wrong secret', {
  timeout: 60_000,
}, async (context) => {
  const moto = await startMoto();
  if (moto === null) return context.skip(NEEDS_MOTO);
  onTestFinished(() => moto[Symbol.asyncDispose]());
  const allowed = { Effect: 'Allow', Action: '*', Resource: '*' };
  const { accessKeyId, secretAccessKey } = await moto.addUser('etl', [allowed]);
  const role = await moto.addRole('nightly', 'etl', [allowed]);
  await moto.enforce();
  const attestor = attestorFor(moto.url);
  const verdictOf = async (env: Record<string, string>) =>
    attestor.attest({ kind: 'bearer', token: await commandToken(env, moto.url) }, Date.now(), signal);
  const user = { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey };
  expect(accepted(await verdictOf(user)).claims).toMatchObject({
    account: MOTO_ACCOUNT,
    type: 'user',
    user: 'etl',
  });
  const forged = await verdictOf({ ...user, AWS_SECRET_ACCESS_KEY: secretAccessKey.slice(1) });
  expect(forged).toMatchObject({ error: { reason: 'signature' } });
  const sts = new STSClient({
    endpoint: moto.url,
    region: 'eu-west-1',
    credentials: { accessKeyId, secretAccessKey },
  });
  const { Credentials } = await sts.send(new AssumeRoleCommand({ RoleArn: role, RoleSessionName: 'run-1' }));
  sts.destroy();
  const session = {
    AWS_ACCESS_KEY_ID: Credentials?.AccessKeyId ?? '',
    AWS_SECRET_ACCESS_KEY: Credentials?.SecretAccessKey ?? '',
    AWS_SESSION_TOKEN: Credentials?.SessionToken ?? '',
  };
  expect(accepted(await verdictOf(session)).claims).toMatchObject({
    account: MOTO_ACCOUNT,
    type: 'assumed-role',
    role: 'nightly',
    session: 'run-1',
  });
});
