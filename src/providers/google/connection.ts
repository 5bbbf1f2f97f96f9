import { IAMCredentialsClient } from '@google-cloud/iam-credentials';
import { OAuth2Client } from 'google-auth-library';
import { z } from 'zod';
import { HallpassError, ProviderError } from '../../errors.ts';
import { createOutbound, type Outbound } from '../../outbound.ts';
import type { TargetContext } from '../provider.ts';
import { exchangeError, googleError } from './errors.ts';
import { CALL_TIMEOUT_MS, SUBJECT_TOKEN_SECONDS } from './limits.ts';
import type { GoogleScope, GoogleSettings } from './settings.ts';

/** A token, and when Google refuses it by its own clock. Milliseconds since the epoch. */
export interface GoogleToken {
  readonly token: string;
  readonly expiresAt: number;
}

/** The broker's access to Google: by tokens that it signs itself, exchanged by workload identity federation. */
export interface Connection {
  accessToken(
    scope: GoogleScope,
    lifetimeSeconds: number,
    reason: string,
    signal: AbortSignal,
  ): Promise<GoogleToken>;
  idToken(scope: GoogleScope, reason: string, signal: AbortSignal): Promise<GoogleToken>;
  /** Exchanges an access token for one that is limited to the boundary. It lives as long as the first. */
  downscope(
    token: string,
    boundary: NonNullable<GoogleScope['boundary']>,
    signal: AbortSignal,
  ): Promise<string>;
  close(): Promise<void>;
}

const exchangedSchema = z.object({ access_token: z.string().min(1), expires_in: z.number().optional() });
const claimsSchema = z.object({ exp: z.number() });

export function connect(settings: GoogleSettings, context: TargetContext): Connection {
  const { universe_domain: universe, insecure_endpoints: endpoints } = settings;
  const stsUrl = endpoints === undefined ? `https://sts.${universe}/v1/token` : `${endpoints.sts}/v1/token`;
  const outbound = createOutbound(context.runtime);
  let client: IAMCredentialsClient | null = null;

  function connected(): IAMCredentialsClient {
    client ??= new IAMCredentialsClient({
      // REST: one kind of connection, which the runtime's fetch makes and our signals can bound.
      fallback: true,
      universeDomain: universe,
      authClient: federatedClient(settings, stsUrl, outbound, context),
      ...(endpoints === undefined ? {} : endpointOf(endpoints.iam_credentials)),
    } as unknown as ConstructorParameters<typeof IAMCredentialsClient>[0]);
    return client;
  }

  /** No retries: the broker decides about those. The reason stands in Google's audit log beside each use. */
  function options(reason: string) {
    return {
      timeout: CALL_TIMEOUT_MS,
      retry: { retryCodes: [] },

      otherArgs: { headers: { 'x-goog-request-reason': reason } },
    };
  }

  return {
    async accessToken({ service_account: account, scopes, delegates }, lifetimeSeconds, reason, signal) {
      const request = {
        name: resourceOf(account),
        scope: scopes ?? [],
        delegates: delegates.map(resourceOf),
        lifetime: { seconds: lifetimeSeconds },
      };
      const doing = 'make an access token';
      const [{ accessToken, expireTime }] = await bounded(doing, signal, () =>
        connected().generateAccessToken(request, options(reason)),
      );
      const seconds = Number(expireTime?.seconds);
      if (!accessToken || !(seconds > 0))
        throw new ProviderError('target-failed', `Cannot ${doing}: the answer has none`);
      return { token: accessToken, expiresAt: seconds * 1000 };
    },
    async idToken({ service_account: account, id_token: asked, delegates }, reason, signal) {
      const request = {
        name: resourceOf(account),
        audience: asked?.audience ?? '',
        includeEmail: asked?.include_email ?? false,
        delegates: delegates.map(resourceOf),
      };
      const doing = 'make an ID token';
      const [{ token }] = await bounded(doing, signal, () =>
        connected().generateIdToken(request, options(reason)),
      );
      const claims = claimsOf(token ?? '');
      if (!token || claims === null)
        throw new ProviderError('target-failed', `Cannot ${doing}: the answer has none`);
      return { token, expiresAt: claims.exp * 1000 };
    },
    async downscope(token, boundary, signal) {
      const form = {
        subject_token_type: ACCESS_TOKEN,
        subject_token: token,
        options: JSON.stringify(boundaryOf(boundary)),
      };
      const doing = 'limit an access token to its boundary';
      const { access_token: narrow } = await exchange(outbound, doing, stsUrl, form, signal);
      return narrow;
    },
    async close() {
      await outbound.close();
      await client?.close();
    },
  };
}

