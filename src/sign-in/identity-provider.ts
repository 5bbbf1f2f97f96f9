import * as oauth from 'oauth4webapi';
import { HallpassError } from '../errors.ts';
import { createOutbound, type Outbound } from '../outbound.ts';
import { err, ok, type Result } from '../result.ts';
import { type Runtime, withDeadline } from '../runtime.ts';

/** At which OpenID provider people sign in, and as which of its clients the broker asks. */
export interface SignInSettings {
  /** The issuer, exactly as it names itself. */
  readonly url: string;
  readonly clientId: string;
  /** Null: a public client, whom PKCE alone proves. */
  readonly clientSecret: string | null;
  readonly scope: string;
  readonly redirectUri: string;
  /** Null: what discovery names, on the issuer's own host. */
  readonly tokenEndpoint: string | null;
  readonly ca?: string;
  readonly allowInsecureHttp: boolean;
}

/** What a sign-in has to know again when its answer comes. Whoever has all of it and the answer can finish it. */
export interface Flow {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
}

/** Why a sign-in came to nothing. `detail` is for the log; it holds no code, no token and no text of a stranger. */
export interface SignInFault {
  readonly reason: 'denied' | 'mismatch' | 'unavailable' | 'refused';
  readonly detail: string;
}

/** The authorization code flow with PKCE at one provider (OpenID Connect Core 1.0, section 3.1; RFC 9700, section 2.1). */
export interface IdentityProvider {
  /** A new flow, and where the browser is to be sent for it. */
  begin(): Promise<Result<{ readonly url: string; readonly flow: Flow }, SignInFault>>;
  /** The identity token that the answer is good for. It is not verified yet, but for its nonce, audience and issuer. */
  finish(answer: URLSearchParams, flow: Flow): Promise<Result<string, SignInFault>>;
}

/** For one exchange with the provider, as long as for proving an identity. */
const TIMEOUT_MS = 10_000;

/** How long a discovery document is good for. */
const FRESH_MS = 10 * 60_000;

/** After a failure: soon enough to notice recovery, seldom enough not to hold a provider down. */
const RETRY_MS = 5_000;

export function createIdentityProvider(settings: SignInSettings, runtime: Runtime): IdentityProvider {
  const outbound = createOutbound(runtime, settings.ca === undefined ? {} : { ca: settings.ca });
  const client: oauth.Client = { client_id: settings.clientId };
  const authentication =
    settings.clientSecret === null ? oauth.None() : oauth.ClientSecretBasic(settings.clientSecret);
  let known: { readonly server: oauth.AuthorizationServer; readonly until: number } | null = null;
  let failed: { readonly error: unknown; readonly at: number } | null = null;
  let asking: Promise<oauth.AuthorizationServer> | null = null;

  /** 256 bits, in characters that a verifier may have (RFC 7636, section 4.1). */
  const draw = () => Buffer.from(runtime.randomBytes(32)).toString('base64url');
  const requestOptions = (signal: AbortSignal) => ({
    signal,
    [oauth.customFetch]: fetchBy(outbound, signal),
    ...(settings.allowInsecureHttp ? { [oauth.allowInsecureRequests]: true } : {}),
  });

  async function ask(signal: AbortSignal): Promise<oauth.AuthorizationServer> {
    const issuer = new URL(settings.url);
    const response = await oauth.discoveryRequest(issuer, { algorithm: 'oidc', ...requestOptions(signal) });
    return checked(await oauth.processDiscoveryResponse(issuer, response), settings);
  }

  /** Asks once for all who wait, and after a failure not again at once: strangers come here, and cause no more than that. */
  async function discover(): Promise<oauth.AuthorizationServer> {
    if (known !== null && runtime.now() < known.until) return known.server;
    const failedAgo = failed === null ? Number.POSITIVE_INFINITY : runtime.now() - failed.at;
    if (failed !== null && failedAgo >= 0 && failedAgo < RETRY_MS) throw failed.error;
    asking ??= withDeadline(runtime, TIMEOUT_MS, ask)
      .then(
        (server) => {
          known = { server, until: runtime.now() + FRESH_MS };
          return server;
        },
        (error: unknown) => {
          failed = { error, at: runtime.now() };
          throw error;
        },
      )
      .finally(() => {
        asking = null;
      });
    return asking;
  }

  const within = <T>(work: (signal: AbortSignal) => Promise<T>) =>
    withDeadline(runtime, TIMEOUT_MS, work).then(ok, (error: unknown) => err(faultOf(error)));

  return {
    begin: () =>
      within(async () => {
        const server = await discover();
        const flow = { state: draw(), nonce: draw(), verifier: draw() };
        const url = new URL(server.authorization_endpoint ?? '');
        const parameters = {
          response_type: 'code',
          client_id: settings.clientId,
          redirect_uri: settings.redirectUri,
          scope: settings.scope,
          state: flow.state,
          nonce: flow.nonce,
          code_challenge: await oauth.calculatePKCECodeChallenge(flow.verifier),
          code_challenge_method: 'S256',
        };
        for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
        return { url: url.href, flow };
      }),
    finish: (answer, flow) =>
      within(async (signal) => {
        const server = await discover();
        const callback = oauth.validateAuthResponse(server, client, answer, flow.state);
        // Nothing is durable yet. A code serves once: if we die here, the person signs in again.
        const response = await oauth.authorizationCodeGrantRequest(
          server,
          client,
          authentication,
          callback,
          settings.redirectUri,
          flow.verifier,
          requestOptions(signal),
        );
        const tokens = await oauth.processAuthorizationCodeResponse(server, client, response, {
          expectedNonce: flow.nonce,
          requireIdToken: true,
        });
        return tokens.id_token ?? '';
      }),
  };
}

