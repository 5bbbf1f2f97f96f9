import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { type Client, createClient } from '../../src/client/client.ts';
import { startIssuer, type TestIssuer } from '../support/issuer.ts';
import { freePort } from '../support/ports.ts';
import { availablePostgres, type PostgresServer, startPostgres } from '../support/postgres.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';
import { type BrokerProcess, startBroker } from './broker-process.ts';

/** Everything that the story happens in: a warehouse, an issuer of identities, and a configuration for the broker. */
export interface World extends AsyncDisposable {
  readonly warehouse: PostgresServer;
  /** What lies between the broker and the warehouse. */
  readonly wire: TcpProxy;
  readonly issuer: TestIssuer;
  readonly url: string;
  readonly configuration: string;
  readonly folder: string;
  /** The warehouse as its owner sees it. */
  readonly owner: pg.Client;
  startBroker(): Promise<BrokerProcess>;
  /** A client with a fresh token for these claims at every call. */
  clientFor(identity: Identity): Client;
  tokenFor(identity: Identity): Promise<string>;
  /** Credentials of ours that the warehouse holds now. */
  ourRoles(): Promise<string[]>;
}

/** What a token says of somebody. */
export interface Identity {
  readonly sub: string;
  readonly [claim: string]: string | readonly string[];
}

export const AUDIENCE = 'hallpass-demo';
export const BATCH_JOB: Identity = {
  sub: 'repo:acme/reports:ref:refs/heads/main',
  repository_id: '4711',
  ref: 'refs/heads/main',
};
export const STRANGER: Identity = {
  sub: 'repo:mallory/reports:ref:refs/heads/main',
  repository_id: '6666',
  ref: 'refs/heads/main',
};
export const OPERATOR: Identity = {
  sub: 'repo:acme/platform:ref:refs/heads/main',
  repository_id: '1',
  ref: 'refs/heads/main',
};

/** Builds it, with the configuration of the batch job or another one. */
export async function buildWorld(write: (places: Places) => string = yaml): Promise<World> {
  const available = await availablePostgres();
  const version = available['18'].ok ? '18' : '15';
  const warehouse = await startPostgres({ version });
  const wire = await startTcpProxy(warehouse);
  const issuer = await startIssuer({ algorithms: ['ES256'] });
  const folder = await mkdtemp(join(tmpdir(), 'hallpass-demo-'));
  const password = await fillWarehouse(warehouse);
  const owner = await warehouse.connect('warehouse');
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const configuration = join(folder, 'hallpass.yaml');
  const passwordFile = join(folder, 'warehouse-password');
  await writeFile(passwordFile, password, { mode: 0o600 });
  await writeFile(
    configuration,
    write({ url, port, folder, wire: wire.port, issuer: issuer.url, passwordFile }),
  );
  await chmod(configuration, 0o600);
  const tokenFor = (identity: Identity) => issuer.sign({ aud: AUDIENCE, ...identity });
  return {
    warehouse,
    wire,
    issuer,
    url,
    configuration,
    folder,
    owner,
    startBroker: () => startBroker(configuration, url),
    tokenFor,
    clientFor: (identity) => createClient({ url, token: () => tokenFor(identity) }),
    async ourRoles() {
      const { rows } = await owner.query<{ rolname: string }>(
        "select rolname from pg_roles where rolname like 'hp\\_%' order by rolname",
      );
      return rows.map((row) => row.rolname);
    },
    async [Symbol.asyncDispose]() {
      await owner.end();
      await wire.close();
      await issuer.close();
      await warehouse.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Sales that the job may read, a payroll that it may not, and the broker's own login: no superuser. */
async function fillWarehouse(server: PostgresServer): Promise<string> {
  const password = randomBytes(24).toString('base64url');
  const admin = await server.connect();
  await admin.query('create database warehouse');
  await admin.query(`
    create role sales_reader nologin;
    create role hallpass login createrole password '${password}';
    grant sales_reader to hallpass with admin option`);
  await admin.end();
  const owner = await server.connect('warehouse');
  await owner.query(`
    create table sales (region text, amount integer);
    insert into sales select case when i % 3 = 0 then 'us' else 'eu' end, i from generate_series(1, 900) i;
    create table payroll (employee text, salary integer);
    insert into payroll values ('Ada', 100000);
    grant select on sales to sales_reader`);
  await owner.end();
  return password;
}

/** What a configuration has to name. */
export interface Places {
  readonly url: string;
  readonly port: number;
  readonly folder: string;
  readonly wire: number;
  readonly issuer: string;
  readonly passwordFile: string;
}

/** What every configuration of this world begins with: a broker, an issuer and a warehouse. */
export function foundation({ url, port, folder, wire, issuer, passwordFile }: Places, name: string): string {
  return `broker:
  url: ${url}
  listen: 127.0.0.1:${port}
  state_directory: ${join(folder, 'state')}
  limits: { mint_timeout: 5s }

issuers:
  ${name}:
    type: oidc
    issuer: ${issuer}
    audience: ${AUDIENCE}
    allow_insecure_http: true

targets:
  warehouse:
    provider: postgres
    host: 127.0.0.1
    port: ${wire}
    database: warehouse
    username: hallpass
    password_file: ${passwordFile}
    insecure_plaintext: true
`;
}

/** The configuration that the demo runs on: what a reader would write for a batch job of his own. */
function yaml(places: Places): string {
  return `# A broker for one warehouse and one batch job.
${foundation(places, 'ci')}
grants:
  nightly-report:
    description: The nightly sales report of acme
    who:
      - issuer: ci
        claims: { repository_id: "4711", ref: refs/heads/main }
    tasks: [nightly-report]
    purpose: required
    parameters:
      region: { type: string, enum: [eu, us], default: eu }
    credentials:
      db:
        target: warehouse
        ttl: { default: 10m, max: 1h }
        scope:
          roles: [sales_reader]
          settings: { statement_timeout: 30s, default_transaction_read_only: true }
    heartbeat: 10s
    limits: { live_leases: 20 }

access:
  - role: operator
    issuer: ci
    claims: { repository_id: "1" }
`;
}
