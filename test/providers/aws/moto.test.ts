import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, type TestContext, test } from 'vitest';
import { deliverAws } from '../../../src/cli/credentials/aws.ts';
import { provider } from '../../../src/providers/aws/provider.ts';
import { settingsSchema } from '../../../src/providers/aws/settings.ts';
import type { Secret } from '../../../src/providers/provider.ts';
import { systemRuntime } from '../../../src/runtime.ts';
import { endingOf, failure, providerConformance, soon, termsOf } from '../../conformance/provider.ts';
import { type SessionGate, startSessionGate } from '../../fakes/session-gate.ts';
import { findProgram, MOTO_ACCOUNT, type Moto, NEEDS_MOTO, startMoto } from '../../support/moto.ts';
import { BUCKET, MARK, onlyUnder, read, scope, write } from './world.ts';

const READ_ALL = { Effect: 'Allow', Action: 's3:GetObject', Resource: `arn:aws:s3:::${BUCKET}/*` };

interface MotoWorld {
  readonly moto: Moto;
  readonly gate: SessionGate;
  settings(who?: 'broker' | 'powerless', denying?: string): ReturnType<typeof settingsSchema.parse>;
  readonly roles: { readonly reports: string; readonly doomed: string };
  stop(): Promise<void>;
}

/** A bucket, two roles that read it, and two users: one that may assume them, one that may nothing. */
async function startMotoWorld(): Promise<MotoWorld | null> {
  const moto = await startMoto();
  if (moto === null) return null;
  const gate = await startSessionGate(moto);
  await moto.putObjects(BUCKET, { 'eu/january.csv': 'eu,1', 'us/january.csv': 'us,1' });
  const keys = {
    broker: await moto.addUser('hallpass', [
      { Effect: 'Allow', Action: 'sts:AssumeRole', Resource: `arn:aws:iam::${MOTO_ACCOUNT}:role/*` },
      {
        Effect: 'Allow',
        Action: ['iam:ListRolePolicies', 'iam:PutRolePolicy', 'iam:DeleteRolePolicy'],
        Resource: '*',
      },
    ]),
    powerless: await moto.addUser('nobody', [{ Effect: 'Allow', Action: 'sqs:ListQueues', Resource: '*' }]),
  };
  const roles = {
    reports: await moto.addRole('reports', 'hallpass', [READ_ALL]),
    doomed: await moto.addRole('doomed', 'hallpass', [READ_ALL]),
  };
  await moto.enforce();
  return {
    moto,
    gate,
    roles,
    settings: (who = 'broker', denying) =>
      settingsSchema.parse({
        region: 'us-east-1',
        credentials: {
          source: 'static',
          access_key_id: keys[who].accessKeyId,
          secret_access_key: keys[who].secretAccessKey,
        },
        insecure_endpoints: { sts: gate.url, iam: gate.url },
        ...(denying === undefined ? {} : { denial: { roles: [denying] } }),
      }),
    async stop() {
      await gate.close();
      await moto[Symbol.asyncDispose]();
    },
  };
}

const canUse = async (secret: Secret, url: string) =>
  (await read(secret, url, 'eu/january.csv')) === 'eu,1' &&
  (await read(secret, url, 'us/january.csv')) === 'AccessDenied' &&
  (await write(secret, url, 'eu/january.csv')) === 'AccessDenied';

providerConformance({
  name: 'AWS, expiry-only, against moto with its IAM enforced (session policies by a gate before it)',
  kind: provider,
  abilities: { ends: 'expiry-only', extends: false, lists: false, network: false, powerless: true },
  start: async () => {
    const world = await startMotoWorld();
    if (world === null) return { unavailable: NEEDS_MOTO };
    const names = new Set<string>();
    return {
      settings: world.settings(),
      scope: onlyUnder('eu'),
      canUse: async (secret) => {
        names.add(secret.values.session_arn?.split('/').at(-1) ?? '');
        return canUse(secret, world.gate.url);
      },
      // moto lists no sessions: it has those that it let in.
      exists: async (name) => names.has(name),
      powerless: world.settings('powerless'),
      stop: world.stop,
    };
  },
});

