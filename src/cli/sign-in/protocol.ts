import * as oauth from 'oauth4webapi';
import { UsageError } from '../failure.ts';
import type { Io } from '../io.ts';
import type { Loopback } from './loopback.ts';

/** At which OpenID provider, and as which public client of it. */
export interface SignInAt {
  readonly issuer: string;
  readonly clientId: string;
  readonly scope: string;
}

/** What a sign-in gives. Both tokens are secrets. */
export interface SignedIn {
  readonly idToken: string;
  readonly subject: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  readonly refreshToken?: string;
}

/** Between two looks, unless the provider says otherwise (RFC 8628, section 3.2). */
const POLL_SECONDS = 5;

interface Session {
  readonly server: oauth.AuthorizationServer;
  readonly client: oauth.Client;
  readonly options: ReturnType<typeof optionsFor>;
}

function optionsFor(io: Io, issuer: URL, signal: AbortSignal) {
  return {
    signal,
    // What the library passes is what fetch takes.
    [oauth.customFetch]: (url: string, init: object) => io.runtime.fetch(url, init),
    // Tokens travel in clear on this machine alone.
    ...(/^(localhost|127(\.\d+){3}|\[::1\])$/.test(issuer.hostname)
      ? { [oauth.allowInsecureRequests]: true }
      : {}),
  };
}

async function connect(
  io: Io,
  at: Pick<SignInAt, 'issuer' | 'clientId'>,
  signal: AbortSignal,
): Promise<Session> {
  if (!URL.canParse(at.issuer)) throw new UsageError('Cannot read the issuer: write it like https://HOST');
  const issuer = new URL(at.issuer);
  const options = optionsFor(io, issuer, signal);
  const response = await oauth.discoveryRequest(issuer, { algorithm: 'oidc', ...options });
  const server = await oauth.processDiscoveryResponse(issuer, response);
  return { server, client: { client_id: at.clientId }, options };
}

/** The authorization code flow with PKCE, over a loopback redirect (RFC 8252). `show` is given the address to open. */
export async function signInByBrowser(
  io: Io,
  at: SignInAt,
  loopback: Loopback,
  show: (url: string) => void,
  signal: AbortSignal,
): Promise<SignedIn> {
  const { server, client, options } = await connect(io, at, signal);
  const draw = () => Buffer.from(io.runtime.randomBytes(32)).toString('base64url');
  const [state, nonce, verifier] = [draw(), draw(), draw()];
  if (server.authorization_endpoint === undefined)
    throw new UsageError('Cannot sign in: the identity provider names no page to sign in; try --device');
  const url = new URL(server.authorization_endpoint);
  const parameters = {
    response_type: 'code',
    client_id: at.clientId,
    redirect_uri: loopback.redirectUri,
    scope: at.scope,
    state,
    nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    // What goes on while nobody is there is agreed to each time (OpenID Connect Core 1.0, section 11).
    ...(/(^| )offline_access( |$)/.test(at.scope) ? { prompt: 'consent' } : {}),
  };
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  show(url.href);
  const answer = await loopback.answer(signal);
  const callback = oauth.validateAuthResponse(server, client, answer, state);
  const response = await oauth.authorizationCodeGrantRequest(
    server,
    client,
    oauth.None(),
    callback,
    loopback.redirectUri,
    verifier,
    options,
  );
  return signedIn(
    await oauth.processAuthorizationCodeResponse(server, client, response, {
      expectedNonce: nonce,
      requireIdToken: true,
    }),
  );
}

