import { randomBytes } from 'node:crypto';
import { CreateKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { decodeProtectedHeader } from 'jose';
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  type TestContext,
  test,
  vi,
} from 'vitest';
import { checkMasterKey } from '../../src/check-live.ts';
import type { Config } from '../../src/config/config.ts';
import { awsKms } from '../../src/issuer/aws-kms.ts';
import { composeIssuer, composeRewrap, type KeySettings } from '../../src/issuer/compose.ts';
import { kmsMasterKeys } from '../../src/issuer/kms-keys.ts';
import { newMasterKey } from '../../src/issuer/master-keys.ts';
import type { Database } from '../../src/store/database.ts';
import { readSigningKeys } from '../../src/store/signing-keys.ts';
import { type Moto, NEEDS_MOTO, startMoto } from '../support/moto.ts';
import { createTestRuntime, type TestRuntime, until } from '../support/runtime.ts';
import { anyStore } from '../support/stores.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';

const URL_ = 'https://hallpass.example';

type Keys = Awaited<ReturnType<Moto['addUser']>>;

interface World {
  readonly moto: Moto;
  readonly proxy: TcpProxy;
  readonly keys: readonly [string, string];
  readonly broker: Keys;
  readonly powerless: Keys;
}

/** Two keys, a user with the rights that the page asks for, one with none, and a network that can fail. */
async function startWorld(): Promise<World | null> {
  const moto = await startMoto();
  if (moto === null) return null;
  const credentials = { accessKeyId: 'AKIAROOT', secretAccessKey: 'unchecked until enforcement' };
  const root = new KMSClient({ endpoint: moto.url, region: 'us-east-1', credentials });
  const makeKey = async () => (await root.send(new CreateKeyCommand({}))).KeyMetadata?.Arn ?? '';
  const keys = [await makeKey(), await makeKey()] as const;
  const allow = (Action: string | string[]) => [{ Effect: 'Allow', Action, Resource: '*' }];
  const broker = await moto.addUser('hallpass', allow(['kms:GenerateDataKey', 'kms:Decrypt']));
  const powerless = await moto.addUser('nobody', allow('sqs:ListQueues'));
  await moto.enforce();
  return { moto, proxy: await startTcpProxy(moto), keys, broker, powerless };
}

const store = await anyStore();
let world: World | null = null;
let database: Database;
let runtime: TestRuntime;
let told: string[];

function there(ctx: TestContext): World {
  if (world === null) ctx.skip(NEEDS_MOTO);
  return world as World;
}

function actAs({ accessKeyId, secretAccessKey }: Keys): void {
  vi.stubEnv('AWS_ACCESS_KEY_ID', accessKeyId);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', secretAccessKey);
}

function settings(over: Partial<KeySettings> = {}, kms: Partial<KeySettings['awsKms']> = {}): KeySettings {
  const { keys, proxy } = world as World;
  return {
    masterKey: null,
    masterKeyCommand: null,
    awsKms: {
      keyArn: keys[0],
      alsoOpens: [],
      onlyOpens: false,
      endpoint: `http://127.0.0.1:${proxy.port}`,
      ...kms,
    },
    algorithm: 'ES256',
    rotateEveryMs: null,
    ...over,
  };
}

const surroundings = (url = URL_) => {
  const tell = (data: object, message: string) => void told.push(JSON.stringify({ ...data, message }));
  // The store of a test is one directory for all: no key may lie in it.
  return { url, stateDirectory: '/nowhere', database, runtime, log: { warn: tell, error: tell } };
};
const start = (keys = settings(), url = URL_) => composeIssuer(keys, surroundings(url));
const sealers = async () =>
  (await readSigningKeys(database)).map(({ sealed }) => decodeProtectedHeader(sealed).kid);