describe('AWS against moto with its IAM enforced', () => {
  let world: MotoWorld | null = null;
  beforeAll(async () => {
    world = await startMotoWorld();
  });
  afterAll(() => world?.stop());
  const its = (ctx: TestContext) => world ?? ctx.skip(NEEDS_MOTO);
  const open = (settings: ReturnType<typeof settingsSchema.parse>) =>
    provider.open(settings, { runtime: systemRuntime, target: 'aws', mark: MARK });

  test('mint: the keys do what the session may, and nothing else', async (ctx) => {
    const { settings, gate, moto } = its(ctx);
    const { secret } = await open(settings()).mint(onlyUnder('eu'), termsOf(), soon());
    expect(await canUse(secret, gate.url)).toBe(true);
    // Without the gate moto knows the role's policy alone: it may read everything, and write nothing.
    expect(await read(secret, moto.url, 'us/january.csv')).toBe('us,1');
    expect(await write(secret, moto.url, 'eu/january.csv')).toBe('AccessDenied');
  });

  test('mint: keys that somebody changed are refused', async (ctx) => {
    const { settings, gate } = its(ctx);
    const { secret } = await open(settings()).mint(onlyUnder('eu'), termsOf(), soon());
    const forged = { ...secret.values, secret_access_key: secret.values.session_token?.slice(0, 40) ?? '' };
    expect(await read({ ...secret, values: forged }, gate.url, 'eu/january.csv')).toBe(
      'SignatureDoesNotMatch',
    );
  });

  test('end: a denied session is refused (moto takes a Deny with a condition as one for the whole role)', async (ctx) => {
    const { settings, roles, gate } = its(ctx);
    const target = open(settings('broker', roles.doomed));
    if (target.ends === 'expiry-only') throw new Error('sessions can be denied here');
    const terms = termsOf();
    const { secret, handle } = await target.mint(scope({ role_arn: roles.doomed }), terms, soon());
    expect(await read(secret, gate.url, 'eu/january.csv')).toBe('eu,1');
    expect(await target.end(endingOf(terms, handle), soon())).toMatchObject({ found: true });
    expect(await read(secret, gate.url, 'eu/january.csv')).toBe('AccessDenied');
    expect(await target.end(endingOf(terms, handle), soon())).toMatchObject({ found: false });
  });

  test('selfTest: is content with the least rights, denial included, and names those that are missing', async (ctx) => {
    const { settings, roles } = its(ctx);
    const scopes = [{ role_arn: roles.reports }];
    expect(await open(settings('broker', roles.reports)).selfTest(soon(), scopes)).toMatchObject({
      ok: true,
      remedies: [],
    });
    const { remedies } = await open(settings('powerless', roles.reports)).selfTest(soon(), scopes);
    expect(remedies.join('\n')).toMatch(/sts:AssumeRole[\s\S]*iam:PutRolePolicy/);
  });

  test('mint: a role that does not exist is forbidden', async (ctx) => {
    const { settings, roles } = its(ctx);
    const target = open(settings('powerless'));
    expect(
      await failure(target.mint(scope({ role_arn: `${roles.reports}s` }), termsOf(), soon())),
    ).toMatchObject({
      code: 'target-forbidden',
      vendorCode: 'AccessDenied',
    });
  });

  test('deliverAws: the aws command line uses the session, and is refused elsewhere', async (ctx) => {
    const { settings, gate } = its(ctx);
    const aws =
      (await findProgram('aws')) ?? ctx.skip('needs the aws command line (Python: pip install awscli)');
    const { secret } = await open(settings()).mint(onlyUnder('eu'), termsOf(), soon());
    const cat = (key: string) =>
      promisify(execFile)(aws, ['--endpoint-url', gate.url, 's3', 'cp', `s3://${BUCKET}/${key}`, '-'], {
        env: { PATH: process.env.PATH, HOME: '/nonexistent', ...deliverAws(secret).env },
      }).then(
        ({ stdout }) => stdout,
        (error: { stderr: string }) => error.stderr,
      );
    expect(await cat('eu/january.csv')).toBe('eu,1');
    expect(await cat('us/january.csv')).toMatch(/403|Forbidden|AccessDenied/);
  });
});
