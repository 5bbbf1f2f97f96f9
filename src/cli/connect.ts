import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { type Client, createClient } from '../client/client.ts';
import type { Fetch } from '../client/transport.ts';
import { UsageError } from './failure.ts';
import type { Io } from './io.ts';
import { say } from './output.ts';
import { readSignIn } from './sign-in/saved.ts';

/** What every command that talks to a broker takes. */
export interface ConnectionOptions {
  readonly url?: string;
  readonly tokenFile?: string;
  readonly tokenCommand?: string;
  readonly insecureHttp?: true;
  readonly json?: true;
}

/** A client for these options; `token` in place of the identity's, for a command that holds a task's. */
export function connect(
  io: Io,
  options: ConnectionOptions,
  {
    token = identityToken(io, options),
    maxAttempts,
    dpop,
  }: { token?: () => Promise<string>; maxAttempts?: number; dpop?: true } = {},
): Client {
  const url = urlOf(io, options);
  const fetch = fetchOf(io);
  try {
    return createClient({
      url,
      token,
      fetch,
      sleep: io.runtime.sleep,
      onWait: (error, waitMs) => sayWait(io, error, waitMs),
      ...(maxAttempts === undefined ? {} : { maxAttempts }),
      ...(dpop ? { dpop } : {}),
      ...(options.insecureHttp ? { allowInsecureHttp: true } : {}),
    });
  } catch (error) {
    throw new UsageError(message(error));
  }
}

/** From how long a wait on it is told. */
const LONG_WAIT_MS = 1_000;

function sayWait(io: Io, error: Error, waitMs: number): void {
  if (waitMs >= LONG_WAIT_MS) say(io, `${error.message}; trying again in ${Math.round(waitMs / 1000)} s`);
}

/** What reaches the broker, whoever signed its certificate. */
export function fetchOf(io: Io): Fetch {
  const file = io.env.HALLPASS_CA_FILE;
  if (!file) return io.openFetch(null);
  let ca: string;
  try {
    ca = readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageError(
      `Cannot read the certificates in ${JSON.stringify(file)} (HALLPASS_CA_FILE): ${message(error)}`,
    );
  }
  if (!ca.includes('-----BEGIN CERTIFICATE-----'))
    throw new UsageError(
      `Cannot use ${JSON.stringify(file)} (HALLPASS_CA_FILE): it holds no certificate in PEM`,
    );
  return io.openFetch(ca);
}

/** Where the broker is. */
export function urlOf(io: Io, options: ConnectionOptions): string {
  const url = options.url ?? io.env.HALLPASS_URL;
  if (!url) throw new UsageError('Cannot tell where the broker is: give --url or set HALLPASS_URL');
  return url;
}

/** Gives the token that proves who calls. */
export function identityToken(io: Io, options: ConnectionOptions): () => Promise<string> {
  const { tokenCommand } = options;
  if (tokenCommand !== undefined) return () => commandToken(tokenCommand);
  const file = options.tokenFile ?? io.env.HALLPASS_TOKEN_FILE;
  if (file) return () => fileToken(file);
  const token = io.env.HALLPASS_TOKEN?.trim();
  if (token) return async () => token;
  const url = urlOf(io, options);
  if (readSignIn(io, url) !== null)
    return async () => (await import('./sign-in/current.ts')).currentToken(io, url);
  throw new UsageError(
    'Cannot prove who calls: run hallpass login, give --token-file or --token-command, or set HALLPASS_TOKEN_FILE or HALLPASS_TOKEN',
  );
}

async function fileToken(file: string): Promise<string> {
  try {
    return checked(await readFile(file, 'utf8'));
  } catch (error) {
    throw new UsageError(`Cannot read the identity token in ${JSON.stringify(file)}: ${message(error)}`);
  }
}

const COMMAND_TIMEOUT_MS = 30_000;

async function commandToken(command: string): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)('/bin/sh', ['-c', command], { timeout: COMMAND_TIMEOUT_MS });
    return checked(stdout);
  } catch (error) {
    // What it printed stays unsaid: it may hold half a token.
    const status = (error as { code?: unknown }).code;
    const why = typeof status === 'number' ? `it ended with ${status}` : 'it printed no token in time';
    throw new UsageError(`Cannot get the identity token from --token-command: ${why}`);
  }
}

function checked(text: string): string {
  const token = text.trim();
  if (token === '' || /\s/.test(token)) throw new Error('it does not hold one token');
  return token;
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
