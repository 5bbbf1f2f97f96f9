import { lstatSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Credential } from '../../client/task.ts';
import { createHolder, type Holder } from '../agent/holder.ts';
import { ensurePrivate, privateFolder } from '../agent/place.ts';
import { type Servers, startServers } from '../agent/servers.ts';
import { isAws, isGoogle, pick } from '../agent/shapes.ts';
import { type ConnectionOptions, connect } from '../connect.ts';
import { planDelivery } from '../credentials/plan.ts';
import { writeSecret } from '../exec/folder.ts';
import { tellKeeping } from '../exec/tell.ts';
import { quoteShell } from '../exec/template.ts';
import { EXIT } from '../exit-codes.ts';
import { reportFailure } from '../failure.ts';
import type { Io } from '../io.ts';
import type { AskOptions, DeliveryOptions } from '../options.ts';
import { printJson } from '../output.ts';
import { openRequest } from './open.ts';

export interface AgentOptions extends ConnectionOptions, AskOptions, DeliveryOptions {
  readonly dir?: string;
  readonly port?: number;
  readonly gce?: true;
}

const ATTEMPTS = 8;

/** Holds a task's credentials for other programs until it is told to stop, and then ends the task. Answers the exit code. */
export async function agent(io: Io, options: AgentOptions): Promise<number> {
  const folder = options.dir ?? privateFolder(io.env, 'agent');
  ensurePrivate(folder);
  const stopped = untilStopped(io);
  const token = tokenOf(io, folder);
  let servers: Servers | null = null;
  const written = new Set<string>();
  const removeFiles = () => {
    for (const path of written) rmSync(path, { force: true });
  };
  const keepFiles = io.onExit(removeFiles);
  const write = (credentials: readonly Credential[]) => {
    if (!servers) return;
    for (const [path, content] of Object.entries(filesOf(options, folder, servers, token, credentials))) {
      written.add(path);
      writeSecret(path, content);
    }
  };
  const holder = hold(io, options, write);
  try {
    const { now } = io.runtime;
    const wishes = { port: options.port ?? 0, metadata: options.gce === true };
    servers = await startServers(
      join(folder, 'agent.sock'),
      { token, now, credentials: holder.credentials },
      wishes,
    );
    write(await holder.credentials());
    announce(io, options, folder, servers);
    await stopped.promise;
    return EXIT.done;
  } catch (error) {
    return reportFailure(io, error);
  } finally {
    await holder.close();
    await servers?.close();
    removeFiles();
    keepFiles();
    stopped.release();
  }
}

function hold(io: Io, options: AgentOptions, changed: (credentials: readonly Credential[]) => void): Holder {
  const client = connect(io, options, { maxAttempts: ATTEMPTS });
  const { now, sleep } = io.runtime;
  return createHolder({
    open: () => client.openTask(openRequest(options)),
    now,
    sleep,
    ...(options.ttl === undefined ? {} : { keep: { ttlSeconds: options.ttl } }),
    on: (event) => tellKeeping(io, event),
    failed: (error) => void reportFailure(io, error),
    changed: (credentials) => {
      try {
        changed(credentials);
      } catch (error) {
        reportFailure(io, error);
      }
    },
  });
}

/** That of an agent that was killed here, so that the programs it served can go on; otherwise a new one. */
function tokenOf(io: Io, folder: string): string {
  const file = join(folder, 'token');
  const found = lstatSync(file, { throwIfNoEntry: false });
  const earlier = found?.isFile() && (found.mode & 0o077) === 0 ? readFileSync(file, 'utf8') : '';
  return /^[\w-]{43}$/.test(earlier)
    ? earlier
    : Buffer.from(io.runtime.randomBytes(32)).toString('base64url');
}

/** Resolves at the first signal that asks to end. */
function untilStopped(io: Io): { readonly promise: Promise<void>; release(): void } {
  const undo: (() => void)[] = [];
  const promise = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) undo.push(io.onSignal(signal, resolve));
  });
  return { promise, release: () => undo.forEach((stop) => void stop()) };
}

/** AWS SDKs and Tools Reference Guide, "Credential provider chain": all that comes before the container's endpoint. */
const AWS_WINS = [
  'AWS_ACCESS_KEY_ID',
  'AWS_SECRET_ACCESS_KEY',
  'AWS_SESSION_TOKEN',
  'AWS_PROFILE',
  'AWS_WEB_IDENTITY_TOKEN_FILE',
  'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI',
];

/** The files that programs read; `env`, which names them all, comes last: once it is there, all are. */
function filesOf(
  options: AgentOptions,
  folder: string,
  { port, metadataPort }: Servers,
  token: string,
  credentials: readonly Credential[],
): Record<string, string> {
  const rest = credentials.filter(({ secret }) => !isAws(secret) && !isGoogle(secret));
  const wishes = { prefixes: options.prefix ?? {}, extra: options.env ?? {} };
  const plan = planDelivery(rest, wishes, folder, {});
  const tokenFile = join(folder, 'token');
  const googleFile = join(folder, 'google.json');
  const google = `${JSON.stringify(googleConfiguration(port, tokenFile), null, 2)}\n`;
  const hasGoogle = pick(credentials, isGoogle) !== null;
  const env: Record<string, string> = {
    ...plan.env,
    ...awsVariables(pick(credentials, isAws), port, tokenFile),
    ...(hasGoogle ? { GOOGLE_APPLICATION_CREDENTIALS: googleFile } : {}),
    ...(hasGoogle && metadataPort !== null ? { GCE_METADATA_HOST: `127.0.0.1:${metadataPort}` } : {}),
    HALLPASS_AGENT_SOCK: join(folder, 'agent.sock'),
  };
  // What would win over these where the file is read (a static key over an endpoint, a password over its file).
  const hidden = [...plan.removed, ...(env.AWS_CONTAINER_CREDENTIALS_FULL_URI ? AWS_WINS : [])];
  const lines = [
    ...(hidden.length === 0 ? [] : [`unset ${hidden.filter((name) => env[name] === undefined).join(' ')}\n`]),
    ...Object.entries(env).map(([name, value]) => `export ${name}=${quoteShell(value)}\n`),
  ];
  return {
    ...plan.files,
    // Without a newline at its end: AWS SDKs send the whole content.
    [tokenFile]: token,
    ...(hasGoogle ? { [googleFile]: google } : {}),
    [join(folder, 'env')]: lines.join(''),
  };
}

function awsVariables(aws: Credential | null, port: number, tokenFile: string): Record<string, string> {
  if (!aws) return {};
  const { region } = aws.secret.values;
  return {
    AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://127.0.0.1:${port}/aws/${encodeURIComponent(aws.name)}`,
    AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: tokenFile,
    ...(region ? { AWS_REGION: region } : {}),
  };
}

/** Google Cloud, "External account credentials": our token is exchanged at our own endpoint. */
function googleConfiguration(port: number, tokenFile: string) {
  return {
    type: 'external_account',
    audience: 'hallpass',
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    token_url: `http://127.0.0.1:${port}/google/token`,
    credential_source: { file: tokenFile },
  };
}

function announce(io: Io, options: AgentOptions, folder: string, servers: Servers): void {
  const env = join(folder, 'env');
  if (options.json) printJson(io, { env, socket: join(folder, 'agent.sock'), port: servers.port });
  else io.out(`. ${quoteShell(env)}\n`);
}
