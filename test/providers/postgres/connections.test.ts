import { afterAll, afterEach, beforeAll, expect, type TestContext, test } from 'vitest';
import { provider } from '../../../src/providers/postgres/provider.ts';
import { settingsSchema } from '../../../src/providers/postgres/settings.ts';
import type { EndableTarget, Target } from '../../../src/providers/provider.ts';
import { systemRuntime } from '../../../src/runtime.ts';
import { endingOf, failure, soon, termsOf } from '../../conformance/provider.ts';
import { createCertificate, type TestCertificate } from '../../support/certificates.ts';
import { availablePostgres, type PostgresServer, startPostgres } from '../../support/postgres.ts';
import { startTcpProxy } from '../../support/tcp-proxy.ts';
import { logIn, newPassword, scope } from './world.ts';

let server: PostgresServer | undefined;
let authority: TestCertificate | undefined;
let unavailable = 'the server did not start';
const opened: Target<never>[] = [];

beforeAll(async () => {
  const { '18': available } = await availablePostgres();
  if (!available.ok) unavailable = available.reason;
  else {
    authority = await createCertificate({ name: 'authority' });
    const { cert: certificate, key } = await createCertificate({
      name: 'db.example',
      dns: ['db.example', 'localhost'],
      signedBy: authority,
    });
    server = await startPostgres({
      version: '18',
      tls: { certificate, key, clientCa: authority.cert },
      authentication: ['hostssl all by_certificate 127.0.0.1/32 cert', 'hostnossl all all all reject'],
    });
    const client = await server.connect().catch(() => null);
    // Even we are refused without TLS.
    expect(client).toBeNull();
  }
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((target) => target.close()));
});
afterAll(() => server?.stop());

function open(ctx: TestContext, more: Record<string, unknown>): EndableTarget<ReturnType<typeof scope>> {
  const { port, password } = server ?? ctx.skip(unavailable);
  const target = provider.open(
    settingsSchema.parse({
      host: '127.0.0.1',
      port,
      database: 'postgres',
      username: 'postgres',
      password,
      ...more,
    }),
    { runtime: systemRuntime, target: 'tls', mark: 'hp_cnf0_' },
  );
  opened.push(target);
  return target as EndableTarget<ReturnType<typeof scope>>;
}

async function works(target: EndableTarget<ReturnType<typeof scope>>): Promise<void> {
  expect(await target.selfTest(soon())).toMatchObject({ ok: true });
}

test('tls: a server that its authority vouches for by name is trusted', async (ctx) => {
  const ca = authority?.cert ?? ctx.skip(unavailable);
  await works(open(ctx, { host: 'localhost', tls: { ca } }));
  await works(open(ctx, { tls: { ca, server_name: 'db.example' } }));
  await works(open(ctx, { host: 'localhost', tls: { ca, server_name: 'db.example' } }));
});

test.for([
  ['an unknown authority', {}],
  ['another name', { server_name: 'other.example' }],
  ['an address that is not in the certificate', { withCa: true }],
] as [string, { withCa?: true; server_name?: string }][])(
  'tls: %s is refused, and nothing is sent',
  async ([, { withCa, ...tls }], ctx) => {
    const ca = authority?.cert ?? ctx.skip(unavailable);
    const trust = withCa || 'server_name' in tls ? { ca } : {};
    const error = await failure(
      open(ctx, { tls: { ...trust, ...tls } }).end(endingOf(termsOf(), null), soon()),
    );
    expect(error).toMatchObject({ code: 'target-refused' });
    expect(error.vendorCode).toMatch(/CERT|SIGNATURE/);
  },
);

