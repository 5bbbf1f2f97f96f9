import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { mayHaveTakenEffect } from '../../../src/errors.ts';
import type { Json } from '../../../src/json.ts';
import { systemRuntime } from '../../../src/runtime.ts';
import { failure, soon, termsOf } from '../../conformance/provider.ts';
import { ACCOUNT, AwsFault } from '../../fakes/aws-sts.ts';
import { startIssuer, type TestIssuer } from '../../support/issuer.ts';
import { type AwsWorld, BUCKET, onlyUnder, read, scope, startAwsWorld } from './world.ts';

let world: AwsWorld;
let issuer: TestIssuer;
beforeAll(async () => {
  world = await startAwsWorld();
  issuer = await startIssuer();
});
beforeEach(() => {
  world.aws.fault = () => {};
  world.aws.now = Date.now;
  world.aws.calls.length = 0;
});
afterAll(async () => {
  await world.stop();
  await issuer.close();
});

const lastCall = () =>
  world.aws.calls.findLast(({ action }) => action.startsWith('AssumeRole'))?.parameters ?? {};

describe('mint, AssumeRole against a strict fake of AWS', () => {
  test('mint: CloudTrail leads to the lease: session name, source identity, tags', async () => {
    const terms = termsOf();
    await world.open().mint(scope({ tags: { team: 'etl' }, transitive_tags: ['team'] }), terms, soon());
    const session = world.aws.sessions.at(-1);
    expect(session).toMatchObject({ name: terms.name, sourceIdentity: terms.name });
    expect(session?.tags).toEqual({
      team: 'etl',
      'hallpass:task': 'orders',
      'hallpass:grant': 'nightly',
      'hallpass:subject': 'batch',
    });
    expect(lastCall()['TransitiveTagKeys.member.1']).toBe('team');
  });

  test('mint: a short lease is refused by its own policy when its time is up, while its session lives on', async () => {
    const now = Date.now();
    const terms = { ...termsOf(), now, expiresAt: now + 60_000 };
    const minted = await world.open().mint(onlyUnder('eu'), terms, soon());
    expect(minted.expiresAt).toBe(Math.floor(terms.expiresAt / 1000) * 1000);
    expect(await read(minted.secret, world.aws.url, 'eu/january.csv')).toBe('eu,1');
    world.aws.now = () => minted.expiresAt;
    expect(world.aws.sessions.at(-1)?.expiresAt).toBeGreaterThan(minted.expiresAt);
    expect(await read(minted.secret, world.aws.url, 'eu/january.csv')).toBe('AccessDenied');
  });

  test('mint: reports the expiry that AWS gave', async () => {
    const now = Date.now();
    const minted = await world
      .open()
      .mint(scope(), { ...termsOf(), now, expiresAt: now + 3_600_000 }, soon());
    expect(minted.expiresAt).toBe(world.aws.sessions.at(-1)?.expiresAt);
    expect(minted.expiresAt).toBeLessThanOrEqual(now + 3_600_000);
  });

  test('mint: fails where the clock of AWS disagrees with ours', async () => {
    for (const ms of [-30_000, 30_000]) {
      world.aws.now = () => Date.now() + ms;
      expect(await failure(world.open().mint(scope(), termsOf(), soon()))).toMatchObject({
        code: 'target-failed',
      });
    }
  });

  test('mint: a session that STS began after its window outlasts its lease, and is not handed out', async () => {
    const now = Date.now();
    const terms = { ...termsOf(), now, mintBefore: now + 2_000, expiresAt: now + 1_802_000 };
    world.aws.now = () => Date.now() + 5_000;
    expect(await failure(world.open().mint(scope(), terms, soon()))).toMatchObject({
      code: 'target-failed',
      message: expect.stringContaining('outlasts its lease'),
    });
  });

  test('mint: throttled is throttled, without effect, and says when to come back', async () => {
    world.aws.fault = () => {
      throw new AwsFault(400, 'Throttling', 'Rate exceeded', { 'retry-after': '1' });
    };
    const error = await failure(world.open().mint(scope(), termsOf(), soon()));
    expect(error).toMatchObject({ code: 'target-throttled', vendorCode: 'Throttling', retryAfterMs: 1_000 });
    expect(mayHaveTakenEffect(error)).toBe(false);
  });

  test('mint: is tried again when throttled once', async () => {
    let first = true;
    world.aws.fault = () => {
      if (first) {
        first = false;
        throw new AwsFault(400, 'Throttling', 'Rate exceeded');
      }
    };
    await world.open().mint(scope(), termsOf(), soon());
  });

  test('mint: a packed policy that is too large is refused, once, with everything that restricts still in it', async () => {
    const Resource = Array.from({ length: 30 }, (_, i) => `arn:aws:s3:::${BUCKET}/some/longer/prefix/${i}/*`);
    const large = scope({
      session_policy: [{ Effect: 'Allow', Action: 's3:GetObject', Resource }],
      tags: Object.fromEntries(Array.from({ length: 5 }, (_, i) => [`tag${i}`, 'x'.repeat(200)])),
    });
    const error = await failure(world.open().mint(large, termsOf(), soon()));
    expect(error).toMatchObject({ code: 'target-refused', vendorCode: 'PackedPolicyTooLarge' });
    expect(world.aws.calls).toHaveLength(1);
  });

  test('mint: failed inside, but it was created: says that it may be', async () => {
    world.aws.fault = (_, phase) => {
      if (phase === 'after') throw new AwsFault(500, 'InternalFailure', 'boom');
    };
    const error = await failure(world.open().mint(scope(), termsOf(), soon()));
    expect(error.code).toBe('target-failed');
    expect(mayHaveTakenEffect(error)).toBe(true);
  });

  test.each([
    ['forbidden', new AwsFault(403, 'AccessDenied', 'the trust was withdrawn')],
    ['throttled', new AwsFault(400, 'Throttling', 'Rate exceeded')],
    ['refused', new AwsFault(400, 'RegionDisabled', 'not here')],
  ])('mint: an attempt that is %s does not hide one before it whose answer was lost', async (_, fault) => {
    const before = world.aws.sessions.length;
    world.aws.fault = (_, phase) => {
      if (phase === 'after') return 'drop';
      if (world.aws.sessions.length > before) throw fault;
      return undefined;
    };
    const error = await failure(world.open().mint(scope(), termsOf(), soon()));
    expect(world.aws.sessions.length).toBe(before + 1);
    expect(error).toMatchObject({ code: 'target-failed', vendorCode: fault.code });
    expect(mayHaveTakenEffect(error)).toBe(true);
  });

  test('mint: an AWS that hangs is given up by the signal', async () => {
    world.aws.fault = () => new Promise(() => {});
    const error = await failure(world.open().mint(scope(), termsOf(), AbortSignal.timeout(50)));
    expect(error.code).toBe('target-timeout');
  });

  test('mint: no error holds a key or a token', async () => {
    world.aws.fault = () => {
      throw new AwsFault(
        403,
        'SignatureDoesNotMatch',
        `canonical: x-amz-security-token:${'Ab9/'.repeat(40)} eyJhbGciOi.eyJzdWIi.c2ln`,
      );
    };
    const { message, cause } = await failure(world.open().mint(scope(), termsOf(), soon()));
    expect(message).not.toMatch(/Ab9|eyJ/);
    expect(cause).toBeUndefined();
  });

  test('mint: gives people a link that signs them in, and no other secret on the way', async () => {
    const minted = await world.open().mint(scope({ console: {} }), termsOf(), soon());
    const link = new URL(minted.secret.values.console_url ?? '');
    expect(link.searchParams.get('Action')).toBe('login');
    expect(link.searchParams.get('Destination')).toBe('https://console.aws.amazon.com/');
    expect(link.searchParams.get('SigninToken')).toMatch(/^[\w-]{64}$/);
    expect(link.href).not.toContain(encodeURIComponent(minted.secret.values.session_token ?? 'none'));
  });

  test('mint: a sign-in endpoint that fails leaves no keys in the error, and the session may exist', async () => {
    world.aws.fault = (action) => {
      if (action === 'signin:GetSigninToken') throw new AwsFault(400, 'InvalidSession', 'no');
    };
    const error = await failure(world.open().mint(scope({ console: {} }), termsOf(), soon()));
    expect(error.message).not.toContain(world.aws.sessions.at(-1)?.accessKeyId);
    expect(mayHaveTakenEffect(error)).toBe(true);
  });
});

