import { type ConnectionOptions, checkServerIdentity } from 'node:tls';
import pg from 'pg';
import { ProviderError } from '../../errors.ts';
import { providerError } from './errors.ts';
import { MAX_OTHER_POOLS } from './limits.ts';
import { prepareLooks } from './look.ts';
import type { PostgresSettings } from './settings.ts';

/**
 * The broker's own connections to one server: a pool for the main database, and one for each other database that is
 * in use, opened when first needed.
 */
export class Connections {
  readonly #settings: PostgresSettings;
  readonly #main: pg.Pool;
  /** In the order of their last use. */
  readonly #others = new Map<string, pg.Pool>();

  constructor(settings: PostgresSettings) {
    this.#settings = settings;
    this.#main = this.#pool(settings.database, settings.pool.size);
  }

  /**
   * Runs `work` on a connection to the database. Whatever goes wrong is a ProviderError that says what we were
   * `doing`. When the signal aborts, the connection is cut, and whether the server finished is unknown.
   */
  async run<T>(
    database: string,
    doing: string,
    signal: AbortSignal,
    work: (client: pg.ClientBase) => Promise<T>,
  ): Promise<T> {
    if (signal.aborted) throw gaveUp(doing, signal);
    let onAbort = () => {};
    const aborted = new Promise<never>((_, reject) => {
      onAbort = () => reject(gaveUp(doing, signal));
    });
    aborted.catch(() => {});
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      const connecting = this.#poolOf(database).connect();
      // A connection that comes after we gave up goes back unused.
      connecting.then(
        (client) => signal.aborted && client.release(),
        () => {},
      );
      const client = await Promise.race([connecting, aborted]);
      return await runOn(client, work, aborted);
    } catch (error) {
      throw providerError(doing, error);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  async close(): Promise<void> {
    const pools = [this.#main, ...this.#others.values()];
    this.#others.clear();
    await Promise.all(pools.map((pool) => pool.end()));
  }

  #poolOf(database: string): pg.Pool {
    if (database === this.#settings.database) return this.#main;
    const pool =
      this.#others.get(database) ??
      this.#pool(database, Math.max(2, Math.ceil(this.#settings.pool.size / 5)));
    this.#others.delete(database);
    this.#others.set(database, pool);
    const [oldest] = this.#others.keys();
    if (this.#others.size > MAX_OTHER_POOLS && oldest !== undefined) {
      // Ends once its connections are back.
      this.#others
        .get(oldest)
        ?.end()
        .catch(() => {});
      this.#others.delete(oldest);
    }
    return pool;
  }

  #pool(database: string, size: number): pg.Pool {
    const { pool } = this.#settings;
    const created = new pg.Pool({
      ...connectionConfig(this.#settings, database),
      user: this.#settings.username,
      // A function, so that pg does not look for a password in the environment when there is none.
      password: () => this.#settings.password ?? '',
      max: size,
      idleTimeoutMillis: pool.idle_seconds * 1000,
      allowExitOnIdle: true,
      onConnect: (client) => client.query(sessionSettings(this.#settings)),
    });
    // An idle connection that breaks is replaced when it is needed; there is nobody to tell.
    created.on('error', () => {});
    return created;
  }
}

/** What every connection to the target has, whoever logs in. */
export function connectionConfig(settings: PostgresSettings, database: string): pg.ClientConfig {
  return {
    host: settings.host,
    port: settings.port,
    database,
    ssl: settings.insecure_plaintext ? false : tlsOptions(settings),
    application_name: 'hallpass',
    connectionTimeoutMillis: settings.pool.connect_timeout_seconds * 1000,
    keepAlive: true,
  };
}

function tlsOptions(settings: PostgresSettings): ConnectionOptions {
  const { ca, cert, key, server_name: serverName } = settings.tls;
  return {
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
    // pg sets the server's name from the host: the check is what must look for another.
    ...(serverName === undefined
      ? {}
      : {
          servername: serverName,
          checkServerIdentity: (_host, peer) => checkServerIdentity(serverName, peer),
        }),
  };
}

/**
 * Objects of others must not stand in for the server's own, and nothing of ours may wait without end. What we say to be
 * gone must be so on disk: where the server commits before that, a crash would bring a dropped login back.
 */
function sessionSettings(settings: PostgresSettings): string {
  const { statement_timeout_seconds: statement, lock_timeout_seconds: lock } = settings.pool;
  return `
    SET search_path TO pg_catalog;
    SET client_min_messages TO error;
    SELECT set_config('synchronous_commit', 'local', false) WHERE current_setting('synchronous_commit') = 'off';
    SET statement_timeout TO ${Math.ceil(statement * 1000)};
    SET lock_timeout TO ${Math.ceil(lock * 1000)};
    SET idle_in_transaction_session_timeout TO ${Math.ceil(statement * 1000)};
    ${prepareLooks}`;
}

async function runOn<T>(
  client: pg.PoolClient,
  work: (client: pg.ClientBase) => Promise<T>,
  aborted: Promise<never>,
): Promise<T> {
  let broken = true;
  // Without a listener a connection that breaks between two queries would end the process.
  const onError = () => {};
  client.on('error', onError);
  try {
    const result = await Promise.race([work(client), aborted]);
    broken = false;
    return result;
  } catch (error) {
    // After an SQL error the connection is as good as before, once a transaction that was left open is gone.
    if (error instanceof pg.DatabaseError && client.getTransactionStatus() !== null) {
      broken = await client.query('ROLLBACK').then(
        () => false,
        () => true,
      );
    }
    throw error;
  } finally {
    client.off('error', onError);
    client.release(broken);
  }
}

/** The error for work that was given up because its signal aborted. */
export function gaveUp(doing: string, signal: AbortSignal): ProviderError {
  return new ProviderError('target-timeout', `Cannot ${doing}: no answer in time`, { cause: signal.reason });
}
