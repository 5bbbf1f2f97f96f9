import { decodeJwt } from 'jose';
import { afterAll, afterEach, beforeAll, expect, onTestFinished, test } from 'vitest';
import { mayHaveTakenEffect } from '../../../src/errors.ts';
import { provider } from '../../../src/providers/google/provider.ts';
import type { GoogleScope } from '../../../src/providers/google/settings.ts';
import type { Target } from '../../../src/providers/provider.ts';
import { systemRuntime } from '../../../src/runtime.ts';
import { failure, soon, termsOf } from '../../conformance/provider.ts';
import { ACCOUNT, scopeOf, startGoogleWorld } from './world.ts';

const HOUR = 3_600_000;
let world: Awaited<ReturnType<typeof startGoogleWorld>>;
beforeAll(async () => {
  world = await startGoogleWorld();
});
afterEach(() => {
  world.google.before = null;
});
afterAll(() => world.stop());

function open(over: object = {}, port?: number, signed = true): Target<GoogleScope> {
  const target = provider.open(world.settings(over, port), {
    runtime: systemRuntime,
    target: 'conformance',
    mark: 'hp_test_',
    ...(signed ? { identityToken: world.identityToken } : {}),
  });
  onTestFinished(() => target.close());
  return target;
}

const lasting = (ms: number) => {
  const terms = termsOf();
  return { ...terms, expiresAt: terms.now + ms };
};

test('mint: an access token for the account and scopes, no longer than the lease; its name is the reason in the audit log', async () => {
  const terms = termsOf();
  const { secret, expiresAt } = await open({ project: 'acme' }).mint(scopeOf(), terms, soon());
  const made = world.google.made.find(({ reason }) => reason === terms.name);
  expect(made).toMatchObject({
    token: secret.values.access_token,
    account: ACCOUNT,
    scopes: scopeOf().scopes,
  });
  expect(made!.expiresAt).toBeLessThanOrEqual(terms.expiresAt);
  expect(expiresAt).toBe(made!.expiresAt);
  expect(secret).toMatchObject({ type: 'google', values: { service_account: ACCOUNT, project: 'acme' } });
});

test('mint: only the token that is limited to the boundary is handed out', async () => {
  const boundary = [
    {
      resource: '//storage.googleapis.com/projects/_/buckets/reports',
      permissions: ['inRole:roles/storage.objectViewer'],
      condition: { expression: "resource.name.startsWith('projects/_/buckets/reports/objects/eu/')" },
    },
  ];
  const { secret } = await open().mint(scopeOf({ boundary }), termsOf(), soon());
  const token = secret.values.access_token!;
  expect(world.google.mayRead(token, 'reports')).toBe(true);
  expect(world.google.mayRead(token, 'payroll')).toBe(false);
});

test('mint: a boundary that Google refuses hands out nothing', async () => {
  const boundary = [
    { resource: '//storage.googleapis.com/projects/_/buckets/reports', permissions: ['inRole:roles/x'] },
  ];
  world.google.before = (path) =>
    path === '/v1/token' && world.google.made.length > before
      ? { status: 400, body: { error: 'invalid_request', error_description: 'no such role' } }
      : undefined;
  const before = world.google.made.length;
  const error = await failure(open().mint(scopeOf({ boundary }), termsOf(), soon()));
  expect(error).toMatchObject({
    vendorCode: 'invalid_request',
    message: expect.stringContaining('boundary'),
  });
  // The wide token was made by then.
  expect(world.google.made.length).toBe(before + 1);
  expect(mayHaveTakenEffect(error)).toBe(true);
});

test('mint: an ID token for an audience, and only where its hour fits into the lease', async () => {
  const scope = scopeOf({
    scopes: undefined,
    id_token: { audience: 'https://run.example', include_email: true },
  });
  const error = await failure(open().mint(scope, lasting(HOUR), soon()));
  expect(error).toMatchObject({ code: 'target-refused', message: expect.stringContaining('61m') });
  const terms = lasting(HOUR + 60_000);
  const { secret, expiresAt } = await open().mint(scope, terms, soon());
  const claims = decodeJwt(secret.values.id_token!);
  expect(claims).toMatchObject({ aud: 'https://run.example', email: ACCOUNT });
  expect(expiresAt).toBe(claims.exp! * 1000);
  expect(expiresAt).toBeLessThanOrEqual(terms.expiresAt);
});

test('mint: through delegates, each of which must be allowed to', async () => {
  const [between, last] = ['between@acme.iam.gserviceaccount.com', 'last-one@acme.iam.gserviceaccount.com'];
  const scope = scopeOf({ service_account: last, delegates: [between] });
  world.google.allow('hallpass:target:conformance', between);
  expect(await failure(open().mint(scope, termsOf(), soon()))).toMatchObject({ code: 'target-forbidden' });
  world.google.allow(between, last);
  await open().mint(scope, termsOf(), soon());
});