describe('mint, AssumeRoleWithWebIdentity against a strict fake of AWS that reads the issuer’s keys', () => {
  const trust = (audience: string) => {
    const host = issuer.host;
    return world.aws.addRole(
      'federated',
      {
        Effect: 'Allow',
        Principal: { Federated: `arn:aws:iam::${ACCOUNT}:oidc-provider/${host}` },
        Action: ['sts:AssumeRoleWithWebIdentity', 'sts:TagSession', 'sts:SetSourceIdentity'],
        Condition: { StringEquals: { [`${host}:aud`]: audience } },
      },
      { Statement: [{ Effect: 'Allow', Action: 's3:*', Resource: '*' }] },
    ).arn;
  };
  const identityToken = (aud: string, claims: Readonly<Record<string, Json>>) =>
    issuer.sign({ aud, sub: 'hallpass', ...claims });
  const open = () =>
    world.open({ credentials: { source: 'web_identity' } }, { runtime: systemRuntime, identityToken });

  test('mint: the tags and the source identity are in the token, and nowhere else', async () => {
    const terms = termsOf();
    const role_arn = trust('sts.amazonaws.com');
    const minted = await open().mint(scope({ role_arn, tags: { team: 'etl' } }), terms, soon());
    expect(world.aws.sessions.at(-1)).toMatchObject({
      name: terms.name,
      sourceIdentity: terms.name,
      tags: { team: 'etl', 'hallpass:task': 'orders' },
    });
    expect(Object.keys(lastCall()).filter((key) => /^Tags|^SourceIdentity/.test(key))).toEqual([]);
    expect(await read(minted.secret, world.aws.url, 'eu/january.csv')).toBe('eu,1');
  });

  test('mint: another audience is forbidden, and a token of other keys', async () => {
    const role_arn = trust('somebody-else');
    expect(await failure(open().mint(scope({ role_arn }), termsOf(), soon()))).toMatchObject({
      code: 'target-forbidden',
    });
    trust('sts.amazonaws.com');
    await issuer.rotate();
    issuer.publish({ keys: [] });
    const error = await failure(open().mint(scope({ role_arn }), termsOf(), soon()));
    expect(error).toMatchObject({ code: 'target-forbidden', vendorCode: 'InvalidIdentityToken' });
  });

  test('mint: a broker that is no issuer, or cannot sign, sends nothing', async () => {
    const failing = () => Promise.reject(new Error('the key is gone'));
    for (const context of [{}, { identityToken: failing }]) {
      const target = world.open({ credentials: { source: 'web_identity' } }, context);
      expect(await failure(target.mint(scope(), termsOf(), soon()))).toMatchObject({
        code: 'target-forbidden',
      });
    }
    expect(world.aws.calls).toEqual([]);
  });
});
