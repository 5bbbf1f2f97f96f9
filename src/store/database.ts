import { mkdirSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import type { PGlite } from '@electric-sql/pglite';
import { drizzle as drizzleNodePostgres } from 'drizzle-orm/node-postgres';
import type { PgDatabase, PgQueryResultHKT } from 'drizzle-orm/pg-core';
import pg from 'pg';
import { HallpassError } from '../errors.ts';
import { holdDirectory } from './directory-lock.ts';
import { HostPool, hostUrls } from './hosts.ts';

/** The store's one connection to its database: Postgres, or PGlite inside this process. The SQL is the same. */
export interface Database {
  readonly kind: 'postgres' | 'pglite';
  /** For statements that drizzle builds. */
  readonly orm: PgDatabase<PgQueryResultHKT>;
  /** One statement with its parameters. With a name it is prepared once for each connection. */
  query<Row>(statement: Statement, parameters: readonly unknown[]): Promise<Row[]>;
  /** How long a statement takes of late, in milliseconds, with the wait for a connection. */
  readonly statementMs: number;
  /** Several statements at once, in one transaction, without parameters. */
  script(sql: string): Promise<void>;
  close(): Promise<void>;
}

export interface Statement {
  /** Names the prepared statement; unique for its text. */
  readonly name: string;
  readonly text: string;
}

export interface DatabaseSettings {
  /** A Postgres connection URL, which may name several servers; null: PGlite in `directory`. */
  readonly url: string | null;
  /** Where PGlite keeps its files; null keeps them in memory, for tests. */
  readonly directory: string | null;
  /** Connections to Postgres at the most. */
  readonly connections?: number;
  /** After how many milliseconds of silence a connection to Postgres is given up. */
  readonly silenceMs?: number;
}

/** How much the newest statement counts against all before it. */
const NEWEST_SHARE = 0.1;

/** A statement counts as no longer than this, so that a store that was away is soon forgiven. */
const LONGEST_COUNTED_MS = 2_000;

/** Follows how long statements take; those that fail too. */
function createStopwatch() {
  let statementMs = 0;
  return {
    get statementMs() {
      return statementMs;
    },
    async time<T>(work: () => Promise<T>): Promise<T> {
      const from = performance.now();
      try {
        return await work();
      } finally {
        const lastedMs = Math.min(performance.now() - from, LONGEST_COUNTED_MS);
        statementMs += NEWEST_SHARE * (lastedMs - statementMs);
      }
    },
  };
}

/** The server gives up a statement after this time. */
const STATEMENT_MS = 30_000;

/** A connection that is not used for this time is closed: before its silence could be taken for that of a dead server. */
const IDLE_MS = 30_000;

/** A server that says nothing for this time is away: it would have given up the statement by now. */
const SILENCE_MS = 35_000;

/** SQLSTATE classes and codes that mean "the database is not there", and not "the statement is wrong". */
const UNAVAILABLE = /^(08|53|57P|57014|58|25006)/;

export async function openDatabase(settings: DatabaseSettings): Promise<Database> {
  return settings.url === null
    ? openPglite(settings.directory)
    : openPostgres(settings.url, settings.connections ?? 10, settings.silenceMs ?? SILENCE_MS);
}

/**
 * A connection that breaks when nothing comes or goes for a time. One timer a connection does it: pg's `query_timeout`
 * has one a statement, and what it keeps of each would outlive many collections of garbage.
 */
function audibleSocket(silenceMs: number): Socket {
  const socket = new Socket();
  socket.setTimeout(silenceMs, () => socket.destroy(new Error('Connection silent')));
  return socket;
}

async function openPostgres(url: string, connections: number, silenceMs: number): Promise<Database> {
  const options: pg.PoolConfig = {
    max: connections,
    connectionTimeoutMillis: 5_000,
    idleTimeoutMillis: IDLE_MS,
    statement_timeout: STATEMENT_MS,
    stream: () => audibleSocket(silenceMs),
    keepAlive: true,
    application_name: 'hallpass',
    // Every frequent statement is served by an index. Plans are made once and kept, so one that was made while the
    // tables were small must not scan them when they are large; and compiling such a plan would cost more than running it.
    options: '-c enable_seqscan=off -c jit=off',
  };
  const urls = hostUrls(url);
  const pool =
    urls.length > 1 ? new HostPool(urls, options) : new pg.Pool({ ...options, connectionString: url });
  // A connection that breaks while idle is replaced at the next use; without a listener it would end the process.
  pool.on('error', () => {});
  const stopwatch = createStopwatch();
  return {
    kind: 'postgres',
    get statementMs() {
      return stopwatch.statementMs;
    },
    orm: drizzleNodePostgres(pool),
    async query<Row>(statement: Statement, parameters: readonly unknown[]) {
      return withUnavailable(async () => {
        const result = await stopwatch.time(() =>
          pool.query({ name: statement.name, text: statement.text, values: [...parameters] }),
        );
        return result.rows as Row[];
      });
    },
    async script(sql) {
      // A statement without parameters goes out as a simple query, which is one transaction of its own.
      await withUnavailable(() => pool.query(sql));
    },
    close: () => pool.end(),
  };
}

async function openPglite(directory: string | null): Promise<Database> {
  const [{ PGlite }, { drizzle }] = await Promise.all([
    import('@electric-sql/pglite'),
    import('drizzle-orm/pglite'),
  ]);
  let release = () => {};
  let client: PGlite;
  if (directory === null) {
    client = await PGlite.create();
  } else {
    release = takeDirectory(directory);
    client = await PGlite.create(join(directory, 'store'));
  }
  const stopwatch = createStopwatch();
  return {
    kind: 'pglite',
    get statementMs() {
      return stopwatch.statementMs;
    },
    orm: drizzle(client),
    async query<Row>(statement: Statement, parameters: readonly unknown[]) {
      const result = await stopwatch.time(() => client.query<Row>(statement.text, [...parameters]));
      return result.rows;
    },
    async script(sql) {
      await client.exec(`begin; ${sql}; commit`).catch(async (error: unknown) => {
        await client.exec('rollback');
        throw error;
      });
    },
    async close() {
      await client.close();
      release();
    },
  };
}

/** Makes the directory where there is none, and holds it. */
function takeDirectory(directory: string): () => void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    return holdDirectory(directory);
  } catch (error) {
    if (error instanceof HallpassError) throw error;
    const { code = 'no reason' } = error as NodeJS.ErrnoException;
    throw new HallpassError(
      'config-invalid',
      `Cannot keep the state in "${directory}": writing there fails with ${code}; give the broker the right, write another broker.state_directory, or set DATABASE_URL to use a Postgres`,
      { cause: error },
    );
  }
}

/** Runs a statement of drizzle's, with an unavailable database told from a wrong statement. */
export async function withUnavailable<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isUnavailable(error)) {
      throw new HallpassError('store-unavailable', 'Cannot reach the store: its database does not answer', {
        cause: error,
      });
    }
    throw error;
  }
}

function isUnavailable(error: unknown): boolean {
  for (let e = error; e instanceof Error; e = e.cause) {
    const code: unknown = 'code' in e ? e.code : undefined;
    if (typeof code === 'string') return UNAVAILABLE.test(code) || /^E[A-Z]+$/.test(code);
    if (/timeout|terminated|Connection|connection/.test(e.message) && !('severity' in e)) return true;
  }
  return false;
}

/** The SQLSTATE of a failed statement, from either driver and through drizzle's wrapping. */
export function sqlState(error: unknown): string | null {
  for (let e = error; e instanceof Error; e = e.cause) {
    const code: unknown = 'code' in e ? e.code : undefined;
    if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code)) return code;
  }
  return null;
}