describe('aws-kms', () => {
  beforeAll(async () => {
    world = await startWorld();
  }, 90_000);
  afterAll(async () => {
    await world?.proxy.close();
    await world?.moto[Symbol.asyncDispose]();
    await store.stop();
  });
  beforeEach(async () => {
    told = [];
    runtime = createTestRuntime();
    database = await store.open();
    vi.stubEnv('AWS_REGION', 'eu-nowhere-1');
    if (world !== null) actAs(world.broker);
    world?.proxy.set({ kind: 'fair' });
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await database.close();
  });

  test('composeIssuer: replicas that start at once under a KMS agree, and later ones open what they made', async (ctx) => {
    const { keys } = there(ctx);
    const replicas = await Promise.all([start(), start(), start()]);
    replicas.push(await start());
    expect(new Set(replicas.map((issuer) => JSON.stringify(issuer?.jwks()))).size).toBe(1);
    expect(await sealers()).toEqual([keys[0], keys[0]]);
    expect(told).toEqual([]);
  });

  test('composeIssuer: neither the store nor the log has a data key in clear', async (ctx) => {
    const { keys } = there(ctx);
    const service = awsKms(
      { keyArn: keys[0], alsoOpens: [], endpoint: settings().awsKms?.endpoint ?? '' },
      URL_,
    );
    const made = await service.make();
    const masterKeys = kmsMasterKeys({ ...service, make: async () => made });
    const envelope = await masterKeys.seal('a test', randomBytes(16));
    for (const form of ['base64', 'base64url', 'hex'] as const)
      expect(envelope + made.wrapped).not.toContain(Buffer.from(made.key).toString(form));
    expect(Buffer.from(made.wrapped, 'base64').includes(Buffer.from(made.key))).toBe(false);
  });

  test('composeIssuer: what one broker sealed no broker of another URL opens', async (ctx) => {
    there(ctx);
    await start();
    await expect(start(settings(), 'https://other.example')).rejects.toMatchObject({
      code: 'config-invalid',
      message: expect.stringContaining('another broker.url'),
    });
  });

  test('composeIssuer: a file gives way to a KMS step by step, and back', async (ctx) => {
    const { keys } = there(ctx);
    const masterKey = newMasterKey(randomBytes);
    const fileAlone = settings({ masterKey, awsKms: null });
    const published = JSON.stringify((await start(fileAlone))?.jwks());
    await start(settings({ masterKey }, { onlyOpens: true }));
    expect(await sealers()).not.toContain(keys[0]);
    await start(settings({ masterKey }));
    expect(await sealers()).toEqual([keys[0], keys[0]]);
    // A replica that has not gone that far knows both.
    await start(settings({ masterKey }, { onlyOpens: true }));
    await start(settings({ masterKey }));
    expect(JSON.stringify((await start())?.jwks())).toBe(published);
    await start(settings({ masterKey }, { onlyOpens: true }));
    expect(JSON.stringify((await start(fileAlone))?.jwks())).toBe(published);
  });

  test('composeIssuer: a key of the KMS is replaced by another, and the old one is needed no more', async (ctx) => {
    const { keys } = there(ctx);
    const [old, fresh] = keys;
    await start();
    await expect(start(settings({}, { keyArn: fresh }))).rejects.toMatchObject({ code: 'config-invalid' });
    await start(settings({}, { keyArn: fresh, alsoOpens: [old] }));
    expect(await sealers()).toEqual([fresh, fresh]);
    await start(settings({}, { keyArn: fresh }));
  });

  test('composeRewrap: seals under a new data key what was sealed under the same key before', async (ctx) => {
    there(ctx);
    const issuer = await start();
    const before = await readSigningKeys(database);
    expect(await composeRewrap(settings(), surroundings())).toBe(2);
    const after = await readSigningKeys(database);
    const wrapped = (rows: typeof before) => rows.map((row) => decodeProtectedHeader(row.sealed).wrapped);
    expect(wrapped(after)).not.toContain(wrapped(before)[0]);
    expect(JSON.stringify((await start())?.jwks())).toBe(JSON.stringify(issuer?.jwks()));
  });

  test('composeIssuer: waits for a KMS that is away, and says so', async (ctx) => {
    const { proxy } = there(ctx);
    proxy.set({ kind: 'down' });
    const starting = start();
    await until(() => runtime.sleeping() === 1);
    proxy.set({ kind: 'fair' });
    await runtime.advance(1_000);
    expect(await starting).not.toBeNull();
    expect(told.join()).toContain('the key management service does not answer; trying again');
  });

  test('composeIssuer: gives up after a minute, with what happened', async (ctx) => {
    const { proxy, keys } = there(ctx);
    proxy.set({ kind: 'down' });
    const starting = start();
    const given = expect(starting).rejects.toMatchObject({
      code: 'kms-unavailable',
      message: expect.stringMatching(`^Cannot have a data key made by KMS key "${keys[0]}": E`),
    });
    let isOver = false;
    const over = given.finally(() => {
      isOver = true;
    });
    while (!isOver) {
      await until(() => isOver || runtime.sleeping() === 1);
      // Time enough to be refused, if it is a question that has its deadline, and not yet the wait after one.
      await new Promise((resolve) => setTimeout(resolve, 20));
      await runtime.advance(15_000);
    }
    await over;
  });

  test('composeIssuer: a refusal is not waited out, and says what to do', async (ctx) => {
    const { powerless, broker, keys } = there(ctx);
    actAs(powerless);
    await expect(start()).rejects.toMatchObject({
      code: 'config-invalid',
      message: expect.stringContaining('give the broker kms:GenerateDataKey and kms:Decrypt'),
    });
    actAs(broker);
    const unknown = `${keys[0].slice(0, -3)}000`;
    await expect(start(settings({}, { keyArn: unknown }))).rejects.toMatchObject({
      message: expect.stringContaining('there is no such key'),
    });
    expect(runtime.sleeping()).toBe(0);
  });

  test('run: a broker that has its keys does without its KMS', async (ctx) => {
    const { proxy } = there(ctx);
    const issuer = await start();
    proxy.set({ kind: 'down' });
    await issuer?.refresh();
    const token = { subject: 's', audience: 'a', claims: {}, ttlSeconds: 60 };
    expect(await issuer?.identityToken(token)).toMatch(/^eyJ/);
  });

  test('checkMasterKey: tries the KMS, and has the policy to paste where a right is missing', async (ctx) => {
    const { powerless, keys } = there(ctx);
    const config = { keys: settings(), broker: { url: URL_, stateDirectory: '/nowhere' }, database: null };
    expect(await checkMasterKey(config as Config, runtime)).toMatchObject({ ok: true, remedies: [] });
    actAs(powerless);
    const checked = await checkMasterKey(config as Config, runtime);
    expect(checked?.steps[0]).toMatchObject({
      ok: false,
      detail: expect.stringContaining('give the broker kms:'),
    });
    const remedy = checked?.remedies[0] ?? '';
    expect(JSON.parse(remedy.slice(remedy.indexOf('{'))).Statement[0]).toEqual({
      Effect: 'Allow',
      Action: ['kms:GenerateDataKey', 'kms:Decrypt'],
      Resource: keys[0],
      Condition: { StringEquals: { 'kms:EncryptionContext:hallpass:issuer': URL_ } },
    });
  });
});
