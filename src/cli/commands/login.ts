import { spawn } from 'node:child_process';
import { z } from 'zod';
import { HallpassUnreachable } from '../../client/problem.ts';
import { checkedUrl, type FetchAnswer } from '../../client/transport.ts';
import type { SignIn } from '../../http/contract.ts';
import { type ConnectionOptions, fetchOf, urlOf } from '../connect.ts';
import { EXIT } from '../exit-codes.ts';
import { UsageError } from '../failure.ts';
import type { Io } from '../io.ts';
import { printJson, say, when } from '../output.ts';
import { listenOnLoopback } from '../sign-in/loopback.ts';
import {
  protocolFault,
  revokeRefreshToken,
  type SignedIn,
  type SignInAt,
  signInByBrowser,
  signInByDevice,
} from '../sign-in/protocol.ts';
import { readSignIn, removeSignIn, saveSignIn } from '../sign-in/saved.ts';

export interface LoginOptions extends Pick<ConnectionOptions, 'url' | 'insecureHttp' | 'json'> {
  readonly device?: true;
  readonly issuer?: string;
  readonly clientId?: string;
  readonly scope?: string;
  readonly refresh?: true;
  readonly port: number;
  readonly browser: boolean;
  /** Seconds. */
  readonly timeout: number;
}

/** Signs a person in at the issuer that the broker names, and keeps the identity token for the commands that follow. */
export async function login(io: Io, options: LoginOptions): Promise<number> {
  const url = urlOf(io, options);
  const stop = new AbortController();
  const undo = (['SIGINT', 'SIGTERM', 'SIGHUP'] as const).map((signal) =>
    io.onSignal(signal, () => stop.abort(new UsageError(`Cannot sign in: ended by ${signal}`))),
  );
  const timer = io.runtime.sleep(options.timeout * 1000, stop.signal).then(
    () => stop.abort(new UsageError(`Cannot sign in: nobody did within ${options.timeout} seconds`)),
    () => {},
  );
  try {
    const at = await whereToSignIn(io, options, url, stop.signal);
    const signedIn = await (options.device
      ? byDevice(io, at, stop.signal)
      : byBrowser(io, at, options, stop.signal));
    saveSignIn(io, { url, issuer: at.issuer, clientId: at.clientId, ...signedIn });
    report(io, options, at, signedIn);
    return EXIT.done;
  } catch (error) {
    if (stop.signal.aborted) throw stop.signal.reason;
    const fault = protocolFault(error);
    throw fault === null ? error : new Error(fault);
  } finally {
    for (const each of undo) each();
    stop.abort();
    await timer;
  }
}

/** From the options, or else from the broker, which anybody may ask. */
async function whereToSignIn(
  io: Io,
  { issuer, clientId, scope, refresh, insecureHttp }: LoginOptions,
  url: string,
  signal: AbortSignal,
): Promise<SignInAt> {
  if ((issuer === undefined) !== (clientId === undefined))
    throw new UsageError('Cannot tell where to sign in: --issuer and --client-id go together');
  const named: SignIn =
    issuer !== undefined && clientId !== undefined
      ? { issuer, client_id: clientId, scope: 'openid' }
      : await askBroker(io, url, insecureHttp, signal);
  const wanted = scope ?? named.scope;
  return {
    issuer: named.issuer,
    clientId: named.client_id,
    scope: refresh && !wanted.split(' ').includes('offline_access') ? `${wanted} offline_access` : wanted,
  };
}

const signInDocument = z.object({ issuer: z.string(), client_id: z.string(), scope: z.string() });

