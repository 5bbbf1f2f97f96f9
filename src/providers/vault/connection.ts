import { readFile } from 'node:fs/promises';
import nodeVault from 'node-vault';
import { z } from 'zod';
import { HallpassError, ProviderError } from '../../errors.ts';
import { createOutbound, type Outbound } from '../../outbound.ts';
import type { TargetContext } from '../provider.ts';
import { vaultError } from './errors.ts';
import { LOGIN_JWT_SECONDS, RELOGIN_FRACTION } from './limits.ts';
import type { VaultSettings } from './settings.ts';

/** One request below `/v1/`. */
export interface VaultRequest {
  readonly path: string;
  /** Written; without it the path is read. */
  readonly data?: Readonly<Record<string, unknown>>;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The broker's own access to one Vault. */
export interface Connection {
  /** As the broker. Logs in when need be, and once more when Vault does not know the broker's token any longer. */
  asBroker<T>(doing: string, schema: z.ZodType<T>, request: VaultRequest, signal: AbortSignal): Promise<T>;
  /** With the token of a lease. */
  withToken<T>(
    token: string,
    doing: string,
    schema: z.ZodType<T>,
    request: VaultRequest,
    signal: AbortSignal,
  ): Promise<T>;
  close(): Promise<void>;
}

const loginSchema = z.object({
  auth: z.object({ client_token: z.string().min(1), lease_duration: z.number().min(0) }),
});

/** What the transport gets from the client, and gives back. */
interface Exchange {
  readonly method: string;
  readonly uri: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly json?: unknown;
  readonly signal: AbortSignal;
  readonly doing: string;
}

export function connect(settings: VaultSettings, context: TargetContext): Connection {
  const outbound = createOutbound(context.runtime, settings.tls);
  const client = nodeVault({
    endpoint: settings.address,
    // Its own transport cannot be aborted, reads the environment and trusts it; and its debug log holds secrets.
    'request-promise': { defaults: () => (exchange: Exchange) => send(outbound, exchange) },
    debug: () => {},
    noCustomHTTPVerbs: true,
  });
  // The client would take these from the environment; ours travel as headers of each request.
  client.token = '';
  Object.assign(client, { namespace: '', pathPrefix: '' });

  let session: { readonly token: string; readonly until: number } | null = null;
  let loggingIn: Promise<string> | null = null;

  async function exchange<T>(
    token: string | null,
    doing: string,
    schema: z.ZodType<T>,
    { path, data, headers = {} }: VaultRequest,
    signal: AbortSignal,
  ): Promise<T> {
    const options = {
      signal,
      doing,
      headers: {
        ...headers,
        'x-vault-request': 'true',
        ...(token === null ? {} : { 'x-vault-token': token }),
        ...(settings.namespace === undefined ? {} : { 'x-vault-namespace': settings.namespace }),
      },
    };
    const answer: unknown = await (data === undefined
      ? client.read(path, options)
      : client.write(path, data, options));
    const read = schema.safeParse(answer);
    if (!read.success)
      throw new ProviderError(
        'target-failed',
        `Cannot ${doing}: the answer is not what Vault's API promises`,
      );
    return read.data;
  }

  async function logIn(signal: AbortSignal): Promise<string> {
    const { mount, data } = await loginRequest(settings, context);
    const began = context.runtime.now();
    const { auth } = await exchange(
      null,
      'log in',
      loginSchema,
      { path: `auth/${mount}/login`, data },
      signal,
    );
    // A duration of zero is a token that does not expire.
    const lifeMs = auth.lease_duration === 0 ? 3_600_000 : auth.lease_duration * 1000 * RELOGIN_FRACTION;
    session = { token: auth.client_token, until: began + lifeMs };
    return auth.client_token;
  }

  function brokerToken(signal: AbortSignal): Promise<string> {
    if (session !== null && context.runtime.now() < session.until) return Promise.resolve(session.token);
    // Who aborts takes the others with him: each has its own next attempt.
    loggingIn ??= logIn(signal).finally(() => {
      loggingIn = null;
    });
    return loggingIn;
  }

  return {
    async asBroker(doing, schema, request, signal) {
      const known = session?.token;
      const token = await brokerToken(signal);
      try {
        return await exchange(token, doing, schema, request, signal);
      } catch (error) {
        // It may have been revoked before its time. Vault does nothing for a token that it does not know.
        if (token !== known || !(error instanceof ProviderError) || error.code !== 'target-forbidden')
          throw error;
        if (session?.token === token) session = null;
        return exchange(await brokerToken(signal), doing, schema, request, signal);
      }
    },
    withToken: (token, doing, schema, request, signal) => exchange(token, doing, schema, request, signal),
    close: () => outbound.close(),
  };
}

async function loginRequest(
  { auth, address }: VaultSettings,
  { identityToken, target }: TargetContext,
): Promise<{ readonly mount: string; readonly data: Readonly<Record<string, string>> }> {
  if ('approle' in auth) {
    const { mount, role_id, secret_id } = auth.approle;
    return { mount, data: { role_id, secret_id } };
  }
  if ('kubernetes' in auth) {
    const { mount, role, token_path: path } = auth.kubernetes;
    // Kubernetes replaces the file every hour or so: it is no setting that could be read once.
    const jwt = await readFile(path, 'utf8').catch((cause: unknown) => {
      throw new ProviderError('target-forbidden', `Cannot log in: the token of the pod cannot be read`, {
        cause,
      });
    });
    return { mount, data: { role, jwt: jwt.trim() } };
  }
  const { mount, role, audience } = auth.jwt;
  if (identityToken === undefined)
    throw new HallpassError(
      'config-invalid',
      `Cannot log in for target "${target}": the broker has no signing keys, write keys.master_key_file`,
    );
  return { mount, data: { role, jwt: await identityToken(audience ?? address, {}, LOGIN_JWT_SECONDS) } };
}

/** The transport under node-vault: bounded, abortable, and with errors that are ours. */
async function send(outbound: Outbound, { method, uri, headers, json, signal, doing }: Exchange) {
  const body = json === undefined ? undefined : JSON.stringify(json);
  const {
    status,
    headers: answered,
    text,
  } = await outbound.send(
    doing,
    {
      method,
      url: uri,
      headers: {
        ...headers,
        accept: 'application/json',
        ...(body ? { 'content-type': 'application/json' } : {}),
      },
      ...(body === undefined ? {} : { body }),
    },
    signal,
  );
  const answer = parse(text);
  if (status !== 200 && status !== 204)
    throw vaultError(doing, status, errorsIn(answer), retryAfterMs(answered.get('retry-after')));
  return { statusCode: status, body: answer, request: { path: new URL(uri).pathname } };
}

function parse(text: string): unknown {
  try {
    return text === '' ? {} : JSON.parse(text);
  } catch {
    return null;
  }
}

function errorsIn(answer: unknown): string[] {
  const read = z.object({ errors: z.array(z.string()) }).safeParse(answer);
  return read.success ? read.data.errors : [];
}

function retryAfterMs(header: string | null): number | undefined {
  const seconds = Number(header ?? Number.NaN);
  return seconds >= 0 && seconds < 86_400 ? seconds * 1000 : undefined;
}
