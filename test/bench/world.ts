import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startIssuer, type TestIssuer } from '../support/issuer.ts';
import { type PostgresServer, startPostgres } from '../support/postgres.ts';

/** What the benchmarks run on: one Postgres as store and target with fsync on, an issuer, and the broker in a process of its own. */
export interface BenchWorld extends AsyncDisposable {
  readonly postgres: PostgresServer;
  readonly issuer: TestIssuer;
  readonly folder: string;
  readonly databaseUrl: string;
  token(): Promise<string>;
  /** Starts one more broker over the same store. */
  startBroker(): Promise<Served>;
}

/** A child process that serves. */
export interface Served extends AsyncDisposable {
  readonly url: string;
  readonly child: ChildProcess;
}

export async function buildBenchWorld(): Promise<BenchWorld> {
  const postgres = await startPostgres({
    version: '18',
    settings: { fsync: 'on', shared_buffers: '512MB', max_connections: '200', max_wal_size: '8GB' },
  });
  const issuer = await startIssuer({ algorithms: ['ES256'] });
  const folder = await mkdtemp(join(tmpdir(), 'hallpass-bench-'));
  const admin = await postgres.connect();
  await admin.query('create database hallpass');
  await admin.query('create role reader nologin');
  await admin.end();
  const databaseUrl = new URL(postgres.adminUrl);
  databaseUrl.pathname = '/hallpass';
  await writeFile(join(folder, 'password'), postgres.password, { mode: 0o600 });
  let started = 0;
  return {
    postgres,
    issuer,
    folder,
    databaseUrl: databaseUrl.href,
    token: () => issuer.sign({ aud: 'bench', sub: 'bench', repository_id: '1' }),
    async startBroker() {
      const path = join(folder, `hallpass-${++started}.yaml`);
      await writeFile(join(folder, 'database'), databaseUrl.href, { mode: 0o600 });
      await writeFile(path, yaml(postgres, issuer), { mode: 0o600 });
      return serveProcess('broker.process.ts', [path]);
    },
    async [Symbol.asyncDispose]() {
      await issuer.close();
      await postgres.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function yaml(postgres: PostgresServer, issuer: TestIssuer): string {
  const credential = (target: string, scope: string) =>
    `{ target: ${target}, ttl: { default: 15m, max: 1h, cap: 4h }, scope: ${scope} }`;
  return `
broker:
  url: http://127.0.0.1:7420
  listen: 127.0.0.1:0
  limits: { requests_per_second: 1000000, minting_per_target: 64, ending_per_target: 64 }
database: { url_file: database }
issuers:
  ci: { type: oidc, issuer: "${issuer.url}", audience: bench, allow_insecure_http: true }
targets:
  memory: { provider: memory }
  postgres:
    provider: postgres
    host: 127.0.0.1
    port: ${postgres.port}
    database: postgres
    username: postgres
    password_file: password
    insecure_plaintext: true
    pool: { size: 32 }
grants:
  memory:
    who: [{ issuer: ci, claims: { repository_id: "1" } }]
    tasks: [bench]
    credentials: { c: ${credential('memory', '{ role: reader }')} }
  others:
    who: [{ issuer: ci, claims: { repository_id: "1" } }]
    tasks: [bench]
    credentials: { c: ${credential('memory', '{ role: reader }')} }
  postgres:
    who: [{ issuer: ci, claims: { repository_id: "1" } }]
    tasks: [bench]
    credentials: { c: ${credential('postgres', '{ roles: [reader] }')} }
access:
  - { role: operator, issuer: ci, claims: { repository_id: "1" } }
`;
}

export async function serveProcess(file: string, args: readonly string[] = []): Promise<Served> {
  const child = fork(join(import.meta.dirname, file), args, {
    execArgv: ['--import', 'tsx'],
    stdio: ['ignore', 2, 2, 'ipc'],
  });
  const failed = once(child, 'exit').then(() => {
    throw new Error(`${file} ended`);
  });
  failed.catch(() => {});
  const [message] = (await Promise.race([once(child, 'message'), failed])) as [{ url: string }];
  return {
    url: message.url,
    child,
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    },
  };
}
