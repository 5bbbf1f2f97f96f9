import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, chown, mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { freePort } from './ports.ts';
import {
  type Availability,
  availablePostgres,
  copyPrograms,
  type PostgresVersion,
} from './postgres-binaries.ts';
import { childrenOf, isRunning } from './processes.ts';

export { availablePostgres, type PostgresVersion };

export interface PostgresOptions {
  readonly version: PostgresVersion;
  /** Server settings, as in postgresql.conf. `fsync` is off unless it is named here. */
  readonly settings?: Readonly<Record<string, string>>;
  /** PEM texts: the server then also takes TLS connections. */
  readonly tls?: { readonly certificate: string; readonly key: string; readonly clientCa?: string };
  /** Lines of pg_hba.conf that come before ours. */
  readonly authentication?: readonly string[];
  /** An existing folder that the server's files lie in; the system's for temporary files without it. */
  readonly folder?: string;
  /** Begins as a streaming standby of this server, whose passwords it then has. Needs `pg_basebackup`. */
  readonly standbyOf?: PostgresServer;
}

/** A real server of our own on loopback, with a fresh data directory. It ends with the process that started it. */
export interface PostgresServer extends AsyncDisposable {
  readonly version: PostgresVersion;
  readonly host: '127.0.0.1';
  readonly port: number;
  readonly username: 'postgres';
  /** The superuser's password. */
  readonly password: string;
  /** The database `postgres` as superuser. */
  readonly adminUrl: string;
  readonly dataDirectory: string;
  readonly socketDirectory: string;
  /** The postmaster; undefined while it is not running. */
  readonly pid: number | undefined;
  /** A connection as superuser; end it before you stop the server. */
  connect(database?: string): Promise<pg.Client>;
  /** Everything that the server has logged so far. */
  log(): Promise<string>;
  /** SIGKILL to each of its processes, as when its machine crashes. The data stay, and `restart` recovers them. */
  kill(): Promise<void>;
  /** Stops it if it runs (open sessions are cut), and starts it again on the same port. `immediate`: without a checkpoint, so that it has to recover. */
  restart(how?: 'fast' | 'immediate'): Promise<void>;
  /** Throws its data away, and comes back on the same port as a streaming standby of this server. Needs `pg_basebackup`. */
  follow(primary: PostgresServer): Promise<void>;
  /** Ends it and removes everything. May be called twice. */
  stop(): Promise<void>;
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 10_000;

/** Starts a server. Takes about a second; throws with the server's own words when it does not come up. */
export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  const programs = (await availablePostgres())[options.version];
  if (!programs.ok) throw new Error(`Cannot start PostgreSQL: ${programs.reason}`);
  const owner = await serverUser();
  const base = await makeBase(owner, options.folder);
  const keeper = startKeeper(base, owner);
  try {
    const bin = await reachablePrograms(programs, base, owner);
    const password = options.standbyOf?.password ?? randomBytes(24).toString('base64url');
    await initialise(bin, base, owner, password, options);
    const server = new Server(options, bin, base, owner, password, keeper);
    await server.start();
    return server;
  } catch (error) {
    await keeper.dismiss();
    throw error;
  }
}

class Server implements PostgresServer {
  readonly host = '127.0.0.1';
  readonly username = 'postgres';
  readonly version: PostgresVersion;
  password: string;
  readonly dataDirectory: string;
  readonly socketDirectory: string;
  port = 0;
  readonly #options: PostgresOptions;
  readonly #bin: string;
  readonly #base: string;
  readonly #owner: Owner | undefined;
  readonly #keeper: Keeper;
  #process: ChildProcess | undefined;
  #stopped: Promise<void> | undefined;

  constructor(
    options: PostgresOptions,
    bin: string,
    base: string,
    owner: Owner | undefined,
    password: string,
    keeper: Keeper,
  ) {
    this.version = options.version;
    this.password = password;
    this.dataDirectory = join(base, 'data');
    this.socketDirectory = base;
    this.#options = options;
    this.#bin = bin;
    this.#base = base;
    this.#owner = owner;
    this.#keeper = keeper;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  get adminUrl(): string {
    return `postgres://postgres:${this.password}@${this.host}:${this.port}/postgres`;
  }

  async connect(database = 'postgres'): Promise<pg.Client> {
    const { host, port, password } = this;
    const client = new pg.Client({ host, port, database, user: 'postgres', password });
    // A server that is stopped or killed cuts its clients: whoever uses one next hears of it.
    client.on('error', () => {});
    await client.connect();
    return client;
  }

