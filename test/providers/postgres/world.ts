import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, type TestContext } from 'vitest';
import type { z } from 'zod';
import { provider } from '../../../src/providers/postgres/provider.ts';
import {
  type PostgresScope,
  type PostgresSettings,
  scopeSchema,
  settingsSchema,
} from '../../../src/providers/postgres/settings.ts';
import type { EndableTarget, Minted, Secret, Terms } from '../../../src/providers/provider.ts';
import { systemRuntime } from '../../../src/runtime.ts';
import { soon, termsOf } from '../../conformance/provider.ts';
import {
  availablePostgres,
  type PostgresServer,
  type PostgresVersion,
  startPostgres,
} from '../../support/postgres.ts';
import { startTcpProxy, type TcpProxy } from '../../support/tcp-proxy.ts';

/** A server with a warehouse: a table, a role that reads it, and brokers with more and fewer rights. */
export interface Warehouse {
  readonly server: PostgresServer;
  readonly proxy: TcpProxy;
  /** As superuser, in the database `warehouse`. */
  readonly root: pg.Client;
  settings(admin: Admin, more?: Partial<z.input<typeof settingsSchema>>): PostgresSettings;
  stop(): Promise<void>;
}

/**
 * `superuser`; `least`: what README.md says is enough (CREATEROLE, and since 16 ADMIN on what it grants);
 * `powerless`: it may log in.
 */
export type Admin = 'superuser' | 'least' | 'powerless';

export async function startWarehouse(
  version: PostgresVersion,
  serverSettings: Record<string, string> = {},
): Promise<Warehouse | { unavailable: string }> {
  const available = (await availablePostgres())[version];
  if (!available.ok) return { unavailable: available.reason };
  const server = await startPostgres({ version, settings: serverSettings });
  const proxy = await startTcpProxy(server);
  const passwords = { superuser: server.password, least: newPassword(), powerless: newPassword() };
  const usernames = { superuser: 'postgres', least: 'hallpass', powerless: 'nobody much' };
  const first = await server.connect();
  await first.query('CREATE DATABASE warehouse');
  await first.end();
  const root = await server.connect('warehouse');
  await root.query(`
    CREATE ROLE hallpass LOGIN CREATEROLE PASSWORD '${passwords.least}';
    CREATE ROLE "nobody much" LOGIN PASSWORD '${passwords.powerless}';
    CREATE ROLE reader NOLOGIN;
    CREATE TABLE public.orders (id int PRIMARY KEY, amount int);
    INSERT INTO public.orders VALUES (1, 10), (2, 20);
    GRANT SELECT ON public.orders TO reader;`);
  if (version !== '15')
    await root.query('GRANT reader TO hallpass WITH ADMIN TRUE, INHERIT FALSE, SET FALSE');
  return {
    server,
    proxy,
    root,
    settings: (admin, more = {}) =>
      settingsSchema.parse({
        host: server.host,
        port: server.port,
        database: 'warehouse',
        username: usernames[admin],
        password: passwords[admin],
        insecure_plaintext: true,
        ...more,
      }),
    stop: async () => {
      await root.end().catch(() => {});
      await proxy.close();
      await server.stop();
    },
  };
}

export function scope(input: z.input<typeof scopeSchema>): PostgresScope {
  return scopeSchema.parse(input);
}

/** A session of the login in a secret. */
export async function logIn({ values }: Secret, more: pg.ClientConfig = {}): Promise<pg.Client> {
  const { host, port, database, username, password } = values;
  if (!host || !port || !database || !username || !password) throw new Error('the secret lacks something');
  const client = new pg.Client({ host, port: Number(port), database, user: username, password, ...more });
  client.on('error', () => {});
  await client.connect();
  return client;
}

export async function isAlive(client: pg.Client): Promise<boolean> {
  return client.query('SELECT 1').then(
    () => true,
    () => false,
  );
}

export function newPassword(): string {
  return randomBytes(18).toString('base64url');
}

export interface OnServer {
  readonly version: PostgresVersion;
  readonly admin: Admin;
  /** The warehouse, or the test is skipped with the reason why there is none. */
  its(ctx: TestContext): Warehouse;
  /** A target, closed after the test; its broker is `admin` unless the test wants another. */
  open(
    ctx: TestContext,
    more?: Partial<z.input<typeof settingsSchema>>,
    as?: Admin,
  ): EndableTarget<PostgresScope>;
  /** A login by fresh terms, and an open session of it. */
  mintAs(
    target: EndableTarget<PostgresScope>,
    wanted?: z.input<typeof scopeSchema>,
  ): Promise<{ terms: Terms; minted: Minted; session: pg.Client }>;
  roleExists(ctx: TestContext, name: string): Promise<boolean>;
}

/** Defines tests for each version of the server, with a broker that is superuser and one with the least rights. */
export function onEveryServer(serverSettings: Record<string, string>, define: (on: OnServer) => void): void {
  for (const version of ['15', '18'] as const) {
    for (const admin of ['superuser', 'least'] as const) {
      describe(`PostgreSQL ${version}, broker ${admin}`, () =>
        define(onServer(version, admin, serverSettings)));
    }
  }
}

function onServer(version: PostgresVersion, admin: Admin, serverSettings: Record<string, string>): OnServer {
  let warehouse: Warehouse | undefined;
  let unavailable = 'the server did not start';
  const opened: (() => Promise<unknown>)[] = [];
  beforeAll(async () => {
    const started = await startWarehouse(version, serverSettings);
    if ('unavailable' in started) unavailable = started.unavailable;
    else warehouse = started;
  });
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((close) => close()));
  });
  afterAll(() => warehouse?.stop());

  const its = (ctx: TestContext) => warehouse ?? ctx.skip(unavailable);
  return {
    version,
    admin,
    its,
    open(ctx, more = {}, as = admin) {
      const target = provider.open(its(ctx).settings(as, more), {
        runtime: systemRuntime,
        target: 'warehouse',
        mark: 'hp_cnf0_',
      });
      opened.push(() => target.close());
      if (target.ends === 'expiry-only') throw new Error('logins can be ended');
      return target;
    },
    async mintAs(target, wanted = { roles: ['reader'] }) {
      const terms = termsOf();
      const minted = await target.mint(scope(wanted), terms, soon());
      const session = await logIn(minted.secret);
      opened.push(() => session.end().catch(() => {}));
      return { terms, minted, session };
    },
    async roleExists(ctx, name) {
      const { rowCount } = await its(ctx).root.query('SELECT FROM pg_authid WHERE rolname = $1', [name]);
      return rowCount === 1;
    },
  };
}
