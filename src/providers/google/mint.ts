import { afterEffect, ProviderError } from '../../errors.ts';
import type { Runtime } from '../../runtime.ts';
import type { Minted, Terms } from '../provider.ts';
import type { Connection, GoogleToken } from './connection.ts';
import {
  ID_TOKEN_SECONDS,
  LONGEST_EXTENDED_TTL_SECONDS,
  LONGEST_TTL_SECONDS,
  TOKEN_MARGIN_MS,
} from './limits.ts';
import type { GoogleScope, GoogleSettings } from './settings.ts';

export interface GoogleContext {
  readonly runtime: Runtime;
  readonly settings: GoogleSettings;
  readonly connection: Connection;
}

/** Makes a token. Google keeps no record of it that could be found or withdrawn: what is lost on the way lapses. */
export async function mint(
  context: GoogleContext,
  scope: GoogleScope,
  terms: Terms,
  signal: AbortSignal,
): Promise<Minted> {
  const { runtime, settings, connection } = context;
  const now = runtime.now();
  if (now >= terms.mintBefore)
    throw new ProviderError('target-refused', 'Cannot make a token: its time is over');
  const seconds = Math.floor((terms.expiresAt - now - TOKEN_MARGIN_MS) / 1000);
  const made =
    scope.id_token === undefined
      ? await makeAccessToken(context, scope, seconds, terms, signal)
      : await makeIdToken(connection, scope, seconds, terms, signal);
  if (made.expiresAt > terms.expiresAt + TOKEN_MARGIN_MS)
    throw new ProviderError('target-failed', 'Cannot use the token: it lives longer than was asked');
  const { project } = settings;
  const member = scope.id_token === undefined ? 'access_token' : 'id_token';
  const values = {
    [member]: made.token,
    service_account: scope.service_account,
    ...(project === undefined ? {} : { project }),
  };
  // Google's clock may be ahead of ours: by ours it lapses no later than was asked.
  return {
    secret: { type: 'google', values },
    handle: {},
    expiresAt: Math.min(made.expiresAt, terms.expiresAt),
  };
}

async function makeAccessToken(
  { connection, settings }: GoogleContext,
  scope: GoogleScope,
  seconds: number,
  { name }: Terms,
  signal: AbortSignal,
): Promise<GoogleToken> {
  const longest = settings.extended_lifetime ? LONGEST_EXTENDED_TTL_SECONDS : LONGEST_TTL_SECONDS;
  if (seconds > longest)
    throw new ProviderError(
      'target-refused',
      `Cannot make an access token for ${seconds} s: ${longest} s is the longest here, write a shorter ttl or extended_lifetime: true`,
    );
  const made = await connection.accessToken(scope, seconds, name, signal);
  if (scope.boundary === undefined) return made;
  // The wide token stays here, and lapses; only the narrow one is handed out.
  const narrow = await connection.downscope(made.token, scope.boundary, signal).catch(failedAfterMaking);
  return { ...made, token: narrow };
}

/** Whatever is refused once the wide token was made, it was made: it cannot be told as never minted. */
function failedAfterMaking(error: unknown): never {
  throw error instanceof ProviderError ? afterEffect(error) : error;
}

async function makeIdToken(
  connection: Connection,
  scope: GoogleScope,
  seconds: number,
  { name }: Terms,
  signal: AbortSignal,
): Promise<GoogleToken> {
  if (seconds < ID_TOKEN_SECONDS)
    throw new ProviderError(
      'target-refused',
      'Cannot make an ID token for less than an hour: Google takes no lifetime for it, write a ttl of 61m or more',
    );
  return connection.idToken(scope, name, signal);
}