/**
 * The provider's metadata with an address for tokens that we may use: the code and the client's secret go there, so it is
 * on the issuer's own host unless the configuration says otherwise.
 */
function checked(server: oauth.AuthorizationServer, settings: SignInSettings): oauth.AuthorizationServer {
  const { url, tokenEndpoint } = settings;
  const token = tokenEndpoint ?? server.token_endpoint;
  if (!isWeb(server.authorization_endpoint, settings) || !isWeb(token, settings))
    throw new HallpassError(
      'config-invalid',
      `The issuer at "${url}" names no page to sign in, or no address for tokens`,
    );
  if (tokenEndpoint === null && new URL(token).host !== new URL(url).host)
    throw new HallpassError(
      'config-invalid',
      `Cannot send codes to "${new URL(token).host}": the issuer is at "${new URL(url).host}"; set sign_in.token_endpoint if that is right`,
    );
  return { ...server, token_endpoint: token };
}

function isWeb(text: string | undefined, { allowInsecureHttp }: SignInSettings): text is string {
  if (text === undefined || !URL.canParse(text)) return false;
  const { protocol } = new URL(text);
  return protocol === 'https:' || (protocol === 'http:' && allowInsecureHttp);
}

/** The library's requests over our own connections: no redirect is followed, and answers are bounded. */
function fetchBy(outbound: Outbound, signal: AbortSignal) {
  return async (
    url: string,
    { method, headers, body }: { method: string; headers: Record<string, string>; body?: unknown },
  ): Promise<Response> => {
    const answer = await outbound.send(
      'ask the identity provider',
      { method, url, headers, ...(body === undefined || body === null ? {} : { body: String(body) }) },
      signal,
    );
    const text = answer.text === '' ? null : answer.text;
    return new Response(text, { status: answer.status, headers: answer.headers });
  };
}

function faultOf(error: unknown): SignInFault {
  if (error instanceof oauth.AuthorizationResponseError) {
    const denied = error.error === 'access_denied';
    return { reason: denied ? 'denied' : 'refused', detail: `the provider answered "${word(error.error)}"` };
  }
  if (error instanceof oauth.ResponseBodyError)
    return { reason: 'refused', detail: `the provider refused the code: "${word(error.error)}"` };
  if (error instanceof HallpassError) return { reason: 'unavailable', detail: error.message };
  if (error instanceof oauth.OperationProcessingError) {
    const code = error.code ?? 'unknown';
    const transport = code === oauth.RESPONSE_IS_NOT_CONFORM || code === oauth.RESPONSE_IS_NOT_JSON;
    return {
      reason: transport ? 'unavailable' : 'mismatch',
      detail: `${code}: ${error.message}`.slice(0, 200),
    };
  }
  if (
    error instanceof oauth.WWWAuthenticateChallengeError ||
    error instanceof oauth.UnsupportedOperationError
  )
    return { reason: 'refused', detail: `${error.code}: ${error.message}`.slice(0, 200) };
  throw error;
}

/** An error code as OAuth writes them; what is none is a text of somebody else's. */
function word(code: string): string {
  return /^[a-z_]{1,60}$/.test(code) ? code : 'an error without a proper code';
}