test('tls: a server without TLS is not spoken to, and plaintext takes a word of its own', async (ctx) => {
  const { port } = server ?? ctx.skip(unavailable);
  const error = await failure(open(ctx, { insecure_plaintext: true }).end(endingOf(termsOf(), null), soon()));
  expect(error).toMatchObject({ code: 'target-forbidden', vendorCode: '28000' });
  await using plain = await startPostgres({ version: '18' });
  expect(plain.port).not.toBe(port);
  const refused = await failure(
    open(ctx, { port: plain.port, password: plain.password }).end(endingOf(termsOf(), null), soon()),
  );
  expect(refused.message).toContain('does not support SSL');
});

test('tls: the broker can log in by its own certificate, without a password', async (ctx) => {
  const signedBy = authority ?? ctx.skip(unavailable);
  const ca = signedBy.cert;
  const admin = open(ctx, { host: 'localhost', tls: { ca } });
  const { secret } = await admin.mint(scope({ statements: ['SELECT 1'] }), termsOf(), soon());
  const root = await logIn(
    { ...secret, values: { ...secret.values, username: 'postgres', password: server?.password ?? '' } },
    { ssl: { ca } },
  );
  await root.query('CREATE ROLE by_certificate LOGIN CREATEROLE');
  await root.end();
  const { cert, key } = await createCertificate({ name: 'by_certificate', signedBy });
  await works(
    open(ctx, { host: 'localhost', username: 'by_certificate', password: undefined, tls: { ca, cert, key } }),
  );
});

test('mint: the secret tells how to reach and verify the server', async (ctx) => {
  const ca = authority?.cert ?? ctx.skip(unavailable);
  const target = open(ctx, { host: 'localhost', tls: { ca }, client_host: 'db.example', client_port: 6432 });
  const terms = termsOf();
  const { secret } = await target.mint(scope({ statements: ['SELECT 1'] }), terms, soon());
  expect(secret).toEqual({
    type: 'postgres',
    values: {
      host: 'db.example',
      port: '6432',
      database: 'postgres',
      username: terms.name,
      password: expect.stringMatching(/^[A-Za-z0-9_-]{43}$/),
      sslmode: 'verify-full',
      ca,
    },
  });
});

test('a wrong password, database or address is told apart', async (ctx) => {
  const ca = authority?.cert ?? ctx.skip(unavailable);
  const common = { host: 'localhost', tls: { ca } };
  const ending = endingOf(termsOf(), null);
  const wrong = open(ctx, { ...common, password: newPassword() });
  expect(await failure(wrong.end(ending, soon()))).toMatchObject({
    code: 'target-forbidden',
    vendorCode: '28P01',
  });
  const missing = open(ctx, { ...common, database: 'missing' });
  expect(await failure(missing.end(ending, soon()))).toMatchObject({
    code: 'target-refused',
    vendorCode: '3D000',
  });
  const nowhere = open(ctx, { ...common, host: 'nowhere.invalid' });
  expect(await failure(nowhere.end(ending, soon()))).toMatchObject({ code: 'target-unreachable' });
  await using proxy = await startTcpProxy({ host: '127.0.0.1', port: server?.port ?? 0 });
  proxy.set({ kind: 'blackhole' });
  const silent = open(ctx, { ...common, port: proxy.port, pool: { connect_timeout_seconds: 0.1 } });
  expect(await failure(silent.end(ending, soon()))).toMatchObject({ code: 'target-unreachable' });
});

test('a server that crashes and restarts is used again, without a new start of ours', async (ctx) => {
  const { kill, restart } = { kill: () => server?.kill(), restart: () => server?.restart() };
  const ca = authority?.cert ?? ctx.skip(unavailable);
  const target = open(ctx, { host: 'localhost', tls: { ca } });
  const terms = termsOf();
  const { handle } = await target.mint(scope({ statements: ['SELECT 1'] }), terms, soon());
  await kill();
  expect(await failure(target.end(endingOf(terms, handle), soon()))).toMatchObject({
    code: 'target-unreachable',
  });
  await restart();
  expect(await target.end(endingOf(terms, handle), soon())).toMatchObject({ found: true });
});
