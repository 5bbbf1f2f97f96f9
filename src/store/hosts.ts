import pg from 'pg';

/**
 * The URLs of the single servers that a connection URL names: `postgres://user@one:5432,two:5432/name`, as libpq
 * writes a primary and its standbys.
 */
export function hostUrls(url: string): readonly string[] {
  const [, before = '', hosts = '', after = ''] =
    /^(postgres(?:ql)?:\/\/(?:[^@/?#]*@)?)([^/?#]*)(.*)$/.exec(url) ?? [];
  return hosts.includes(',') ? hosts.split(',').map((host) => `${before}${host}${after}`) : [url];
}

/** SQLSTATE of a write to a server that takes none. */
const READ_ONLY = '25006';

/**
 * Connections to whichever of several servers takes writes. One that refuses, breaks off or turns read-only is left for
 * the next in turn; so after a failover the brokers find the new primary by themselves. Which server is the primary is
 * not ours to decide: that no two of them take writes at a time is for whoever promotes them to see to.
 */
export class HostPool extends pg.Pool {
  readonly #pools: readonly pg.Pool[];
  #current = 0;

  constructor(urls: readonly string[], options: pg.PoolConfig) {
    super(options);
    this.#pools = urls.map((connectionString) => {
      const pool = new pg.Pool({ ...options, connectionString, onConnect: refuseReadOnly });
      // As with one server: what breaks while idle is replaced at the next use.
      pool.on('error', () => {});
      // Whatever went wrong, another server may do better, and a look at one that is no better costs little.
      pool.on('release', (error) => {
        if (error && mayBeTheServer(error)) this.#leave(pool);
      });
      return pool;
    });
  }

  override connect(): Promise<pg.PoolClient>;
  override connect(callback: Parameters<typeof connectWith>[1]): void;
  override connect(callback?: Parameters<typeof connectWith>[1]): Promise<pg.PoolClient> | undefined {
    const found = this.#find();
    if (callback === undefined) return found;
    connectWith(found, callback);
    return undefined;
  }

  override async end(): Promise<void> {
    await Promise.all([...this.#pools.map((pool) => pool.end()), super.end()]);
  }

  /** Nothing was sent to a server that could not be connected to: the others are asked at once, each a single time. */
  async #find(): Promise<pg.PoolClient> {
    for (let left = this.#pools.length; ; left--) {
      const pool = this.#pools[this.#current] as pg.Pool;
      try {
        return await pool.connect();
      } catch (error) {
        this.#leave(pool);
        if (left <= 1) throw error;
      }
    }
  }

  /** Others may have left it before. */
  #leave(pool: pg.Pool): void {
    if (this.#pools[this.#current] === pool) this.#current = (this.#current + 1) % this.#pools.length;
  }
}

function connectWith(
  found: Promise<pg.PoolClient>,
  callback: (
    error: Error | undefined,
    client: pg.PoolClient | undefined,
    done: (release?: boolean | Error) => void,
  ) => void,
): void {
  found.then(
    (client) => callback(undefined, client, (release) => client.release(release)),
    (error: Error) => callback(error, undefined, () => {}),
  );
}

async function refuseReadOnly(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ readonly: boolean }>(
    "select current_setting('transaction_read_only')::boolean as readonly",
  );
  if (rows[0]?.readonly) {
    throw Object.assign(new Error('the server takes no writes'), { code: READ_ONLY });
  }
}

/** A statement that is wrong is wrong everywhere: such errors have a SQLSTATE of another class. */
function mayBeTheServer(error: boolean | Error): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return !/^[0-9A-Z]{5}$/.test(code) || /^(08|57P|53|58)/.test(code) || code === READ_ONLY;
}