  log(): Promise<string> {
    return readFile(join(this.#base, 'server.log'), 'utf8');
  }

  /** Between choosing a free port and binding it somebody else may take it: then another is chosen. */
  async start(): Promise<void> {
    const deadline = performance.now() + START_TIMEOUT_MS;
    for (;;) {
      const port = this.port || (await freePort());
      const failure = await this.#startOn(port, deadline);
      if (failure === null) {
        this.port = port;
        return;
      }
      // After a crash the old server's children may hold its shared memory for a moment.
      const passing = /Address already in use|still in use|lock file .* already exists/.test(failure);
      if (!passing || performance.now() > deadline) {
        throw new Error(`Cannot start PostgreSQL ${this.version}: ${failure}`);
      }
      await delay(50);
    }
  }

  /** Null when it serves, otherwise what it said. */
  async #startOn(port: number, deadline: number): Promise<string | null> {
    const settings = {
      fsync: 'off',
      ...(this.#options.tls ? tlsSettings(this.#base, this.#options.tls) : {}),
      ...this.#options.settings,
      listen_addresses: this.host,
      port: String(port),
      unix_socket_directories: this.socketDirectory,
    };
    const parameters = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const before = (await this.log().catch(() => '')).length;
    const log = await open(join(this.#base, 'server.log'), 'a');
    const child = spawn(join(this.#bin, 'postgres'), ['-D', this.dataDirectory, ...parameters], {
      // A session of its own: Ctrl-C in the terminal is for us, who then end it.
      detached: true,
      cwd: this.#base,
      env: environment(),
      stdio: ['ignore', log.fd, log.fd],
      ...this.#owner,
    });
    child.unref();
    const spawned = await once(child);
    await log.close();
    if (spawned) return spawned.message;
    this.#process = child;
    this.#keeper.watch(child.pid ?? 0);
    while (performance.now() < deadline) {
      if (child.exitCode !== null || child.signalCode !== null) {
        this.#keeper.watch(0);
        this.#process = undefined;
        return (await this.log()).slice(before).trim();
      }
      // The eighth line of postmaster.pid is what pg_ctl waits for too.
      const state = await readFile(join(this.dataDirectory, 'postmaster.pid'), 'utf8').catch(() => '');
      const lines = state.split('\n');
      if (lines[0] === String(child.pid) && lines[7]?.trim() === 'ready') return null;
      await delay(5);
    }
    return `it was not ready within ${START_TIMEOUT_MS} ms`;
  }

  async kill(): Promise<void> {
    // Left to themselves, the backends answer what reaches them before they see that the postmaster is gone.
    const backends = await this.#stopForking();
    await this.#end('SIGKILL');
    await endAll(backends);
  }

  async restart(how: 'fast' | 'immediate' = 'fast'): Promise<void> {
    await this.#end(how === 'fast' ? 'SIGINT' : 'SIGQUIT');
    await this.start();
  }

  async follow(primary: PostgresServer): Promise<void> {
    await this.#end('SIGQUIT');
    await rm(this.dataDirectory, { recursive: true, force: true });
    await copyData(this.#bin, this.dataDirectory, primary, this.#owner);
    this.password = primary.password;
    await this.start();
  }

  stop(): Promise<void> {
    this.#stopped ??= (async () => {
      await this.#end('SIGINT');
      await this.#keeper.dismiss();
    })();
    return this.#stopped;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** The processes that the postmaster has made. It makes no more, and only SIGKILL ends it now. */
  async #stopForking(): Promise<readonly number[]> {
    const { pid } = this;
    return pid !== undefined && this.#process?.kill('SIGSTOP') ? childrenOf(pid) : [];
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    if (!child) return;
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.ref();
    if (child.exitCode === null && child.signalCode === null) {
      child.kill(signal);
      const impatience = setTimeout(() => child.kill('SIGQUIT'), STOP_TIMEOUT_MS);
      await gone;
      clearTimeout(impatience);
    }
    this.#keeper.watch(0);
    this.#process = undefined;
  }
}

/** SIGKILL to each, and resolves when none runs. */
async function endAll(pids: readonly number[]): Promise<void> {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  }
  for (const pid of pids) while (await isRunning(pid)) await delay(5);
}

/** Resolves when the child runs, or with why it could not be started. */
function once(child: ChildProcess): Promise<Error | null> {
  return new Promise((resolve) => {
    child.once('spawn', () => resolve(null));
    child.once('error', resolve);
  });
}

/** A process that ends a server and removes its files as soon as we are gone, however we went. */
export interface Keeper {
  /** Which process to end; 0: none. */
  watch(pid: number): void;
  /** Removes the files and waits for that. */
  dismiss(): Promise<void>;
}

const KEEPER = `
trap '' INT TERM HUP
pid=0
while read -r line; do pid=$line; done
if [ "$pid" -gt 0 ]; then
  kill -QUIT "$pid" 2>/dev/null
  tries=0
  while kill -0 "$pid" 2>/dev/null && [ $tries -lt 100 ]; do sleep 0.05; tries=$((tries + 1)); done
fi
rm -rf "$1"
`;

export function startKeeper(base: string, owner?: Owner): Keeper {
  const child = spawn('/bin/sh', ['-c', KEEPER, 'keeper', base], {
    detached: true,
    cwd: '/',
    env: environment(),
    stdio: ['pipe', 'ignore', 'ignore'],
    ...owner,
  });
  const gone = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const input = child.stdin as unknown as NodeJS.WritableStream & { unref(): void };
  input.on('error', () => {});
  // Neither may keep us alive: when we end, its input ends, and that is its sign.
  child.unref();
  input.unref();
  return {
    watch: (pid) => void input.write(`${pid}\n`),
    dismiss: async () => {
      child.ref();
      input.end();
      await gone;
      await rm(base, { recursive: true, force: true });
    },
  };
}

async function initialise(
  bin: string,
  base: string,
  owner: Owner | undefined,
  password: string,
  options: PostgresOptions,
): Promise<void> {
  const data = join(base, 'data');
  if (options.standbyOf) return copyData(bin, data, options.standbyOf, owner);
  const passwordFile = join(base, 'password');
  await writePrivate(passwordFile, password, owner);
  const parameters = ['-D', data, '-U', 'postgres', '--pwfile', passwordFile, '--auth=scram-sha-256'];
  await promisify(execFile)(
    join(bin, 'initdb'),
    [...parameters, '--encoding=UTF8', '--locale=C', '--no-sync', '--no-instructions'],
    { cwd: base, env: environment(), ...owner },
  ).catch((error: Error & { stderr?: string }) => {
    throw new Error(`Cannot make a data directory: ${error.stderr?.trim() || error.message}`);
  });
  await rm(passwordFile);
  if (options.authentication) {
    const path = join(data, 'pg_hba.conf');
    const ours = await readFile(path, 'utf8');
    await writeFile(path, `${options.authentication.join('\n')}\n${ours}`);
  }
  if (options.tls) {
    await writePrivate(join(base, 'server.crt'), options.tls.certificate, owner);
    await writePrivate(join(base, 'server.key'), options.tls.key, owner);
    if (options.tls.clientCa) await writePrivate(join(base, 'clients.crt'), options.tls.clientCa, owner);
  }
}

/** A copy of a running server's data that goes on following it, named `standby` to it. */
async function copyData(
  bin: string,
  data: string,
  { host, port, username, password }: PostgresServer,
  owner: Owner | undefined,
): Promise<void> {
  const from = `host=${host} port=${port} user=${username} application_name=standby`;
  const parameters = ['-D', data, '-d', from, '--write-recovery-conf', '--wal-method=stream', '--no-sync'];
  await promisify(execFile)(join(bin, 'pg_basebackup'), [...parameters, '--checkpoint=fast'], {
    env: { ...environment(), PGPASSWORD: password },
    ...owner,
  }).catch((error: Error & { stderr?: string }) => {
    throw new Error(`Cannot copy the data directory: ${error.stderr?.trim() || error.message}`);
  });
}

function tlsSettings(base: string, tls: NonNullable<PostgresOptions['tls']>): Record<string, string> {
  return {
    ssl: 'on',
    ssl_cert_file: join(base, 'server.crt'),
    ssl_key_file: join(base, 'server.key'),
    ...(tls.clientCa ? { ssl_ca_file: join(base, 'clients.crt') } : {}),
  };
}

async function writePrivate(path: string, text: string, owner: Owner | undefined): Promise<void> {
  await writeFile(path, text, { mode: 0o600 });
  if (owner) await chown(path, owner.uid, owner.gid);
}

/** PostgreSQL refuses to run as root; then it runs as `postgres`, or else as `nobody`. Undefined: as ourselves. */
async function serverUser(): Promise<Owner | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const users = new Map(
    (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => {
      const [name = '', , uid, gid] = line.split(':');
      return [name, { uid: Number(uid), gid: Number(gid) }] as const;
    }),
  );
  const user = users.get('postgres') ?? users.get('nobody');
  if (!user) throw new Error('Cannot start PostgreSQL as root: there is neither a user postgres nor nobody');
  return user;
}

/** A folder of the server's user, at a path that he can reach. Its name is short: a socket's path ends at 107 bytes. */
async function makeBase(owner: Owner | undefined, folder: string | undefined): Promise<string> {
  const parents = owner ? [tmpdir(), '/tmp', '/var/tmp'] : [tmpdir()];
  for (const parent of folder === undefined ? parents : [folder]) {
    if (owner && !(await reachable(parent))) continue;
    const base = await mkdtemp(join(parent, 'hallpass-pg-'));
    await chmod(base, 0o700);
    if (owner) await chown(base, owner.uid, owner.gid);
    return base;
  }
  throw new Error('Cannot start PostgreSQL: no temporary folder that its user can reach; set TMPDIR to one');
}

/** Where the server's user can run the programs: in place, or in a private copy when links or permissions are missing. */
async function reachablePrograms(
  programs: Availability & { ok: true },
  base: string,
  owner: Owner | undefined,
): Promise<string> {
  const inPlace = programs.missingLinks.length === 0 && (!owner || (await reachable(programs.bin)));
  return inPlace ? programs.bin : copyPrograms(programs, join(base, 'programs'), owner);
}

/** Whether every folder down to this one lets anybody pass. */
async function reachable(path: string): Promise<boolean> {
  for (let at = path; ; at = dirname(at)) {
    const { mode } = await stat(at);
    if ((mode & 0o005) !== 0o005 && at === path) return false;
    if ((mode & 0o001) === 0) return false;
    if (at === dirname(at)) return true;
  }
}

/** Nothing of ours (PGHOST, a password, a locale) reaches the server. */
function environment(): NodeJS.ProcessEnv {
  return { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };
}