async function askBroker(
  io: Io,
  url: string,
  insecureHttp: true | undefined,
  signal: AbortSignal,
): Promise<SignIn> {
  const base = checkedBroker(url, insecureHttp);
  base.pathname = `${base.pathname.replace(/\/$/, '')}/sign-in/cli`;
  let answer: FetchAnswer;
  try {
    answer = await fetchOf(io)(base, { headers: {}, redirect: 'error', signal });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new HallpassUnreachable(base.origin, error);
  }
  if (answer.status === 404)
    throw new UsageError(
      'Cannot tell where to sign in: the broker has no sign_in.cli; give --issuer and --client-id',
    );
  const read = signInDocument.safeParse(jsonOf(await answer.text()));
  if (!answer.ok || !read.success)
    throw new Error(`Cannot tell where to sign in: the broker answers ${answer.status}`);
  return read.data;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function checkedBroker(url: string, insecureHttp: true | undefined): URL {
  try {
    return checkedUrl({ url, ...(insecureHttp ? { allowInsecureHttp: true } : {}) });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** The server is up before the browser is opened, so that the answer finds somebody. */
async function byBrowser(
  io: Io,
  at: SignInAt,
  { port, browser }: LoginOptions,
  signal: AbortSignal,
): Promise<SignedIn> {
  const loopback = await listenOnLoopback(port);
  let done = false;
  try {
    const show = (address: string) => {
      say(io, 'Sign in with a browser on this machine:');
      io.err(`\n  ${address}\n\n`);
      if (browser) openBrowser(io, address);
    };
    const signedIn = await signInByBrowser(io, at, loopback, show, signal);
    done = true;
    return signedIn;
  } finally {
    await loopback.finish(done);
  }
}

function byDevice(io: Io, at: SignInAt, signal: AbortSignal): Promise<SignedIn> {
  return signInByDevice(
    io,
    at,
    (address, code) => {
      say(io, `Sign in on any device, and see that it shows the code ${code}:`);
      say(io, address);
    },
    signal,
  );
}

function report(
  io: Io,
  { json }: LoginOptions,
  { issuer }: SignInAt,
  { subject, expiresAt }: SignedIn,
): void {
  const until = new Date(expiresAt).toISOString();
  if (json) printJson(io, { issuer, subject, expires_at: until });
  else say(io, `Signed in as ${subject} at ${issuer}, until ${when(until)}`);
  const first = ['HALLPASS_TOKEN_FILE', 'HALLPASS_TOKEN'].find((name) => io.env[name]);
  if (first !== undefined) say(io, `${first} is set, and comes first: unset it to be this person`);
}

/** That it fails is no matter: the address stands in the terminal. */
function openBrowser(io: Io, address: string): void {
  const [command = '', ...args] = openerOf(io.env);
  const child = spawn(command, [...args, address], { stdio: 'ignore', detached: true });
  child.on('error', () => {});
  child.unref();
}

function openerOf(env: Io['env']): readonly string[] {
  if (env.BROWSER) return [env.BROWSER];
  if (process.platform === 'darwin') return ['open'];
  if (process.platform === 'win32') return ['rundll32', 'url.dll,FileProtocolHandler'];
  return ['xdg-open'];
}

/** For the provider to withdraw a refresh token; the file is gone before it is asked. */
const REVOKE_TIMEOUT_MS = 10_000;

/** Forgets the sign-in for a broker, and has its refresh token withdrawn where there is one. */
export async function logout(io: Io, options: Pick<ConnectionOptions, 'url'>): Promise<number> {
  const url = urlOf(io, options);
  const saved = readSignIn(io, url);
  removeSignIn(io, url);
  if (saved === null) {
    say(io, 'Nobody was signed in');
    return EXIT.done;
  }
  const { refreshToken } = saved;
  if (refreshToken !== undefined) {
    const revoked = await revokeRefreshToken(
      io,
      saved,
      refreshToken,
      AbortSignal.timeout(REVOKE_TIMEOUT_MS),
    ).catch(() => false);
    if (!revoked)
      say(io, 'The refresh token could not be withdrawn at the identity provider: it lapses there');
  }
  say(io, 'Signed out here; the session at the identity provider is its own');
  return EXIT.done;
}
