import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JSONWebKeySet } from 'jose';
import { systemRuntime } from '../../src/runtime.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { installationMark } from '../../src/store/installation.ts';
import { startIssuer } from '../support/issuer.ts';
import { freePort } from '../support/ports.ts';
import { availablePostgres, type PostgresServer, startPostgres } from '../support/postgres.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';
import { type Balancer, createBalancer } from './balancer.ts';
import { AUDIENCE, configurationText, type Places } from './configuration.ts';
import { bundleExecutable } from './executable.ts';
import { type Replica, type ReplicaOptions, startReplica } from './replica.ts';
import { startService, type TruthfulService } from './service.ts';

export interface WorldOptions {
  readonly replicas: number;
  /** For single replicas, by number: what is special about their processes. */
  readonly special?: Readonly<Record<number, Partial<Pick<ReplicaOptions, 'env' | 'flags'>>>>;
  /** Settings of the store's server. */
  readonly store?: Readonly<Record<string, string>>;
  /** Where the store's files lie. */
  readonly storeFolder?: string;
  /** A second server that follows the first, which the brokers know of. */
  readonly standby?: boolean;
  readonly requestsPerSecond?: number;
}

/** Broker processes over a real Postgres with fsync on, two targets that know what is true, and proxies between all of them. */
export interface World extends AsyncDisposable {
  readonly options: WorldOptions;
  readonly store: PostgresServer;
  readonly standby: PostgresServer | null;
  readonly storeWire: TcpProxy;
  readonly warehouse: PostgresServer;
  readonly warehouseWire: TcpProxy;
  readonly service: TruthfulService;
  readonly serviceWire: TcpProxy;
  readonly replicas: readonly Replica[];
  readonly balancer: Balancer;
  readonly executable: string;
  readonly folder: string;
  readonly url: string;
  /** How the names of the credentials begin. */
  readonly mark: string;
  token(who: 'job' | 'operator'): Promise<string>;
  /** The store, past the proxy and as its owner: the server that was promoted last, once one was. */
  database(): Database;
  promoted(server: PostgresServer): Promise<void>;
}

/** Why the world cannot be built here, or null. */
export async function missing(version: '15' | '18' = '18'): Promise<string | null> {
  const available = (await availablePostgres())[version];
  return available.ok ? null : available.reason;
}

