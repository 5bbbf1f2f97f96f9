import { join } from 'node:path';
import type { Credential } from '../../client/task.ts';
import type { Secret } from '../../http/contract.ts';
import { privateFolder } from '../agent/place.ts';
import { awsProcess, expiryOf, isAws } from '../agent/shapes.ts';
import { deliverPostgres } from '../credentials/postgres.ts';
import { writeSecret } from '../exec/folder.ts';
import { quoteShell } from '../exec/template.ts';
import { EXIT } from '../exit-codes.ts';
import { reportFailure, UsageError } from '../failure.ts';
import { helperCredentials, type SourceOptions } from '../helpers/source.ts';
import type { Io } from '../io.ts';

export interface CredentialOptions extends SourceOptions {
  /** Which credential of the task, where several fit. */
  readonly name?: string;
}

/** Prints what AWS' `credential_process` reads. */
export async function awsCredential(io: Io, options: CredentialOptions): Promise<number> {
  return printLine(io, awsProcess(await theOne(io, options, 'AWS keys', isAws)));
}

/** Prints what Google's libraries read from an executable source: an identity token for their own exchange. */
export async function googleCredential(io: Io, options: CredentialOptions): Promise<number> {
  try {
    const credential = await theOne(
      io,
      options,
      'Google identity token',
      ({ values }) => values.id_token !== undefined,
    );
    return printLine(io, {
      version: 1,
      success: true,
      token_type: 'urn:ietf:params:oauth:token-type:id_token',
      id_token: credential.secret.values.id_token,
      expiration_time: Math.floor(expiryOf(credential).getTime() / 1000),
    });
  } catch (error) {
    // The libraries show what stands here, and nothing of standard error.
    const message = error instanceof Error ? error.message : 'failed';
    printLine(io, { version: 1, success: false, code: 'hallpass', message });
    return reportFailure(io, error);
  }
}

/** Prints an ExecCredential for kubectl and its libraries. */
export async function kubectlCredential(io: Io, options: CredentialOptions): Promise<number> {
  const fits = ({ type, values }: Secret) =>
    values.client_key !== undefined ||
    (values.token !== undefined && (type === 'kubernetes' || options.name !== undefined));
  const credential = await theOne(io, options, 'Kubernetes credential', fits);
  const { token, client_certificate: certificate, client_key: key } = credential.secret.values;
  const proof = token === undefined ? { clientCertificateData: certificate, clientKeyData: key } : { token };
  return printLine(io, {
    apiVersion: 'client.authentication.k8s.io/v1',
    kind: 'ExecCredential',
    status: { expirationTimestamp: `${expiryOf(credential).toISOString().slice(0, 19)}Z`, ...proof },
  });
}

/** A git credential helper for one host (gitcredentials(7)). It remembers nothing, so only `get` does something. */
export async function gitCredential(
  io: Io,
  options: CredentialOptions & { readonly host: string },
  operation: string,
): Promise<number> {
  if (operation !== 'get') return EXIT.done;
  const asked = new Map((await io.input()).split('\n').map((line) => splitOnce(line, '=')));
  // A token is for this host alone, and never for the clear: git tries the next helper.
  if (asked.get('protocol') !== 'https' || asked.get('host') !== options.host) return EXIT.done;
  const credential = await theOne(io, options, 'password', isPassword);
  const { username, password } = loginOf(credential.secret);
  const expiry = Math.floor(expiryOf(credential).getTime() / 1000);
  io.out(`username=${username}\npassword=${password}\npassword_expiry_utc=${expiry}\n`);
  return EXIT.done;
}

/** A docker credential helper for one registry (docker-credential-helpers protocol). */
export async function dockerCredential(
  io: Io,
  options: CredentialOptions & { readonly registry: string },
  operation: string,
): Promise<number> {
  if (operation === 'list') return printLine(io, {});
  if (operation !== 'get') throw new UsageError(`Cannot ${operation}: credentials come from a broker`);
  const server = (await io.input()).trim();
  if (bare(server) !== bare(options.registry)) {
    // Docker knows this sentence: it goes on without a login.
    io.out('credentials not found in native keychain\n');
    return EXIT.failed;
  }
  const { username, password } = loginOf((await theOne(io, options, 'password', isPassword)).secret);
  return printLine(io, { ServerURL: server, Username: username, Secret: password });
}

/** Writes a service and a password file for libpq, and prints the lines that make a shell use them. */
export async function pgCredential(
  io: Io,
  options: CredentialOptions & { readonly service: string },
): Promise<number> {
  const section = await pgService(io, options, options.service);
  const serviceFile = join(privateFolder(io.env, 'pg'), `${options.service}.service`);
  writeSecret(serviceFile, `${section}\n`);
  io.out(
    `export PGSERVICEFILE=${quoteShell(serviceFile)}\nexport PGSERVICE=${quoteShell(options.service)}\n`,
  );
  return EXIT.done;
}

/** The section of a service file for this login. Its password file is written; the section itself holds no password. */
export async function pgService(io: Io, options: CredentialOptions, service: string): Promise<string> {
  if (!/^[\w.-]+$/.test(service))
    throw new UsageError('Cannot use the service name: write letters, digits, _, . and -');
  const { secret } = await theOne(io, options, 'PostgreSQL login', ({ type }) => type === 'postgres');
  const folder = privateFolder(io.env, 'pg');
  const { files, env } = deliverPostgres(secret, (ending) => join(folder, `${service}.${ending}`));
  for (const [path, content] of Object.entries(files)) writeSecret(path, content);
  const lines = Object.entries(env).map(([name, value]) => `${SERVICE_MEMBERS[name] ?? name}=${value}`);
  return [`[${service}]`, ...lines].join('\n');
}

/** PostgreSQL manual, "Parameter Key Words": what each variable is called in a service file. */
const SERVICE_MEMBERS: Readonly<Record<string, string>> = {
  PGHOST: 'host',
  PGPORT: 'port',
  PGDATABASE: 'dbname',
  PGUSER: 'user',
  PGPASSFILE: 'passfile',
  PGSSLMODE: 'sslmode',
  PGSSLROOTCERT: 'sslrootcert',
};

async function theOne(
  io: Io,
  options: CredentialOptions,
  what: string,
  fits: (secret: Secret) => boolean,
): Promise<Credential> {
  const all = await helperCredentials(io, options);
  const found = all.filter((one) => fits(one.secret) && (options.name ?? one.name) === one.name);
  const [first, second] = found;
  if (first && !second) return first;
  const names = all.map(({ name }) => `"${name}"`).join(', ');
  throw new UsageError(
    first
      ? `Cannot choose among several: give --name, one of ${found.map(({ name }) => `"${name}"`).join(', ')}`
      : `Cannot find ${what}: the task has ${names}`,
  );
}

function isPassword({ values }: Secret): boolean {
  return values.token !== undefined || values.password !== undefined;
}

function loginOf({ values }: Secret): { readonly username: string; readonly password: string } {
  const password = values.token ?? values.password ?? '';
  const username = values.username ?? 'x-access-token';
  if (/[\n\0]/.test(username + password)) throw new Error('The credential does not fit into one line');
  return { username, password };
}

function bare(server: string): string {
  return server.replace(/^https:\/\//, '').replace(/\/$/, '');
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

function printLine(io: Io, value: object): number {
  io.out(`${JSON.stringify(value)}\n`);
  return EXIT.done;
}
