import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { createCertificate } from '../support/certificates.ts';
import { availablePostgres, type PostgresServer, startPostgres } from '../support/postgres.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';

const available = (await availablePostgres())['18'];
const SILENCE_MS = 500;

const reason = available.ok ? null : available.reason;

describe.for(['plain', 'tls'])('a store that falls silent, %s', (kind) => {
  let server: PostgresServer;
  let wire: TcpProxy;
  let database: Database;
  let folder: string;

  beforeAll(async () => {
    if (reason !== null) return;
    const { cert: certificate, key } = await createCertificate({ name: 'store', dns: ['localhost'] });
    server = await startPostgres({ version: '18', ...(kind === 'tls' ? { tls: { certificate, key } } : {}) });
    wire = await startTcpProxy(server);
    folder = await mkdtemp(join(tmpdir(), 'hallpass-silence-'));
    const root = join(folder, 'root.pem');
    await writeFile(root, certificate);
    const mode = kind === 'tls' ? `?sslmode=verify-full&sslrootcert=${root}` : '';
    const url = `postgres://postgres:${server.password}@localhost:${wire.port}/postgres${mode}`;
    database = await openDatabase({ url, directory: null, connections: 1, silenceMs: SILENCE_MS });
  });
  afterAll(async () => {
    await database?.close();
    await wire?.close();
    await server?.stop();
    if (folder) await rm(folder, { recursive: true });
  });

  const backend = async () => {
    const text = 'select pg_backend_pid() as pid, (select ssl from pg_stat_ssl where pid = pg_backend_pid())';
    const [row] = await database.query<{ pid: number; ssl: boolean }>({ name: 'backend', text }, []);
    return row;
  };

  test('a connection that is spoken on stays', async (ctx) => {
    if (reason !== null) return ctx.skip(reason);
    const first = await backend();
    expect(first?.ssl).toBe(kind === 'tls');
    for (const until = Date.now() + 3 * SILENCE_MS; Date.now() < until; ) {
      expect(await backend()).toEqual(first);
      await new Promise((resolve) => setTimeout(resolve, SILENCE_MS / 10));
    }
  });

  test('a statement that nobody answers fails as a store that is away, and the next goes over another connection', async (ctx) => {
    if (reason !== null) return ctx.skip(reason);
    const first = await backend();
    wire.set({ kind: 'blackhole' });
    const begun = performance.now();
    await expect(backend()).rejects.toMatchObject({ code: 'store-unavailable' });
    expect(performance.now() - begun).toBeGreaterThan(SILENCE_MS * 0.9);
    wire.set({ kind: 'fair' });
    const next = await backend();
    expect(next?.pid).not.toBe(first?.pid);
  });

  test('a connection that nobody used is not missed', async (ctx) => {
    if (reason !== null) return ctx.skip(reason);
    await backend();
    await new Promise((resolve) => setTimeout(resolve, 1.5 * SILENCE_MS));
    expect(await backend()).toBeDefined();
  });
});