test('mint: more than an hour only where the operator said so, and Google agrees', async () => {
  const scope = scopeOf();
  expect(await failure(open().mint(scope, lasting(2 * HOUR), soon()))).toMatchObject({
    code: 'target-refused',
    message: expect.stringContaining('extended_lifetime'),
  });
  const extended = open({ extended_lifetime: true });
  expect(await failure(extended.mint(scope, lasting(2 * HOUR), soon()))).toMatchObject({
    code: 'target-refused',
    vendorCode: 'INVALID_ARGUMENT',
  });
  world.google.extended.add(ACCOUNT);
  await extended.mint(scope, lasting(2 * HOUR), soon());
  world.google.extended.delete(ACCOUNT);
});

test('connection: one exchange serves many mints at once; a broker without keys is told what to write', async () => {
  const target = open();
  const before = world.google.exchanges;
  await Promise.all(Array.from({ length: 8 }, () => target.mint(scopeOf(), termsOf(), soon())));
  expect(world.google.exchanges).toBe(before + 1);
  const error = await failure(open({}, undefined, false).mint(scopeOf(), termsOf(), soon()));
  expect(error).toMatchObject({
    code: 'target-refused',
    message: expect.stringContaining('keys.master_key_file'),
  });
});

test.each([
  [400, 'INVALID_ARGUMENT', 'target-refused'],
  [403, 'PERMISSION_DENIED', 'target-forbidden'],
  [404, 'NOT_FOUND', 'target-refused'],
  [429, 'RESOURCE_EXHAUSTED', 'target-throttled'],
  [500, 'INTERNAL', 'target-failed'],
  [503, 'UNAVAILABLE', 'target-unreachable'],
  [504, 'DEADLINE_EXCEEDED', 'target-timeout'],
])('mint: an answer of %i %s is %s, asked once', async (status, name, code) => {
  let asked = 0;
  world.google.before = (path) => {
    if (!path.includes(':generate')) return undefined;
    asked++;
    return { status, body: { error: { code: status, status: name, message: 'no' } } };
  };
  expect(await failure(open().mint(scopeOf(), termsOf(), soon()))).toMatchObject({ code, vendorCode: name });
  // A refused identity is asked for once more with a fresh token, by Google's client.
  expect(asked).toBeLessThanOrEqual(status === 403 ? 2 : 1);
});

test('selfTest: names the binding that is missing, down the chain of delegates', async () => {
  const between = 'someone@acme.iam.gserviceaccount.com';
  const { ok, remedies } = await open().selfTest(soon(), [
    scopeOf({ delegates: [between] }),
    { service_account: '{{ x }}' },
  ]);
  expect(ok).toBe(false);
  expect(remedies).toEqual([
    `gcloud iam service-accounts add-iam-policy-binding ${between} --role=roles/iam.serviceAccountTokenCreator --member='principal://iam.googleapis.com/projects/123456789/locations/global/workloadIdentityPools/hallpass/subject/hallpass:target:conformance'`,
    `gcloud iam service-accounts add-iam-policy-binding ${ACCOUNT} --role=roles/iam.serviceAccountTokenCreator --member='serviceAccount:${between}'`,
  ]);
});

test('scope: what it refuses', () => {
  const scopes = ['https://www.googleapis.com/auth/cloud-platform'];
  const rule = {
    resource: '//storage.googleapis.com/projects/_/buckets/b-1',
    permissions: ['inRole:roles/x'],
  };
  for (const scope of [
    { service_account: ACCOUNT },
    { service_account: ACCOUNT, scopes, id_token: { audience: 'x' } },
    { service_account: 'someone@gmail.com', scopes },
    { service_account: `${ACCOUNT}/../x`, scopes },
    { service_account: ACCOUNT, scopes: ['https://evil.example/auth/x'] },
    { service_account: ACCOUNT, scopes, boundary: [{ ...rule, resource: '//bigquery.googleapis.com/x' }] },
    { service_account: ACCOUNT, scopes, boundary: Array.from({ length: 11 }, () => rule) },
    { service_account: ACCOUNT, id_token: { audience: 'x' }, boundary: [rule] },
  ])
    expect(provider.scope.safeParse(scope).success, JSON.stringify(scope)).toBe(false);
});

test('templating: a parameter cannot leave its name, nor its string in a condition', () => {
  const { filters, defaultFilter } = provider.templating;
  expect(defaultFilter(['boundary', 0, 'condition', 'expression'])).toBe('literal');
  expect(defaultFilter(['service_account'])).toBe('segment');
  expect(filters.literal!(`a' || true || '`)).toBe(`'a\\' || true || \\''`);
  expect(filters.literal!('\\')).toBe(`'\\\\'`);
  expect(() => filters.literal!('a\nb')).toThrow(RangeError);
  for (const value of ['a@b', 'a/b', '..', '']) expect(() => filters.segment!(value)).toThrow(RangeError);
});