const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';

/** RFC 8693. https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token */
async function exchange(
  outbound: Outbound,
  doing: string,
  url: string,
  form: Readonly<Record<string, string>>,
  signal: AbortSignal,
) {
  const body = new URLSearchParams({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    requested_token_type: ACCESS_TOKEN,
    ...form,
  });
  const headers = { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' };
  const answer = await outbound.send(doing, { method: 'POST', url, headers, body: `${body}` }, signal);
  if (answer.status !== 200) throw exchangeError(doing, answer.status, parse(answer.text));
  const read = exchangedSchema.safeParse(parse(answer.text));
  if (!read.success) throw new ProviderError('target-failed', `Cannot ${doing}: the answer has no token`);
  return read.data;
}

/**
 * Proves the broker to Google by workload identity federation. The library has a client of its own for that, whose
 * exchange goes round the runtime's fetch and ends when it likes; this one asks us for its token.
 */
function federatedClient(
  { workload_identity_provider: provider }: GoogleSettings,
  stsUrl: string,
  outbound: Outbound,
  { identityToken, runtime, target }: TargetContext,
): OAuth2Client {
  const doing = 'prove ourselves to Google';
  let exchanging: Promise<{ access_token: string; expiry_date: number }> | null = null;
  async function federate() {
    if (identityToken === undefined)
      throw new ProviderError(
        'target-refused',
        `Cannot ${doing} for target "${target}": the broker has no signing keys, write keys.master_key_file`,
      );
    const now = runtime.now();
    const form = {
      audience: `//iam.googleapis.com/${provider}`,
      scope: 'https://www.googleapis.com/auth/cloud-platform',
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      subject_token: await identityToken(`https://iam.googleapis.com/${provider}`, {}, SUBJECT_TOKEN_SECONDS),
    };
    const made = await exchange(outbound, doing, stsUrl, form, AbortSignal.timeout(CALL_TIMEOUT_MS));
    return { access_token: made.access_token, expiry_date: now + (made.expires_in ?? 3_600) * 1000 };
  }
  const client = new OAuth2Client({
    transporterOptions: { fetchImplementation: runtime.fetch, timeout: CALL_TIMEOUT_MS, retry: false },
  });
  client.refreshHandler = () => {
    exchanging ??= federate().finally(() => {
      exchanging = null;
    });
    return exchanging;
  };
  return client;
}

function endpointOf(url: string) {
  const { hostname, port, protocol } = new URL(url);
  return { apiEndpoint: hostname, port: Number(port), protocol: protocol.replace(':', '') };
}

function resourceOf(account: string): string {
  return `projects/-/serviceAccounts/${account}`;
}

function boundaryOf(rules: NonNullable<GoogleScope['boundary']>) {
  return {
    accessBoundary: {
      accessBoundaryRules: rules.map(({ resource, permissions, condition }) => ({
        availableResource: resource,
        availablePermissions: permissions,
        ...(condition === undefined ? {} : { availabilityCondition: condition }),
      })),
    },
  };
}

/** Runs a call of the library, which knows no signals: when ours aborts, its answer is not waited for. */
async function bounded<T>(doing: string, signal: AbortSignal, call: () => Promise<T>): Promise<T> {
  const gaveUp = () =>
    new ProviderError('target-timeout', `Cannot ${doing}: no answer in time`, { cause: signal.reason });
  if (signal.aborted) throw gaveUp();
  let onAbort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(gaveUp());
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([call(), aborted]);
  } catch (error) {
    if (error instanceof HallpassError) throw error;
    throw googleError(doing, error);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** The claims of a token that comes straight from Google: nothing is decided by them but when it lapses. */
function claimsOf(token: string): { readonly exp: number } | null {
  const [, payload = ''] = token.split('.');
  return claimsSchema.safeParse(parse(Buffer.from(payload, 'base64url').toString('utf8'))).data ?? null;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