export async function buildWorld(options: WorldOptions): Promise<World> {
  const undo: (() => Promise<unknown>)[] = [];
  const dispose = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    return { ...(await build(options, undo)), [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function build(
  options: WorldOptions,
  undo: (() => Promise<unknown>)[],
): Promise<Omit<World, typeof Symbol.asyncDispose>> {
  const folder = await mkdtemp(join(tmpdir(), 'hallpass-faults-'));
  undo.push(() => rm(folder, { recursive: true, force: true }));
  const executable = await bundleExecutable(join(folder, 'package'));
  const servers = await startServers(options, undo);
  const { store, standby, warehouse, service, issuer } = servers;
  const wires = { storeWire: store, warehouseWire: warehouse, serviceWire: { host, port: service.port } };
  const [storeWire, warehouseWire, serviceWire] = await Promise.all([
    startTcpProxy(wires.storeWire),
    startTcpProxy(wires.warehouseWire),
    startTcpProxy(wires.serviceWire),
  ]);
  undo.push(...[storeWire, warehouseWire, serviceWire].map((wire) => () => wire.close()));
  const url = `http://${host}:${await freePort()}`;
  const passwords = await prepareWarehouse(warehouse);
  const databaseUrl = await prepareStore(store, standby, storeWire);
  const configuration = await configure(folder, {
    url,
    databaseUrl,
    issuer: issuer.url,
    warehouse: { port: warehouseWire.port, password: passwords },
    service: serviceWire.port,
    requestsPerSecond: options.requestsPerSecond ?? 100_000,
  });
  const replicas: Replica[] = [];
  for (let number = 1; number <= options.replicas; number++) {
    const name = `replica-${number}`;
    const place = { name, executable, configuration, folder, port: await freePort() };
    const replica = await startReplica({ ...place, ...options.special?.[number] });
    undo.push(() => replica.stop());
    replicas.push(replica);
  }
  await Promise.all(replicas.map((replica) => replica.ready()));
  service.trust(url, await publishedKeys(replicas));
  const balancer = createBalancer(url, replicas);
  undo.push(() => balancer.stop());
  let database = await openDatabase({ url: urlOf(store), directory: null, connections: 2 });
  undo.push(() => database.close());
  return {
    options,
    ...servers,
    storeWire,
    warehouseWire,
    serviceWire,
    replicas,
    balancer,
    executable,
    folder,
    url,
    mark: `hp_${await installationMark(database, systemRuntime)}_`,
    token: (who) => issuer.sign({ aud: AUDIENCE, sub: who, role: who }),
    database: () => database,
    async promoted(server) {
      await database.close();
      database = await openDatabase({ url: urlOf(server), directory: null, connections: 2 });
    },
  };
}

const host = '127.0.0.1';

async function startServers(options: WorldOptions, undo: (() => Promise<unknown>)[]) {
  // Debian's server brings pg_basebackup, and needs no copy of its programs where room is short.
  const wantsDebian = options.standby === true || options.storeFolder !== undefined;
  const version = wantsDebian && (await availablePostgres())['15'].ok ? '15' : '18';
  const folder = options.storeFolder === undefined ? {} : { folder: options.storeFolder };
  const settings = { fsync: 'on', max_connections: '200', ...options.store };
  const store = await startPostgres({ version, settings, ...folder });
  undo.push(() => store.stop());
  const warehouse = await startPostgres({
    version: '18',
    // What was done is in its log, with the instant, once it was done: that is the truth.
    settings: { max_connections: '200', log_min_duration_statement: '0', log_line_prefix: '%n ' },
  });
  undo.push(() => warehouse.stop());
  const service = await startService('service');
  undo.push(async () => service[Symbol.asyncDispose]());
  const issuer = await startIssuer({ algorithms: ['ES256'] });
  undo.push(() => issuer.close());
  const standby = options.standby ? await startPostgres({ version, settings, standbyOf: store }) : null;
  if (standby) undo.push(() => standby.stop());
  return { store, standby, warehouse, service, issuer };
}

/** The broker's login at the warehouse: no superuser. */
async function prepareWarehouse(warehouse: PostgresServer): Promise<string> {
  const password = randomBytes(24).toString('base64url');
  const admin = await warehouse.connect();
  await admin.query(`
    create role reader nologin;
    create role hallpass login createrole password '${password}';
    grant reader to hallpass with admin option`);
  await admin.end();
  return password;
}

/** A database of the broker's own, through the proxy; with a standby both servers are named, and no proxy stands between. */
async function prepareStore(
  store: PostgresServer,
  standby: PostgresServer | null,
  wire: TcpProxy,
): Promise<string> {
  const admin = await store.connect();
  await admin.query('create database hallpass');
  await admin.end();
  const hosts = standby ? `${host}:${store.port},${host}:${standby.port}` : `${host}:${wire.port}`;
  return `postgres://postgres:${store.password}@${hosts}/hallpass`;
}

function urlOf({ port, password }: PostgresServer): string {
  return `postgres://postgres:${password}@${host}:${port}/hallpass`;
}

async function configure(
  folder: string,
  places: Places & { readonly databaseUrl: string; readonly warehouse: { readonly password: string } },
): Promise<string> {
  const files = {
    database: places.databaseUrl,
    warehouse: places.warehouse.password,
    master: randomBytes(32).toString('base64'),
    log: generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
  for (const [name, text] of Object.entries(files))
    await writeFile(join(folder, name), text, { mode: 0o600 });
  const path = join(folder, 'hallpass.yaml');
  await writeFile(path, configurationText(places), { mode: 0o600 });
  return path;
}

async function publishedKeys([first]: readonly Replica[]): Promise<JSONWebKeySet> {
  const answer = await fetch(`${first?.url}/.well-known/jwks.json`);
  return (await answer.json()) as JSONWebKeySet;
}