/** The device flow (RFC 8628). `show` is given the address to open on any device, and the code to type there. */
export async function signInByDevice(
  io: Io,
  at: SignInAt,
  show: (address: string, code: string) => void,
  signal: AbortSignal,
): Promise<SignedIn> {
  const { server, client, options } = await connect(io, at, signal);
  if (server.device_authorization_endpoint === undefined)
    throw new UsageError('Cannot sign in with --device: the identity provider has no device flow');
  const asked = await oauth.deviceAuthorizationRequest(
    server,
    client,
    oauth.None(),
    { scope: at.scope, ...(/(^| )offline_access( |$)/.test(at.scope) ? { prompt: 'consent' } : {}) },
    options,
  );
  const device = await oauth.processDeviceAuthorizationResponse(server, client, asked);
  show(device.verification_uri_complete ?? device.verification_uri, device.user_code);
  let seconds = device.interval ?? POLL_SECONDS;
  const until = io.runtime.now() + device.expires_in * 1000;
  while (io.runtime.now() < until) {
    await io.runtime.sleep(seconds * 1000, signal);
    const response = await oauth.deviceCodeGrantRequest(
      server,
      client,
      oauth.None(),
      device.device_code,
      options,
    );
    try {
      return signedIn(await oauth.processDeviceCodeResponse(server, client, response));
    } catch (error) {
      if (!(error instanceof oauth.ResponseBodyError)) throw error;
      if (error.error === 'slow_down') seconds += 5;
      else if (error.error !== 'authorization_pending') throw error;
    }
  }
  throw new UsageError('Cannot sign in: the code was not used in time; start again');
}

/** A new identity token for a refresh token (OpenID Connect Core 1.0, section 12). */
export async function refreshSignIn(
  io: Io,
  at: Pick<SignInAt, 'issuer' | 'clientId'>,
  refreshToken: string,
  signal: AbortSignal,
): Promise<SignedIn> {
  const { server, client, options } = await connect(io, at, signal);
  const response = await oauth.refreshTokenGrantRequest(server, client, oauth.None(), refreshToken, options);
  const next = signedIn(await oauth.processRefreshTokenResponse(server, client, response));
  return { refreshToken, ...next };
}

/** Withdraws a refresh token at its provider (RFC 7009). False: the provider has no way to. */
export async function revokeRefreshToken(
  io: Io,
  at: Pick<SignInAt, 'issuer' | 'clientId'>,
  refreshToken: string,
  signal: AbortSignal,
): Promise<boolean> {
  const { server, client, options } = await connect(io, at, signal);
  if (server.revocation_endpoint === undefined) return false;
  const response = await oauth.revocationRequest(server, client, oauth.None(), refreshToken, options);
  await oauth.processRevocationResponse(response);
  return true;
}

function signedIn(tokens: oauth.TokenEndpointResponse): SignedIn {
  const claims = oauth.getValidatedIdTokenClaims(tokens);
  if (claims === undefined || tokens.id_token === undefined)
    throw new UsageError(
      'Cannot sign in: the identity provider gave no identity token; ask for the scope openid',
    );
  return {
    idToken: tokens.id_token,
    subject: claims.sub,
    expiresAt: claims.exp * 1000,
    ...(tokens.refresh_token === undefined ? {} : { refreshToken: tokens.refresh_token }),
  };
}

/** What went wrong, in a sentence that holds no token and no code; null: it is none of the protocol's. */
export function protocolFault(error: unknown): string | null {
  if (error instanceof oauth.AuthorizationResponseError || error instanceof oauth.ResponseBodyError) {
    if (error.error === 'access_denied') return 'Cannot sign in: it was denied at the identity provider';
    if (error.error === 'expired_token') return 'Cannot sign in: the code was not used in time; start again';
    return `Cannot sign in: the identity provider answered ${JSON.stringify(error.error.slice(0, 60))}`;
  }
  if (error instanceof oauth.OperationProcessingError) {
    const why = /nonce/.test(error.message)
      ? 'the identity token is not of this sign-in (its nonce is another)'
      : /"state"/.test(error.message)
        ? 'the answer is not of this sign-in (its state is another); close other sign-in pages and start again'
        : error.message;
    return `Cannot sign in: ${why}`;
  }
  if (
    error instanceof oauth.UnsupportedOperationError ||
    error instanceof oauth.WWWAuthenticateChallengeError
  )
    return `Cannot sign in: ${error.message}`;
  if (error instanceof TypeError && error.message === 'fetch failed')
    return 'Cannot sign in: the identity provider does not answer';
  return null;
}
